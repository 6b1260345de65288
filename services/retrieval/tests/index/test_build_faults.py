"""What may be wrong with a corpus, a folder or an encoder while an index is built: each told in one line."""

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import faiss
import orjson
import pytest
from podium_retrieval.encoder.model_path import resolve_model
from podium_retrieval.encoder.sentence import EncoderOptions, SentenceEmbedder
from podium_retrieval.errors import StartError
from podium_retrieval.files import alone, refuse_pointer
from podium_retrieval.index.build import BuildState, build_index
from podium_retrieval.index.corpus import Corpus
from podium_retrieval.index.corpus_source import copy_corpus
from podium_retrieval.index.faiss_index import FaissIndex, IndexOptions
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
    if shutil.which("unshare") is None or os.getuid() != 0:
        pytest.skip("mounting a small file system needs root")
    (tmp_path / "index").mkdir()
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"contents": f"text {n} " * 40}) + "\n" for n in range(2000)))
    script = (
        f"mount -t tmpfs -o size=400k tmpfs {tmp_path}/index && exec {sys.executable} -m podium_retrieval build-index"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{script} --corpus {corpus} --index-dir {tmp_path}/index"],
        env={**os.environ, "EMBEDDING_MODEL": "embedded", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "the disk is full: make room and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_two_builders_one_is_told(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"contents": f"text {n} " * 60}) + "\n" for n in range(3000)))
    argv = [sys.executable, "-m", "podium_retrieval", "build-index", "--corpus", str(corpus)]
    argv += ["--index-dir", str(tmp_path / "index"), "--model", "embedded"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "RETRIEVAL_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(argv, env=environment, **quiet)  # pyright: ignore[reportArgumentType, reportCallIssue]
    lock = tmp_path / "index" / "build-index.lock"
    while not (lock.exists() and lock.read_text().strip()):
        assert first.poll() is None
        time.sleep(0.02)
    second = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    first.kill()
    first.wait(10)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"by process {first.pid}" in second.stderr


def model_folder(tmp_path: Path, **replaced: bytes | None) -> Path:
    """The embedded model, some of its files other bytes or missing."""
    place = Path(resolve_model("embedded"))
    folder = tmp_path / "model"
    folder.mkdir()
    for one in place.iterdir():
        (folder / one.name).symlink_to(one)
    for name, raw in replaced.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.unlink()
        if raw is not None:
            path.write_bytes(raw)
    return folder


def loaded(folder: Path, **options: str) -> SentenceEmbedder:
    plain = {"device": "cpu", "dtype": "float32", "query_tokens": 32, "document_tokens": 32}
    return SentenceEmbedder.load(EncoderOptions(model=str(folder), **{**plain, **options}))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model_dot_safetensors": b"\x10\x00\x00\x00\x00\x00\x00\x00{}"}, "cannot be loaded"),
        ({"model_dot_safetensors": POINTER}, "model.safetensors is a Git LFS pointer"),
        ({"1_Pooling": None}, "cannot be loaded"),
        ({"modules_dot_json": b"{"}, "cannot be loaded"),
    ],
    ids=["truncated", "pointer", "no pooling", "no modules"],
)
def test_a_model_that_is_not_whole_is_one_line(tmp_path: Path, files: dict[str, bytes | None], said: str) -> None:
    with pytest.raises(StartError, match=said) as caught:
        loaded(model_folder(tmp_path, **files))
    assert "\n" not in str(caught.value)


def test_a_document_prompt_is_the_models_or_the_settings(tmp_path: Path) -> None:
    config = b'{"prompts": {"passage": "passage: "}}'
    folder = model_folder(tmp_path, config_sentence_transformers_dot_json=config)
    own = loaded(folder).prepare_document("a bird").n_tokens
    none = loaded(folder, document_prompt="").prepare_document("a bird").n_tokens
    longer = loaded(folder, document_prompt="this is a passage: ").prepare_document("a bird").n_tokens
    assert none < own < longer


def test_an_index_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "eval.index"
    faiss.write_index(faiss.IndexFlatIP(8), str(path))
    whole = path.read_bytes()
    for raw, said in (
        (whole[:20], "is no index that FAISS"),
        (POINTER, "INDEX_DIR=.*Git LFS pointer"),
        (b"", "is no index"),
    ):
        path.write_bytes(raw)
        with pytest.raises(StartError, match=said) as caught:
            FaissIndex.load(path, IndexOptions(device="cpu"))
        assert "\n" not in str(caught.value)


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
