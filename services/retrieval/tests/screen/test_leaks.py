"""A seeded corpus of leaks and of innocent pages, through the real service with a web on the loopback."""

import random
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from podium_contracts.search import Screened
from podium_contracts.text.fingerprint import fingerprint, spans
from podium_retrieval.errors import StartError
from podium_retrieval.screen.mirrors import load_mirrors
from podium_retrieval.screen.screen import Screen, ScreenLimits
from podium_retrieval.screen.text import Matcher
from podium_retrieval.web.search import WebLimits, WebSearch

LIMITS = WebLimits(results=20, timeout_s=20.0, concurrency=4, max_bytes=10 << 20, page_chars=10_000)
FIELDS = ("glacier", "enzyme", "sonata", "tensor", "harbour", "orchid", "comet", "treaty", "loom", "magnet")
STEMS = (
    "bas",
    "cor",
    "del",
    "fen",
    "gar",
    "hul",
    "jor",
    "kem",
    "lin",
    "mur",
    "nov",
    "pel",
    "quar",
    "rin",
    "sol",
    "tar",
)
ENDS = ("ane", "ium", "ette", "ous", "ling", "tron", "ate", "ivar", "ism", "oid", "ary", "ent")


def vocabulary(topic: int) -> list[str]:
    """The words that pages of one topic share."""
    chance = random.Random(topic)
    return list(dict.fromkeys(chance.choice(STEMS) + chance.choice(STEMS) + chance.choice(ENDS) for _ in range(70)))


def question(topic: int) -> tuple[str, str]:
    chance = random.Random(1000 + topic)
    w = chance.sample(vocabulary(topic), 14)
    text = (
        f"In the study of the {FIELDS[topic]}, a {w[0]} is placed beside the {w[1]} and the {w[2]} of every {w[3]} "
        f"is measured. If the {w[4]} exceeds the {w[5]} while no {w[6]} has a {w[7]}, which {w[8]} of the {w[9]} "
        f"decides whether the {w[10]} keeps its {w[11]}?"
    )
    return text, f"{w[12]} {w[13]}"


def prose(chance: random.Random, words: list[str], n: int) -> str:
    glue = ("the", "of the", "and a", "with its", "near every", "is not a", "in which the", "keeps the", "beside")
    return " ".join(f"{chance.choice(glue)} {chance.choice(words)}" for _ in range(n))


def leaks(topic: int) -> list[dict[str, str]]:
    chance = random.Random(2000 + topic)
    asked, answer = question(topic)
    around, after = prose(chance, vocabulary(topic), 200), prose(chance, vocabulary(topic), 300)
    shuffled = f"{asked} {answer}".split()
    chance.shuffle(shuffled)
    first, second = asked.split(". ")
    texts = {
        "https://blog.test/copy": f"{around} {asked} {after}",
        "https://blog.test/shouted": f"{around} {asked.upper().replace(' ', '  ')} {after}",
        "https://blog.test/marked": f"{around} {asked.replace('the', '**the**').replace(',', ';')} {answer}",
        "https://blog.test/answer-first": f"{around} {answer}: {second} {first}. {after}",
        "https://blog.test/shuffled": f"{around} {' '.join(shuffled)} {after}",
        "https://blog.test/half": f"{around} {' '.join(asked.split()[:35])} … {after}",
        "https://huggingface.co/datasets/someone/exam/viewer": "rows",
        "https://mirror.test/datasets/cais/hle": "rows",
        "https://github.com/fork/hle/blob/main/data.jsonl": "rows",
        "https://archive.test/web/2026/https://huggingface.co/datasets/cais/hle": "rows",
        "https://www.lastexam.ai/": "sample",
    }
    return [{"url": f"{url}#{topic}", "title": "a page", "content": text} for url, text in texts.items()]


def innocent(topic: int) -> list[dict[str, str]]:
    """Pages of the topic's words; each third holds the answer, each fifth a sentence of the question's beginning."""
    asked, answer = question(topic)
    pages: list[dict[str, str]] = []
    for number in range(50):
        chance = random.Random(f"{topic} {number}")
        text = prose(chance, vocabulary(topic), chance.randint(40, 600))
        text += f" {answer} " * (number % 3 == 0) + " ".join(asked.split()[:12]) * (number % 5 == 0)
        pages.append({"url": f"https://journal.test/{topic}/{number}", "title": FIELDS[topic], "content": text})
    return pages


def screen(**limits: Any) -> Screen:
    chosen: dict[str, Any] = {"query": "shorten", "query_words": 8, "share": 0.5, **limits}
    return Screen(load_mirrors(None), ScreenLimits(**chosen))


@pytest.fixture
def web(listen: Any, tmp_path: Path) -> Any:
    """What the loopback web was asked, and a maker of a WebSearch on it; `results` are its pages by query."""

    @asynccontextmanager
    async def run(results: Callable[[str], list[dict[str, str]]], screening: Screen) -> Any:
        asked: list[dict[str, Any]] = []
        app = FastAPI()

        @app.post("/search", response_model=None)
        async def search(request: Request) -> Any:
            asked.append(await request.json())
            return {"results": results(asked[-1]["query"])}

        @app.post("/extract", response_model=None)
        async def extract(request: Request) -> Any:
            return {"results": []}

        async with listen(app) as (_, _, address):
            yield asked, WebSearch(address, "k", LIMITS, tmp_path / "web", 10 << 20, screen=screening)

    return run


DOCUMENTS = [{"id": "a", "contents": "crane " * 30}]


async def test_all_leaks_are_blocked_and_innocent_pages_are_not(start: Any, web: Any) -> None:
    pages = {
        f"{topic} {at}": (leaks(topic) + innocent(topic))[at : at + 20]
        for topic in range(10)
        for at in range(0, 61, 20)
    }
    seen: list[str] = []
    total = Screened()
    async with (
        web(lambda query: pages[query], screen()) as (asked, searching),
        start(documents=DOCUMENTS, min_score=0.99, web=lambda: searching) as running,
    ):
        for topic in range(10):
            print_ = fingerprint(*question(topic), "a salt").to_json()
            for at in range(0, 61, 20):
                answer = await running.ask(f"{topic} {at}", topk=20, screen=print_)
                seen += [entry["document"]["url"] for entry in answer.json()[0]]
                total += Screened.from_header(answer.headers["x-podium-screened"]) or Screened()
        metrics = (await running.client.get("/metrics")).text
    shown = set(seen)
    missed = [page["url"] for topic in range(10) for page in leaks(topic) if page["url"] in shown]
    lost = [page["url"] for topic in range(10) for page in innocent(topic) if page["url"] not in shown]
    assert missed == []
    assert len(lost) <= 0.005 * 500, lost
    assert (total.mirror, total.question + total.answer) == (50, 60 + len(lost))
    assert 'podium_retrieval_screened_total{rule="mirror"} 50.0' in metrics
    assert "lastexam.ai" in asked[0]["exclude_domains"]
    assert "huggingface.co" not in asked[0]["exclude_domains"], "only a part of that domain holds copies"


@pytest.mark.parametrize(("mode", "expected"), [("shorten", "shortened"), ("refuse", "refused"), ("keep", None)])
async def test_a_query_that_quotes_the_question_is_changed(
    start: Any, web: Any, mode: str, expected: str | None
) -> None:
    text, answer = question(3)
    quote = f"solution of {' '.join(text.split()[:20])} by experts"
    async with (
        web(lambda _: [], screen(query=mode)) as (asked, searching),
        start(documents=DOCUMENTS, min_score=0.99, web=lambda: searching) as running,
    ):
        got = await running.ask(quote, topk=4, screen=fingerprint(text, answer, "s").to_json())
        plain = await running.ask("own words", topk=4, screen=fingerprint(text, answer, "s").to_json())
    counts = Screened.from_header(got.headers["x-podium-screened"])
    assert counts == (Screened(**{expected: 1}) if expected else Screened())
    assert Screened.from_header(plain.headers["x-podium-screened"]) == Screened()
    sent = [one["query"] for one in asked]
    if mode == "shorten":
        assert sent[0].startswith("solution of In the study")
        assert sent[0].endswith("by experts")
        assert len(sent[0].split()) == 12
    assert len(sent) == (1 if mode == "refuse" else 2)


async def test_other_clients_need_no_screen_and_meet_no_mirror(start: Any, web: Any) -> None:
    async with (
        web(lambda _: leaks(1), screen()) as (_, searching),
        start(documents=DOCUMENTS, min_score=0.99, web=lambda: searching) as running,
    ):
        answer = await running.ask("anything", topk=20)
        bad = await running.ask("anything", topk=20, screen={"salt": 5})
    assert Screened.from_header(answer.headers["x-podium-screened"]) == Screened(mirror=5)
    assert (bad.status_code, bad.json()["error"]["type"]) == (422, "bad_request")
    assert "screen.salt" in bad.json()["error"]["message"]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "a" * n,
        lambda n: "e\u0301\u0316" * (n // 3),
        lambda n: "in the study of the " * (n // 20),
        lambda n: "漢字" * (n // 2),
    ],
)
def test_hostile_text_costs_linear_time(make: Callable[[int], str]) -> None:
    def seconds(size: int) -> float:
        text, matcher = make(size), Matcher(fingerprint(*question(0), "s"), 0.5)
        began = time.process_time()
        matcher.rule(text)
        matcher.shortened(text, 8)
        return time.process_time() - began

    small, large = (min(seconds(size) for _ in range(3)) for size in (40_000, 160_000))
    assert large < 10 * small + 0.05  # four times the text; the square would be sixteen


def test_words_ignore_case_accents_and_signs() -> None:
    assert [word for word, _, _ in spans("Gödel's  PROOF—漢字")] == ["godel", "s", "proof", "漢", "字"]


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://huggingface.co/datasets/cais/hle/viewer?row=3", True),
        ("HTTPS://HuggingFace.co.:443//datasets/./x", True),
        ("https://huggingface.co/blog/some-post", False),
        ("https://notlastexam.ai/", False),
        ("https://huggingface-co.translate.goog/datasets/cais/hle", True),
        ("https://reader.test/huggingface.co/datasets/cais/hle", True),
        ("https://github.com/someone/hleicopter", False),
        ("https://arxiv.org/pdf/2501.14249v7", True),
        ("https://[broken", False),
        ("https://a.test/" + "https://" * 5000, False),
    ],
)
def test_addresses_of_copies_are_known(url: str, listed: bool) -> None:
    assert load_mirrors(None).holds(url) is listed


def test_a_list_of_ones_own_takes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[mirror]]\ndomain = "copies.test"\npath = ""\nkind = "hub"\nsource = "us"\ndate = "2026-11-27"\n')
    mine = load_mirrors(path)
    assert (mine.holds("https://www.copies.test/x"), mine.holds("https://lastexam.ai")) == (True, False)
    path.write_text('[[mirror]]\ndomain = "copies.test"\npath = ""\n')
    with pytest.raises(StartError, match=r"\[\[mirror\]\] 1 needs a text in kind, source, date"):
        load_mirrors(path)
