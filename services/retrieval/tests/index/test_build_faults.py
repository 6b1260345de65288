"""What may be wrong with a corpus, a folder or an encoder while an index is built: each told in one line."""

import gzip
import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest
from podium_retrieval.errors import StartError
from podium_retrieval.files import alone, refuse_pointer
from podium_retrieval.index.build import BuildState, build_index
from podium_retrieval.index.corpus import Corpus
from podium_retrieval.index.corpus_source import copy_corpus
from podium_retrieval.settings import Settings

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
GOOD = [json.dumps({"id": n, "contents": f"text {n}"}) for n in range(30)]
WITH_BAD = [*GOOD[:3], "{", *GOOD[3:5], '{"contents": " "}', "5", *GOOD[5:], *(f"bad {n}" for n in range(12))]


def kept(tmp_path: Path, raw: bytes, *, skip_bad: bool = False) -> list[str]:
    source, target = tmp_path / "corpus", tmp_path / "kept.jsonl"
    source.write_bytes(raw)
    checked = copy_corpus(source, target, skip_bad=skip_bad)
    lines = target.read_text().splitlines()
    assert checked.count == len(lines)
    return lines


@pytest.mark.parametrize(
    "raw",
    [
        "\n".join(GOOD).encode(),
        "\r\n".join(GOOD).encode() + b"\r\n\r\n",
        b"\xef\xbb\xbf" + "\n".join(GOOD).encode() + b"\n\n\n",
        gzip.compress("\n".join(GOOD).encode(), mtime=0),
    ],
    ids=["no last line end", "windows", "byte order mark", "gzip"],
)
def test_any_form_of_the_same_lines_is_the_same_corpus(tmp_path: Path, raw: bytes) -> None:
    assert kept(tmp_path, raw) == GOOD


def test_bad_lines_are_left_out_when_asked(tmp_path: Path) -> None:
    source = tmp_path / "corpus.jsonl"
    source.write_text("\n".join(WITH_BAD))
    checked = copy_corpus(source, tmp_path / "kept", skip_bad=True)
    assert (checked.count, checked.n_bad, len(checked.shown)) == (30, 15, 10)
    assert checked.shown[0].startswith(f"{source} line 4 is no JSON")
    with pytest.raises(StartError, match=r"line 4 is no JSON.*--skip-bad"):
        copy_corpus(source, tmp_path / "kept", skip_bad=False)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (gzip.compress("\n".join(GOOD).encode(), mtime=0)[:40], "cut short or broken"),
        (POINTER, "Git LFS pointer"),
        (b"\n\n", "is empty"),
        (b"", "is empty"),
    ],
)
def test_a_corpus_that_is_none_is_named(tmp_path: Path, raw: bytes, said: str) -> None:
    with pytest.raises(StartError, match=said):
        kept(tmp_path, raw, skip_bad=raw == POINTER)


def settings(tmp_path: Path, **changes: object) -> Settings:
    (tmp_path / "corpus.jsonl").write_text("\n".join(GOOD))
    given = {"corpus": str(tmp_path / "corpus.jsonl"), "index_dir": tmp_path / "index", "embedding_model": "embedded"}
    return Settings(**{**given, **changes})  # pyright: ignore[reportArgumentType]


def test_a_second_builder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    script = (
        "import sys, pathlib\nfrom podium_retrieval.files import alone\n"
        "with alone(pathlib.Path(sys.argv[1]), 'build-index'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "index")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(StartError, match=f"build-index is under way there, by process {holder.pid}"):
        build_index(settings(tmp_path))
    holder.kill()
    holder.wait(10)
    holder.stdout.close()
    assert holder.stdin is not None
    holder.stdin.close()
    with alone(tmp_path / "index", "build-index"):
        pass
    assert not list((tmp_path / "index").iterdir())


def test_vectors_of_another_size_are_never_indexed(tmp_path: Path) -> None:
    given, work = settings(tmp_path), tmp_path / "index" / "build"
    work.mkdir(parents=True)
    checked = copy_corpus(tmp_path / "corpus.jsonl", work / "corpus.jsonl", skip_bad=False)
    state = BuildState(checked.sha256, checked.count, "embedded", 384, given.retrieval_document_tokens)
    (work / "state.json").write_bytes(orjson.dumps(asdict(state)))
    (work / "vectors.f16").write_bytes(bytes(31 * 384 * 2))
    with pytest.raises(StartError, match="30 documents of 384 numbers are 23040: something else wrote there"):
        build_index(given)
    assert not (tmp_path / "index" / "eval.index").exists()


def test_an_embedder_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="RETRIEVAL_EMBEDDER"):
        build_index(settings(tmp_path, retrieval_embedder="http://127.0.0.1:1/v1"))


def test_bad_lines_left_out_are_told_and_built(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = settings(tmp_path)
    (tmp_path / "corpus.jsonl").write_text("\n".join(WITH_BAD))
    with caplog.at_level(logging.WARNING):
        build_index(given, skip_bad=True)
    assert "15 bad line(s) left out, the first:" in caplog.text
    assert len(Corpus.open(tmp_path / "index" / "eval.jsonl")) == 30


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    given = settings(tmp_path, index_dir=Path("/dev/full"))
    with pytest.raises(StartError, match="INDEX_DIR"):
        build_index(given)


@pytest.mark.parametrize("offsets", [b"", b"\x93NUMPY", b"no array" * 8])
def test_broken_offsets_are_made_again(tmp_path: Path, offsets: bytes) -> None:
    path = tmp_path / "eval.jsonl"
    path.write_text("\n".join(GOOD))
    (tmp_path / "eval.jsonl.offsets.npy").write_bytes(offsets)
    assert len(Corpus.open(path)) == 30


def test_blank_last_lines_and_a_mark_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "eval.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(GOOD).encode() + b"\n\n\n")
    for _ in range(2):  # scanned, then by the kept offsets
        corpus = Corpus.open(path)
        assert len(corpus) == 30
        assert corpus.document(0)["contents"] == "text 0"
        assert corpus.document(29)["contents"] == "text 29"


def test_a_pointer_is_refused_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "eval.index").write_bytes(POINTER)
    with pytest.raises(StartError, match=r"INDEX_DIR=.*Git LFS pointer.*git lfs pull"):
        refuse_pointer(tmp_path / "eval.index", "INDEX_DIR")
