import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from podium_eval.dataset.image import image_of
from podium_eval.dataset.load import load_questions, scan
from podium_eval.dataset.selection import DatasetError, Selection

FIELDS = Path(__file__).parents[2] / "podium_eval" / "data" / "fields" / "questions.jsonl"
PNG = b"\x89PNG\r\n\x1a\nrest"


def row(id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": id, "question": "What?", "answer": "That", "image": "", **fields}


def jsonl(path: Path, *lines: object) -> Path:
    text = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    return [str(p).removeprefix(f"{path}") for p in scan(path).problems]


def test_own_twenty_questions_in_hles_fields():
    data = load_questions(FIELDS)
    assert (data.n, data.n_selected, len(data.questions)) == (20, 20, 20)
    assert [q.eid for q in data.questions] == list(range(20))
    assert data.sha256 == hashlib.sha256(FIELDS.read_bytes()).hexdigest()
    assert data.canary is not None
    assert "canary" not in "".join(q.question for q in data.questions)
    assert [q.id for q in data.questions if q.image] == ["fields-02"]
    assert data.questions[1].image.startswith("data:image/png;base64,")
    assert {q.answer_type for q in data.questions} == {"exactMatch", "multipleChoice"}


def test_the_solution_and_its_author_never_reach_a_question(tmp_path: Path):
    path = jsonl(
        tmp_path / "d.jsonl", row(rationale="secret", author_name="X", canary="C", difficulty=3, raw_subject="S")
    )
    question = load_questions(path).questions[0]
    assert question.extra == {"difficulty": 3}
    assert question.subject == "S"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{bad", ":2: bad JSON at column 2: Expecting property name enclosed in double quotes"),
        ("[1]", ":2: must be a JSON object, it is a list"),
        ("null", ":2: must be a JSON object, it is null"),
        ({"id": "b", "question": "Q"}, ":2: field 'answer' is missing"),
        (row("b", answer=7), ":2: 'answer' must be a text, it is a number"),
        (row("b", question="  "), ":2: 'question' is empty"),
        (row("b", category=["Math"]), ":2: 'category' must be a text, it is a list"),
        (row("b", image=True), ":2: 'image' must be a URL as text, it is true/false"),
        (row("b", image="pic.png"), ":2: 'image' is neither a data:image/ URL nor an http(s) URL but begins 'pic.png'"),
        ({**row(), "id": 5}, ":2: 'id' must be a text, it is a number"),
        ("[" * 100_000, ":2: bad JSON: nested too deep"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, message: str):
    assert problems(jsonl(tmp_path / "d.jsonl", row(), line)) == [message]


def test_a_duplicate_id_names_both_lines(tmp_path: Path):
    path = jsonl(tmp_path / "d.jsonl", row("x"), "", row("y"), row("x"))
    assert problems(path) == [f":4: id 'x' is already that of {path}:1"]


def test_every_problem_is_found_and_the_first_twenty_shown(tmp_path: Path):
    path = jsonl(tmp_path / "d.jsonl", *["{"] * 25, {"id": 1, "question": 2, "answer": ""})
    found = scan(path)
    assert len(found.problems) == 28
    assert (found.n_rows, found.questions) == (26, [])
    with pytest.raises(DatasetError) as error:
        load_questions(path)
    assert f"{path}:20:" in str(error.value)
    assert f"{path}:21:" not in str(error.value)
    assert "and 8 more" in str(error.value)
    assert len(error.value.problems) == 28


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"id": "a", "question": "\xff", "answer": "b"}\n')
    assert problems(path) == [":1: is not UTF-8 at byte 25"]


def test_odd_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path):
    path = tmp_path / "d.jsonl"
    lines = [json.dumps(row("a")), "", json.dumps(row("b"))]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert [(q.id, q.eid) for q in load_questions(path).questions] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_file_without_questions_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "d.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="holds no question"):
        load_questions(path)


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"No such file.*set DATASET"):
        load_questions(tmp_path / "none.jsonl")
    with pytest.raises(DatasetError, match="is a folder"):
        load_questions(tmp_path)


def test_parquet_gives_the_same_questions_as_jsonl(tmp_path: Path):
    rows = [json.loads(line) for line in FIELDS.read_text().splitlines()]
    for one in rows:
        one["image_preview"] = {"bytes": PNG, "path": "p"} if one["image"] else None
    path = tmp_path / "no-suffix"
    pq.write_table(pa.Table.from_pylist(rows), path)
    data = load_questions(path)
    assert data.questions == load_questions(FIELDS).questions
    assert data.canary == load_questions(FIELDS).canary


def test_parquet_problems_are_named_by_row_across_shards(tmp_path: Path):
    one, two = tmp_path / "test-0.parquet", tmp_path / "test-1.parquet"
    pq.write_table(pa.Table.from_pylist([row("a"), row("b")]), one)
    pq.write_table(pa.Table.from_pylist([row("c"), row("a")]), two)
    found = scan([two, one])
    assert [str(p) for p in found.problems] == [f"{two} row 2: id 'a' is already that of {one} row 1"]
    assert [q.eid for q in found.questions] == [0, 1, 2]
    assert found.sha256 == hashlib.sha256(one.read_bytes() + two.read_bytes()).hexdigest()


def test_a_cut_parquet_file_is_refused(tmp_path: Path):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pylist([row()]), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="begins as Parquet but cannot be read"):
        load_questions(path)


def test_image_bytes_become_a_data_url():
    assert image_of({"bytes": PNG, "path": None}) == "data:image/png;base64,iVBORw0KGgpyZXN0"
    assert image_of({"bytes": b"\xff\xd8\xff", "path": None}).startswith("data:image/jpeg;")
    assert image_of(None) is None
    assert image_of("") is None
    with pytest.raises(ValueError, match=r"only names 'x\.png'"):
        image_of({"bytes": None, "path": "x.png"})


def test_n_is_the_files_and_n_selected_the_selections():
    data = load_questions(FIELDS, Selection(limit=3))
    assert (data.n, data.n_selected) == (20, 3)
