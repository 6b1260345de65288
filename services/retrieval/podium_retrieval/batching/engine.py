"""Encoder and index together: what the owner owns. Not thread-safe, on purpose."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from podium_retrieval.encoder.embedder import Embedder, Encoding, Prepared


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
    refused: Mapping[int, str] = field(default_factory=dict[int, str])
    """Queries without candidates, by position: see Encoded.refused."""


class Engine:
    """Encodes and searches. Where the encoder is a device of its own, the next batch can be begun meanwhile."""

    def __init__(self, embedder: Embedder, index: Index, candidates: int) -> None:
        self.embedder = embedder
        self.index = index
        self._candidates = candidates

    @property
    def overlaps(self) -> bool:
        """Whether it pays to begin a batch before the last one is finished."""
        return self.embedder.overlaps

    def begin(self, batch: Sequence[Prepared]) -> Encoding:
        """Hand a batch to the encoder.

        Raises:
            EmbedderFailed: see Embedder.begin. Anything else is a bug or a broken device.
        """
        return self.embedder.begin(batch)

    def finish(self, batch: Encoding) -> BatchResult:
        """Candidates of each query of the batch.

        Raises:
            EmbedderFailed: see Encoding.wait. Anything else is a bug or a broken device.
        """
        encoded = batch.wait()
        start = time.perf_counter()
        scores, rows = self.index.search(encoded.vectors, self._candidates)
        return BatchResult(scores, rows, encoded.ms, (time.perf_counter() - start) * 1e3, encoded.refused)

    def run(self, batch: Sequence[Prepared]) -> BatchResult:
        """begin, and finish."""
        return self.finish(self.begin(batch))
