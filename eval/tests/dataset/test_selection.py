import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import DatasetError, Selection, read_ids, select

QUESTIONS = [
    Question(
        id=f"q{n}",
        eid=n,
        question="Q",
        answer="A",
        category="Math" if n % 2 else "Physics",
        answer_type="exactMatch" if n % 3 else None,
        image="data:image/png;base64,AA==" if n == 4 else None,
    )
    for n in range(10)
]


def ids(selection: Selection) -> list[str]:
    return [q.id for q in select(QUESTIONS, selection)]


def test_without_a_selection_all_in_order():
    assert ids(Selection()) == [q.id for q in QUESTIONS]


def test_filters_combine_and_ignore_case():
    assert ids(Selection(text_only=True, categories=("physics",))) == ["q0", "q2", "q6", "q8"]
    assert ids(Selection(categories=("Math", "Physics"), answer_types=("EXACTMATCH",), limit=2)) == ["q1", "q2"]


def test_ids_keep_the_files_order():
    assert ids(Selection(ids=("q7", "q2"))) == ["q2", "q7"]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(categories=("Maths",)), r"--category Maths: not in dataset, which has: Math, Physics"),
        (Selection(answer_types=("x",)), r"--answer-type x: not in dataset, which has: exactMatch"),
        (Selection(ids=("q1", "zz")), r"--ids: 1 id\(s\) are not in dataset: zz"),
        (Selection(limit=0), r"--limit 0: at least 1"),
        (Selection(ids=("q4",), text_only=True), r"leaves no question of 10"),
    ],
)
def test_a_selection_that_makes_no_sense_says_so(selection: Selection, message: str):
    with pytest.raises(DatasetError, match=message):
        ids(selection)


def test_the_shuffle_is_the_documented_one():
    expected = sorted(QUESTIONS, key=lambda q: hashlib.sha256(b"42\0" + q.id.encode()).hexdigest())
    assert ids(Selection(shuffle_seed=42)) == [q.id for q in expected]
    # Pinned: an order that people cite must not change with a version.
    assert ids(Selection(shuffle_seed=0, limit=4)) == ["q8", "q7", "q5", "q2"]


@settings(deadline=None)
@given(st.integers(), st.permutations(QUESTIONS), st.integers(1, 10))
def test_the_shuffle_depends_on_ids_alone(seed: int, questions: list[Question], limit: int):
    selection = Selection(shuffle_seed=seed, limit=limit)
    assert [q.id for q in select(questions, selection)] == ids(selection)


def test_ids_file(tmp_path: Path):
    path = tmp_path / "ids.txt"
    path.write_text("\ufeff# chosen by hand\nq1\n\n q2 \nq1\n#3\n", encoding="utf-8")
    assert read_ids(path) == ("q1", "q2", "#3")
    path.write_text("# none\n")
    with pytest.raises(DatasetError, match="names no id"):
        read_ids(path)
    with pytest.raises(DatasetError, match="No such file"):
        read_ids(tmp_path / "none")
