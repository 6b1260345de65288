"""Encoder and index together: what the owner owns. Not thread-safe, on purpose."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from podium_retrieval.embedder import Embedder, Prepared


class Index(Protocol):
    def search(
        self, vectors: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]: ...


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Candidates of a batch, [n, k], and what they cost in milliseconds."""

    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    encode_ms: float
    search_ms: float


class Engine:
    """Encodes and searches one batch at a time."""

    def __init__(self, embedder: Embedder, index: Index, candidates: int) -> None:
        self.embedder = embedder
        self.index = index
        self._candidates = candidates

    def run(self, batch: Sequence[Prepared]) -> BatchResult:
        """Candidates of each query of the batch.

        Raises:
            EmbedderFailed: see Embedder.encode. Anything else is a bug or a broken device.
        """
        start = time.perf_counter()
        vectors = self.embedder.encode(batch)
        middle = time.perf_counter()
        scores, rows = self.index.search(vectors, self._candidates)
        end = time.perf_counter()
        return BatchResult(scores, rows, (middle - start) * 1e3, (end - middle) * 1e3)
