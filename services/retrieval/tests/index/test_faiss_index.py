"""Index kinds as FAISS writes them."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from podium_retrieval.errors import StartError
from podium_retrieval.index.build import make_index
from podium_retrieval.index.faiss_index import FaissIndex, IndexOptions

CPU = IndexOptions(device="cpu")


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    made = np.random.default_rng(3).standard_normal((4000, 32), np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("kind", "storage", "name"),
    [
        ("flat", "float32", "flat-float32"),
        ("flat", "float16", "flat-float16"),
        ("ivf", "float32", "ivf-float32"),
        ("ivf", "float16", "ivf-float16"),
    ],
)
@pytest.mark.parametrize("memory_map", [True, False])
def test_each_kind_finds_what_exact_search_finds(
    tmp_path: Path, vectors: np.ndarray, kind: Any, storage: Any, name: str, memory_map: bool
) -> None:
    made = make_index(vectors.astype(np.float16), kind, storage, cells=16 if kind == "ivf" else None)
    faiss.write_index(made, str(tmp_path / "eval.index"))
    index = FaissIndex.load(tmp_path / "eval.index", IndexOptions(device="cpu", memory_map=memory_map, nprobe=16))
    assert (index.kind, index.size, index.dimension) == (name, 4000, 32)
    queries = vectors[:50]
    scores, rows = index.search(queries, 10)
    exact = queries @ vectors.T
    wanted = np.argsort(-exact, axis=1)[:, :10]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(rows, wanted, strict=True)]) > 9.8
    assert np.allclose(scores[:, 0], exact[np.arange(50), wanted[:, 0]], atol=2e-3)
    assert np.all(np.diff(scores, axis=1) <= 0)


@pytest.mark.parametrize("blas_from", [1, 8, 10_000, None])
def test_blas_and_scan_agree(vectors: np.ndarray, blas_from: int | None) -> None:
    index = FaissIndex.flat(vectors)
    index.blas_from = blas_from
    for n in (1, 7, 8, 40):
        scores, rows = index.search(vectors[:n], 5)
        assert rows[:, 0].tolist() == list(range(n))
        assert np.allclose(scores[:, 0], 1, atol=1e-5)


def test_more_candidates_than_vectors_are_all_of_them(vectors: np.ndarray) -> None:
    scores, rows = FaissIndex.flat(vectors[:5]).search(vectors[:2], 1000)
    assert scores.shape == rows.shape == (2, 5)


def test_what_is_no_inner_product_index_is_refused(tmp_path: Path, vectors: np.ndarray) -> None:
    path = tmp_path / "eval.index"
    with pytest.raises(StartError, match="is missing"):
        FaissIndex.load(path, CPU)
    path.write_bytes(b"not an index at all")
    with pytest.raises(StartError, match="is no index that FAISS"):
        FaissIndex.load(path, CPU)
    euclidean = faiss.IndexFlatL2(32)
    euclidean.add(vectors)
    faiss.write_index(euclidean, str(path))
    with pytest.raises(StartError, match="inner product"):
        FaissIndex.load(path, CPU)


def test_too_few_documents_for_the_cells_is_told() -> None:
    with pytest.raises(StartError, match="too few for 64 cells"):
        make_index(np.ones((10, 8), np.float16), "ivf", "float32", cells=64)


def test_an_index_too_large_for_the_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, vectors: np.ndarray) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1 << 30, 8 << 30))
    with pytest.raises(StartError, match=r"needs 0\.0 GiB and 2\.0 GiB beside it on GPU 1, of which 1\.0 of 8\.0 GiB"):
        FaissIndex.flat(vectors).to_device(IndexOptions(device="cuda:1"))
