"""The demo's questions and passages: complete, apart from each other, and right where a program can tell."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from importlib.resources import files
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_eval.dataset.load import load_questions

FIELDS = (
    "id",
    "question",
    "image",
    "image_preview",
    "answer",
    "answer_type",
    "author_name",
    "rationale",
    "raw_subject",
    "category",
    "canary",
)
CATEGORIES = {
    "Math",
    "Physics",
    "Chemistry",
    "Biology/Medicine",
    "Computer Science/AI",
    "Engineering",
    "Humanities/Social Science",
    "Other",
}
# Question's topic -> numbers of the passages of that topic that help to answer it.
BEARING = {
    "numbers": (1, 2, 3, 4),
    "permutations": (1, 2, 3, 4, 5),
    "graphs": (1, 2, 3, 4, 5),
    "cointoss": (1, 2, 3, 4, 5),
    "relativity": (1, 2, 3, 4, 5),
    "quantum": (1, 2, 4),
    "orbits": (1, 2, 3, 4, 5),
    "ph": (1, 2, 3, 4, 5),
    "isomers": (1, 2, 3, 4, 5),
    "geneticcode": (1, 2, 3, 4, 5, 6, 7),
    "genetics": (1, 2, 3, 4, 5),
    "editdistance": (1, 2, 3, 4),
    "kvcache": (1, 2, 3, 4, 5),
    "beams": (1, 2, 3, 5),
    "hamming": (1, 2, 3),
    "calendar": (1, 2, 4, 5),
    "grimm": (1, 2, 3, 4, 5),
    "voting": (1, 2, 3, 4),
    "chess": (1, 2, 3, 4, 5),
    "music": (1, 2, 3, 4),
}


def rows(name: str) -> list[dict[str, Any]]:
    text = (files("podium_eval") / "data" / "demo" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


QUESTIONS = {row["id"].removeprefix("podium-demo-"): row for row in rows("questions.jsonl")}
PASSAGES = {row["id"]: row for row in rows("corpus.jsonl")}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def test_there_are_twenty_questions_over_all_categories():
    assert len(rows("questions.jsonl")) == len(QUESTIONS) == 20
    assert {q["category"] for q in QUESTIONS.values()} == CATEGORIES
    kinds = Counter(q["answer_type"] for q in QUESTIONS.values())
    assert set(kinds) == {"exactMatch", "multipleChoice"}
    assert min(kinds.values()) >= 4


def test_every_question_has_hles_fields_and_our_canary():
    for q in QUESTIONS.values():
        assert tuple(q) == FIELDS
        assert q["image"] == ""
        assert q["image_preview"] is None
        assert all(q[name] for name in FIELDS if not name.startswith("image"))
        assert "PODIUM" in q["canary"]
        assert "not part of Humanity's Last Exam" in q["canary"]


def test_a_multiple_choice_answer_is_the_letter_of_a_choice():
    for q in QUESTIONS.values():
        letters = re.findall(r"^([A-G])\. ", q["question"], flags=re.MULTILINE)
        if q["answer_type"] == "multipleChoice":
            assert letters == list("ABCDE")
            assert q["answer"] in letters
        else:
            assert letters == []


def test_passages_have_unique_ids_titles_and_fitting_lengths():
    assert len(rows("corpus.jsonl")) == len(PASSAGES) >= 300
    assert len({p["title"] for p in PASSAGES.values()}) == len(PASSAGES)
    for p in PASSAGES.values():
        assert tuple(p) == ("id", "title", "contents")
        assert len(p["contents"]) > 100
        assert 40 <= len(p["contents"].split()) <= 120, p["id"]


def test_no_two_passages_are_near_duplicates():
    def shingles(text: str) -> set[tuple[str, ...]]:
        w = words(text)
        return {tuple(w[i : i + 3]) for i in range(len(w) - 2)}

    sets = [(p["id"], shingles(p["contents"])) for p in PASSAGES.values()]
    for i, (a, x) in enumerate(sets):
        for b, y in sets[:i]:
            assert len(x & y) < 0.2 * min(len(x), len(y)), (a, b)


@pytest.mark.parametrize("topic", sorted(QUESTIONS))
def test_every_question_has_bearing_passages(topic: str):
    ids = [f"{topic}-{n:02d}" for n in BEARING[topic]]
    assert len(ids) >= 3
    plain = {w for w, n in Counter(w for p in PASSAGES.values() for w in set(words(p["contents"]))).items() if n > 60}
    asked = set(words(QUESTIONS[topic]["question"])) | set(words(QUESTIONS[topic]["rationale"]))
    for key in ids:
        shared = (asked & set(words(PASSAGES[key]["title"] + " " + PASSAGES[key]["contents"]))) - plain
        assert shared, key


def numbers() -> str:
    def divisor_sum(n: int) -> int:
        return sum(d + (n // d if d * d != n else 0) for d in range(1, math.isqrt(n) + 1) if n % d == 0)

    return str(sum(n for n in range(1, 10_000, 2) if divisor_sum(n) > 2 * n))


def permutations_without_short_cycles() -> str:
    return str(sum(all(p[i] != i and p[p[i]] != i for i in range(8)) for p in permutations(range(8))))


def graphs() -> str:
    laplacian = np.zeros((16, 16))
    for v, k in product(range(16), range(4)):
        laplacian[v, v] += 1
        laplacian[v, v ^ (1 << k)] -= 1
    return str(round(float(np.linalg.det(laplacian[1:, 1:]))))


def cointoss() -> str:
    word = "HTHTH"

    def after(state: int, toss: str) -> int:
        seen = word[:state] + toss
        return max(k for k in range(len(seen) + 1) if seen.endswith(word[:k]))

    q = np.zeros((5, 5))
    for state, toss in product(range(5), "HT"):
        if (end := after(state, toss)) < 5:
            q[state, end] += 0.5
    return str(round(float(np.linalg.solve(np.eye(5) - q, np.ones(5))[0])))


def relativity() -> str:
    beta, c, tau = 0.995, 299_792_458, 2.197e-6
    gamma = 1 / math.sqrt(1 - beta**2)
    return str(round(100 * math.exp(-10_000 / (beta * c * gamma * tau))))


def quantum() -> str:
    # Finite differences on a box much wider than the well; bound levels lie below the rim at 0 eV.
    h, half = 0.005, 3.0
    x = np.arange(-half, half + h / 2, h)
    potential = np.where(np.abs(x) < 0.5, -10.0, 0.0)
    t = 0.0381 / h**2
    off = np.full(len(x) - 1, -t)
    levels = np.linalg.eigvalsh(np.diag(2 * t + potential) + np.diag(off, 1) + np.diag(off, -1))
    return "ABCDE"[int((levels < 0).sum()) - 4]


def orbits() -> str:
    return str(round(0.5 * ((1 + 1.524) / 2) ** 1.5 * 365.25))


def ph() -> str:
    c, kw = 1e-7, 1e-14
    return f"{-math.log10((c + math.sqrt(c * c + 4 * kw)) / 2):.2f}"


def isomers() -> str:
    # a[n]: rooted trees of n carbons, the root with at most three branches (unordered triples, empty ones included).
    a = [1]
    for n in range(1, 8):
        total = sum(a[i] * a[j] * a[n - 1 - i - j] for i in range(n) for j in range(n - i))
        pairs = sum(a[i] * a[j] for i in range(n) for j in range(n) if i + 2 * j == n - 1)
        threes = a[(n - 1) // 3] if (n - 1) % 3 == 0 else 0
        a.append((total + 3 * pairs + 2 * threes) // 6)
    return str(a[7])


def geneticcode() -> str:
    match = re.search(r"5'-([ACGU]+)-3'", QUESTIONS["geneticcode"]["question"])
    assert match is not None
    rna = match[1]
    letters = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
    table = {"".join(codon): aa for codon, aa in zip(product("UCAG", repeat=3), letters, strict=True)}
    start = rna.index("AUG")
    protein = "".join(table[rna[i : i + 3]] for i in range(start, len(rna) - 2, 3))
    assert "*" in protein
    return protein.partition("*")[0]


def genetics() -> str:
    q = Fraction(1, 50)
    risk = Fraction(2, 3) * (2 * q / (1 + q)) / 4
    return choice("genetics", str(risk))


def choice(topic: str, value: str) -> str:
    match = re.search(rf"^([A-G])\. {re.escape(value)}$", QUESTIONS[topic]["question"], flags=re.MULTILINE)
    assert match is not None
    return match[1]


def editdistance() -> str:
    match = re.search(r'strings "([^"]+)" and "([^"]+)"', QUESTIONS["editdistance"]["question"])
    assert match is not None
    a, b = match[1], match[2]
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, j in product(range(1, len(a) + 1), range(1, len(b) + 1)):
        d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return str(d[len(a), len(b)])


def kvcache() -> str:
    return choice("kvcache", str(2 * 30 * 3 * 64 * 2))


def beams() -> str:
    inertia = 0.1 * 0.2**3 / 12
    return f"{1000 * 5 * 5000 * 6**4 / (384 * 200e9 * inertia):.1f}"


def hamming() -> str:
    match = re.search(r"received as ([01]{7})", QUESTIONS["hamming"]["question"])
    assert match is not None
    bits = [int(b) for b in match[1]]
    wrong = sum(p for p in (1, 2, 4) if sum(bits[i - 1] for i in range(1, 8) if i & p) % 2)
    if wrong:
        bits[wrong - 1] ^= 1
    return choice("hamming", "".join(str(bits[i - 1]) for i in (3, 5, 6, 7)))


def calendar() -> str:
    return date(1789, 7, 14).strftime("%A")


def voting() -> str:
    weights, pivotal = (40, 30, 20, 10), 0
    for order in permutations(range(4)):
        total = 0
        for voter in order:
            total += weights[voter]
            if total >= 51:
                pivotal += voter == 0
                break
    return str(Fraction(pivotal, 24))


def chess() -> str:
    ways: Counter[tuple[int, int]] = Counter({(0, 0): 1})
    for _ in range(6):
        step: Counter[tuple[int, int]] = Counter()
        for (x, y), n in ways.items():
            for dx, dy in product((-2, -1, 1, 2), repeat=2):
                if abs(dx) != abs(dy) and 0 <= x + dx < 8 and 0 <= y + dy < 8:
                    step[x + dx, y + dy] += n
        ways = step
    return str(ways[7, 7])


def music() -> str:
    return f"{400 - 1200 * math.log2(5 / 4):.1f}"


PROGRAMS: dict[str, Callable[[], str]] = {
    "permutations": permutations_without_short_cycles,
    **{
        f.__name__: f
        for f in (numbers, graphs, cointoss, relativity, quantum, orbits, ph, isomers, geneticcode, genetics)
    },
    **{f.__name__: f for f in (editdistance, kvcache, beams, hamming, calendar, voting, chess, music)},
}


@pytest.mark.parametrize("topic", sorted(PROGRAMS))
def test_the_answer_is_what_a_program_finds(topic: str):
    assert PROGRAMS[topic]() == QUESTIONS[topic]["answer"]


def test_only_the_linguistic_question_has_no_program():
    assert set(QUESTIONS) - set(PROGRAMS) == {"grimm"}


def test_the_loader_takes_all_of_them():
    loaded = load_questions(Path(str(files("podium_eval") / "data" / "demo" / "questions.jsonl")))
    assert loaded.n_selected == 20
