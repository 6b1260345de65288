"""Indexes that others wrote: cells behind wrappers, ids of their own. Real FAISS, over an encoder of hashed words."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from podium_retrieval.encoder.embedder import Prepared
from podium_retrieval.errors import StartError
from podium_retrieval.index.corpus import Corpus
from podium_retrieval.index.faiss_index import FaissIndex, IndexOptions
from podium_retrieval.index.id_meaning import rows_of

DIMENSION = 64
N = 400
CELLS = 20


class WordEmbedder:
    """Unit vectors of hashed words, as far as a check of ids asks for them; `not` turns one round."""

    def prepare_document(self, text: str) -> Prepared:
        return Prepared(len(text.split()), text)

    def encode(self, batch: Sequence[Prepared]) -> np.ndarray:
        vectors = np.zeros((len(batch), DIMENSION), np.float32)
        for row, one in enumerate(batch):
            words = one.payload.split()
            for word in words[words[0] == "not" :]:
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
                vectors[row] += np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
            vectors[row] *= -1 if words[0] == "not" else 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@cache
def vectors() -> np.ndarray:
    embedder = WordEmbedder()
    return embedder.encode([embedder.prepare_document(text(n)) for n in range(N)])


def text(n: int) -> str:
    """Half of them turned round: a PCA takes the mean away, which here is zero."""
    if n >= N // 2:
        return f"not {text(n - N // 2)}"
    return f"w{n} w{n * 7 % 91} w{n * 13 % 97} v{n * 31}"


def ivf() -> Any:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIMENSION), DIMENSION, CELLS, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors())
    return index


def behind_pca() -> Any:
    pca = faiss.PCAMatrix(DIMENSION, DIMENSION)
    return trained(faiss.IndexPreTransform(pca, bare_ivf()))


def behind_opq() -> Any:
    return trained(faiss.IndexPreTransform(faiss.OPQMatrix(DIMENSION, 4), bare_ivf()))


def behind_norm() -> Any:
    return trained(faiss.IndexPreTransform(faiss.NormalizationTransform(DIMENSION), bare_ivf()))


def refined() -> Any:
    return trained(faiss.IndexRefineFlat(bare_ivf()))


def behind_id_map() -> Any:
    index = faiss.IndexIDMap(ivf())
    index.add_with_ids(vectors(), np.arange(N))
    return index


def bare_ivf() -> Any:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIMENSION), DIMENSION, CELLS, faiss.METRIC_INNER_PRODUCT)
    keep.append(index)
    return index


keep: list[Any] = []
"""FAISS's wrappers do not hold what they wrap."""


def trained(index: Any) -> Any:
    index.train(vectors())
    index.add(vectors())
    return index


@pytest.mark.parametrize("make", [behind_pca, behind_opq, behind_norm, refined, behind_id_map])
def test_cells_are_probed_behind_every_wrapper(tmp_path: Path, make: Callable[[], Any]) -> None:
    path = tmp_path / "eval.index"
    faiss.write_index(make(), str(path))
    wanted = FaissIndex.flat(vectors()).search(vectors()[:50], 10)[1]

    def recall(nprobe: int) -> float:
        index = FaissIndex.load(path, IndexOptions(device="cpu", nprobe=nprobe, memory_map=False))
        found = index.search(vectors()[:50], 10)[1]
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, wanted, strict=True)]))

    assert recall(CELLS) >= 0.97
    assert recall(1) < recall(CELLS) - 0.1


def corpus_of(tmp_path: Path, ids: list[Any]) -> Corpus:
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps({"id": id_, "contents": text(n)}) + "\n" for n, id_ in enumerate(ids)))
    return Corpus.open(path)


def flat_with(ids: np.ndarray) -> Any:
    index = faiss.IndexIDMap(faiss.IndexFlatIP(DIMENSION))
    index.add_with_ids(vectors(), ids)
    return index


def map2_with(ids: np.ndarray) -> Any:
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSION))
    index.add_with_ids(vectors(), ids)
    return index


def transformed_with(ids: np.ndarray) -> Any:
    index = faiss.IndexPreTransform(faiss.NormalizationTransform(DIMENSION), bare_ivf())
    index.train(vectors())
    index.add_with_ids(vectors(), ids)
    return index


def ivf_with(ids: np.ndarray) -> Any:
    index = ivf()
    index.add_with_ids(vectors(), ids)
    return index


def opened(tmp_path: Path, index: Any) -> FaissIndex:
    faiss.write_index(index, str(tmp_path / "eval.index"))
    return FaissIndex.load(tmp_path / "eval.index", IndexOptions(device="cpu", nprobe=CELLS, memory_map=False))


SHUFFLED = np.random.default_rng(5).permutation(N).astype(np.int64)
OFFSET = np.arange(N, dtype=np.int64) + 10_000


@pytest.mark.parametrize("make", [flat_with, map2_with, ivf_with, transformed_with])
@pytest.mark.parametrize("ids", [SHUFFLED, OFFSET, np.arange(N, dtype=np.int64)], ids=["shuffled", "offset", "rows"])
@pytest.mark.parametrize("written", [int, str])
def test_ids_of_the_id_field_find_their_documents(
    tmp_path: Path, make: Callable[[np.ndarray], Any], ids: np.ndarray, written: Callable[[Any], Any]
) -> None:
    index = opened(tmp_path, make(ids))
    index.rows = rows_of(index, corpus_of(tmp_path, [written(one) for one in ids]), WordEmbedder())
    assert np.array_equal(index.search(vectors(), 1)[1][:, 0], np.arange(N))


@pytest.mark.parametrize("make", [flat_with, ivf_with])
def test_ids_that_no_document_has_are_refused(tmp_path: Path, make: Callable[[np.ndarray], Any]) -> None:
    index = opened(tmp_path, make(OFFSET))
    with pytest.raises(StartError, match="ids of their own"):
        rows_of(index, corpus_of(tmp_path, [f"d{n}" for n in range(N)]), WordEmbedder())


@pytest.mark.parametrize("make", [flat_with, ivf_with])
def test_shuffled_ids_beside_names_are_refused(tmp_path: Path, make: Callable[[np.ndarray], Any]) -> None:
    index = opened(tmp_path, make(SHUFFLED))
    with pytest.raises(StartError, match="does not find the documents of its corpus"):
        rows_of(index, corpus_of(tmp_path, [f"d{n}" for n in range(N)]), WordEmbedder())


def test_cells_that_faiss_numbered_itself_are_rows(tmp_path: Path) -> None:
    index = opened(tmp_path, trained(bare_ivf()))
    assert rows_of(index, corpus_of(tmp_path, [f"d{n}" for n in range(N)]), WordEmbedder()) is None


def test_own_numbers_in_another_order_are_told_from_rows(tmp_path: Path) -> None:
    index = opened(tmp_path, trained(bare_ivf()))
    assert rows_of(index, corpus_of(tmp_path, [int(one) for one in SHUFFLED]), WordEmbedder()) is None
