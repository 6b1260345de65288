"""`podium-retrieval screen` lists the documents that give questions away."""

import json
from pathlib import Path
from typing import Any

import pytest
from podium_retrieval.__main__ import main

QUESTION = (
    "Which mineral forms when the slow cooling of a basalt column traps iron beside sulphur under a sealed clay lid, "
    "and why does its colour fade in winter light?"
)
ROWS = [
    {"id": "q1", "question": QUESTION, "answer": "marcasite twin"},
    {"id": "q2", "question": "Why?", "answer": "no"},
]
DOCUMENTS: list[dict[str, Any]] = [
    {"id": "plain", "contents": "Basalt columns cool slowly, and iron sulphides form in them. " * 5},
    {"id": "copy", "contents": f"Quiz night. {QUESTION} Good luck."},
    {"id": "turned", "contents": "marcasite twin: " + " ".join(reversed(QUESTION.split()))},
    {"id": "https://huggingface.co/datasets/cais/hle", "contents": "rows"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_leaking_documents_are_listed_by_line_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, corpus = write(tmp_path / "d.jsonl", ROWS), write(tmp_path / "c.jsonl", DOCUMENTS)
    assert main(["screen", "--dataset", str(dataset), "--corpus", str(corpus)]) == 1
    shown = capsys.readouterr()
    found = [json.loads(line) for line in shown.out.splitlines()]
    assert [(one["line"], one["document"], one["rule"], one["question"]) for one in found] == [
        (2, "copy", "question", "q1"),
        (3, "turned", "answer", "q1"),
        (4, "https://huggingface.co/datasets/cais/hle", "mirror", None),
    ]
    assert "3 finding(s)" in shown.err
    assert "basalt" not in shown.out, "no text of a question is printed"


def test_a_clean_corpus_ends_well(tmp_path: Path) -> None:
    dataset, corpus = write(tmp_path / "d.jsonl", ROWS), write(tmp_path / "c.jsonl", DOCUMENTS[:1])
    assert main(["screen", "--dataset", str(dataset), "--corpus", str(corpus)]) == 0


@pytest.mark.parametrize(
    ("row", "said"), [("{", "line 1 is no JSON"), ('{"id": "a"}', "line 1 needs texts in id, question and answer")]
)
def test_bad_datasets_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, said: str) -> None:
    (tmp_path / "d.jsonl").write_text(row)
    corpus = write(tmp_path / "c.jsonl", DOCUMENTS)
    assert main(["screen", "--dataset", str(tmp_path / "d.jsonl"), "--corpus", str(corpus)]) == 2
    assert said in capsys.readouterr().err
