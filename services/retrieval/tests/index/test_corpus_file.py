"""Documents read by offset."""

import json
import os
from pathlib import Path

import pytest
from podium_retrieval.errors import StartError
from podium_retrieval.index.corpus import BadDocument, Corpus


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return path


def document(text: str) -> str:
    return json.dumps({"id": text, "contents": text}, ensure_ascii=False)


def test_each_row_is_its_line(tmp_path: Path) -> None:
    texts = ["first", "zweite ü", "第三", "x" * 100_000, "last"]
    corpus = Corpus.open(write(tmp_path / "c.jsonl", [document(text) for text in texts]))
    assert len(corpus) == 5
    assert [corpus.document(row)["contents"] for row in (4, 2, 3, 1, 0)] == [texts[at] for at in (4, 2, 3, 1, 0)]
    corpus.close()


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    corpus = Corpus.open(write(tmp_path / "c.jsonl", [document("a"), document("b")], end=""))
    assert len(corpus) == 2
    assert corpus.document(1)["id"] == "b"
    corpus.close()


def test_offsets_are_kept_and_made_again_when_the_corpus_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", [document("a"), document("b")])
    Corpus.open(path).close()
    kept = path.with_name("c.jsonl.offsets.npy")
    before = kept.stat().st_mtime_ns
    Corpus.open(path).close()
    assert kept.stat().st_mtime_ns == before
    write(path, [document("a"), document("longer than before"), document("c")])
    corpus = Corpus.open(path)
    assert corpus.document(2)["id"] == "c"
    corpus.close()


def test_torn_offsets_are_made_again(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", [document("a"), document("b")])
    Corpus.open(path).close()
    kept = path.with_name("c.jsonl.offsets.npy")
    kept.write_bytes(kept.read_bytes()[:90])
    corpus = Corpus.open(path)
    assert corpus.document(1)["id"] == "b"
    corpus.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", [document("a")])
    tmp_path.chmod(0o500)
    corpus = Corpus.open(path)
    assert len(corpus) == 1
    corpus.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "no JSON"), ("[1]", "no JSON object"), ('{"id": "x"}', "no text"), ('{"contents": 5}', "no text")],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "c.jsonl", [document("a"), line, document("b")])
    corpus = Corpus.open(path)
    with pytest.raises(BadDocument, match=rf"c\.jsonl line 2 .*{said}"):
        corpus.document(1)
    assert corpus.document(2)["id"] == "b"
    corpus.close()


def test_empty_and_blank_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is empty"):
        Corpus.open(write(tmp_path / "e.jsonl", [], end=""))
    with pytest.raises(StartError, match="line 2 is blank"):
        Corpus.open(write(tmp_path / "b.jsonl", [document("a"), "", document("b")]))
