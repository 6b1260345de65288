"""build-index: a jsonl corpus to eval.index and eval.jsonl, going on where it was stopped."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import faiss
import numpy as np
import numpy.typing as npt
import orjson
from podium_contracts.files import move_durably, write_atomically
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from podium_retrieval.encoder.devices import cores
from podium_retrieval.encoder.embedder import Embedder, EmbedderFailed, Prepared
from podium_retrieval.encoder.load import load_embedder
from podium_retrieval.errors import StartError
from podium_retrieval.files import alone
from podium_retrieval.index.corpus import Corpus, text_of
from podium_retrieval.index.corpus_source import copy_corpus
from podium_retrieval.index.faiss_index import one_line, set_threads
from podium_retrieval.settings import Settings

_LOG = logging.getLogger(__name__)
_WINDOW: Final = 2048
"""Documents sorted by length together, and written together: at most these are lost when the build is killed."""
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class BuildState:
    """What the vectors already on disk belong to; a build goes on only if all of it is unchanged."""

    corpus_sha256: str
    documents: int
    model: str
    dimension: int
    document_tokens: int


def build_index(settings: Settings, *, restart: bool = False, skip_bad: bool = False) -> None:
    """Write eval.jsonl, eval.index and the offsets into INDEX_DIR.

    Vectors are appended to a file under INDEX_DIR/build as they are made, so a build that was stopped, however hard,
    loses no more than the documents in work. Both results appear whole or not at all.

    Raises:
        StartError: a setting is missing, a line of the corpus is bad, or earlier work belongs to something else.
    """
    source, folder = _places(settings)
    work = folder / "build"
    try:
        with alone(folder, "build-index"):
            if restart and work.exists():
                shutil.rmtree(work)
            work.mkdir(exist_ok=True)
            _build(settings, source, folder, work, skip_bad=skip_bad)
    except EmbedderFailed as error:
        raise StartError(f"{error}; the same command goes on from here") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full: make room and run the same command again" if full else f"{error}"
        raise StartError(f"INDEX_DIR={folder}: {what}") from error


def _build(settings: Settings, source: Path, folder: Path, work: Path, *, skip_bad: bool) -> None:
    ours = work / "corpus.jsonl"
    checked = copy_corpus(source, ours, skip_bad=skip_bad)
    if checked.n_bad:
        first = "\n  ".join(checked.shown)
        _LOG.warning("%s: %d bad line(s) left out, the first:\n  %s", source, checked.n_bad, first)
    count = checked.count
    set_threads(settings.retrieval_threads or cores())
    embedder = load_embedder(settings)
    state = BuildState(
        checked.sha256, count, settings.embedding_model, embedder.dimension, settings.retrieval_document_tokens
    )
    vectors = _open_work(work, state)
    corpus = Corpus.open(ours)
    try:
        _embed(corpus, embedder, vectors, count, settings.retrieval_build_tokens)
    finally:
        corpus.close()
        embedder.close()
    if vectors.stat().st_size != count * state.dimension * 2:
        raise StartError(
            f"{vectors} holds {vectors.stat().st_size} bytes, {count} documents of {state.dimension} numbers are "
            f"{count * state.dimension * 2}: something else wrote there; build again with --restart"
        )
    matrix: npt.NDArray[np.float16] = np.memmap(vectors, np.float16, "r", shape=(count, state.dimension))
    index = make_index(
        matrix, settings.retrieval_index_type, settings.retrieval_index_storage, settings.retrieval_index_cells
    )
    made = work / "eval.index"
    try:
        faiss.write_index(index, str(made))
    except RuntimeError as error:
        made.unlink(missing_ok=True)
        raise StartError(f"{made} cannot be written: {one_line(error)}; is the disk full?") from error
    move_durably(ours, folder / "eval.jsonl")
    move_durably(made, folder / "eval.index")
    Corpus.open(folder / "eval.jsonl").close()  # writes the offsets
    shutil.rmtree(work)
    _LOG.info(
        "%s holds %d documents, %s %s", folder, count, settings.retrieval_index_type, settings.retrieval_index_storage
    )


def make_index(
    matrix: npt.NDArray[np.float16],
    kind: Literal["flat", "ivf"],
    storage: Literal["float32", "float16"],
    cells: int | None,
) -> Any:
    """An inner-product index over unit vectors [n, d].

    Raises:
        StartError: too few vectors for an IVF index.
    """
    count, dimension = matrix.shape
    half = storage == "float16"
    if kind == "flat":
        index: Any = (
            faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
            if half
            else faiss.IndexFlatIP(dimension)
        )
    else:
        nlist = cells or max(1, min(int(4 * count**0.5), count // 39))
        if count < nlist:
            raise StartError(f"{count} documents are too few for {nlist} cells: lower --cells or take --type flat")
        coarse = faiss.IndexFlatIP(dimension)
        index = (
            faiss.IndexIVFScalarQuantizer(
                coarse, dimension, nlist, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
            )
            if half
            else faiss.IndexIVFFlat(coarse, dimension, nlist, faiss.METRIC_INNER_PRODUCT)
        )
        sample = np.sort(np.random.default_rng(0).choice(count, min(count, 256 * nlist), replace=False))
        index.train(matrix[sample].astype(np.float32))
    for start in range(0, count, _CHUNK):
        index.add(matrix[start : start + _CHUNK].astype(np.float32))
    return index


def _places(settings: Settings) -> tuple[Path, Path]:
    if settings.corpus is None:
        raise StartError("CORPUS is not set: name the jsonl file to build from (--corpus)")
    if settings.index_dir is None:
        raise StartError("INDEX_DIR is not set: name the folder to build into (--index-dir)")
    try:
        settings.index_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"INDEX_DIR={settings.index_dir} cannot be made: {error.strerror}") from error
    return settings.corpus, settings.index_dir


def _open_work(work: Path, state: BuildState) -> Path:
    """The file of vectors so far, cut to whole windows' rows."""
    note, vectors = work / "state.json", work / "vectors.f16"
    wanted = orjson.dumps(asdict(state))
    if note.exists() and vectors.exists():
        if note.read_bytes() != wanted:
            raise StartError(
                f"{work} holds the work of another corpus, model or token limit: finish that build or use --restart"
            )
    else:
        vectors.write_bytes(b"")
        write_atomically(note, wanted)
    row = state.dimension * 2
    os.truncate(vectors, vectors.stat().st_size // row * row)
    return vectors


def _embed(corpus: Corpus, embedder: Embedder, vectors: Path, count: int, tokens: int) -> None:
    done = vectors.stat().st_size // (embedder.dimension * 2)
    if done:
        _LOG.info("going on after %d of %d documents", done, count)
    columns = (
        TextColumn("embedding"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress, vectors.open("ab") as file:
        bar = progress.add_task("embedding", total=count, completed=done)
        for start in range(done, count, _WINDOW):
            end = min(start + _WINDOW, count)
            texts = [embedder.prepare_document(text_of(corpus.document(row)) or "") for row in range(start, end)]
            window = np.empty((end - start, embedder.dimension), np.float16)
            for batch in _batches(texts, tokens):
                window[batch] = embedder.encode([texts[at] for at in batch])
                progress.advance(bar, len(batch))
            file.write(window.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _batches(texts: Sequence[Prepared], tokens: int) -> Iterator[list[int]]:
    """Positions by length, at most `tokens` padded tokens together."""
    batch: list[int] = []
    for at in sorted(range(len(texts)), key=lambda at: texts[at].n_tokens):
        if batch and texts[at].n_tokens * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
