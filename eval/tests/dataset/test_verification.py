"""Verification classes of questions, versions of datasets, and subsets by both."""

import json
from pathlib import Path
from typing import Any

import pytest
from podium_eval.__main__ import main
from podium_eval.dataset.load import load_questions
from podium_eval.dataset.selection import DatasetError, Selection, read_ids

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(field: str = "Verified_Classes") -> list[dict[str, Any]]:
    words = ("Gold subset", "Revision subset", "Uncertain subset", "")
    return [
        {"id": f"q{n}", "question": f"What is {n}?", "answer": str(n), field: word, "version": "v1.2"}
        for n, word in enumerate(words)
    ]


def test_rows_of_hle_verified_have_their_class(tmp_path: Path) -> None:
    dataset = load_questions(write(tmp_path / "d.jsonl", rows()))
    assert [q.verified_class for q in dataset.questions] == ["certified", "revised", "uncertain", None]
    assert dataset.version == "v1.2"


def test_a_class_selects_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", rows())
    chosen = load_questions(path, Selection(verified_classes=("certified", "revised")))
    assert [q.id for q in chosen.questions] == ["q0", "q1"]
    with pytest.raises(DatasetError, match=r"--class golden: not in .* which has: certified, revised, uncertain"):
        load_questions(path, Selection(verified_classes=("golden",)))


def test_a_field_of_another_name_is_configured(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", rows("audit"))
    assert {q.verified_class for q in load_questions(path).questions} == {None}
    named = load_questions(path, Selection(class_field="audit"))
    assert [q.verified_class for q in named.questions] == ["certified", "revised", "uncertain", None]
    with pytest.raises(DatasetError, match="CLASS_FIELD=nothing: no row has this field"):
        load_questions(path, Selection(class_field="nothing"))


def test_a_file_beside_the_dataset_gives_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", rows("other"))
    classes = write(tmp_path / "c.jsonl", [{"id": "q1", "class": "certified"}, {"id": "elsewhere", "class": "revised"}])
    found = load_questions(path, Selection(class_file=classes, verified_classes=("certified",)))
    assert [q.id for q in found.questions] == ["q1"]
    write(classes, [{"id": "q1"}])
    with pytest.raises(DatasetError, match=r"CLASS_FILE .*c\.jsonl:1: needs a text in id"):
        load_questions(path, Selection(class_file=classes))


def test_a_nested_image_is_no_text_question(tmp_path: Path) -> None:
    given = rows()
    given[0]["json"] = json.dumps({"id": "q0", "image": PIXEL})
    path = write(tmp_path / "d.jsonl", given)
    ids = tmp_path / "ids.txt"
    ids.write_text("q0\nq1\n")
    assert load_questions(path).questions[0].image == PIXEL
    text = load_questions(path, Selection(text_only=True, ids=read_ids(ids)))
    assert [q.id for q in text.questions] == ["q1"]


def test_a_class_can_be_written_as_a_subset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "d.jsonl", rows()), tmp_path / "out.jsonl"
    assert main(["data", "subset", str(path), "--class", "uncertain", "-o", str(out)]) == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["q2"]
    assert main(["data", "describe", str(path), "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown[shown.index("{") :])["verified_class"]["certified"] == 1
