"""Measurements at start: how many tokens a batch should hold on this machine, and from which size BLAS pays."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from podium_retrieval.batching.engine import Engine
from podium_retrieval.encoder.embedder import Prepared
from podium_retrieval.index.faiss_index import FaissIndex

_GOOD_ENOUGH: Final = 0.98
"""The smallest batch within this share of the best throughput is taken: a larger one only adds waiting."""
_TRIAL_BYTES: Final = 24 << 20
_LEAST_QUERIES: Final = 8
"""No encoder is at its best below; a budget this small would be a disturbed measurement's."""
_TURNS: Final = 3
_PAST_THE_TOP: Final = 0.85
_LONGEST_BATCH_S: Final = 2.0
_UNMEASURED_TOKENS: Final = 2048
"""The least budget when time ran out while throughput still rose: the machine was busy with something else."""


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size as measured: seconds are of the fastest of its runs."""

    queries: int
    tokens: int
    padded_tokens: int
    seconds: float

    @property
    def queries_per_s(self) -> float:
        """Throughput at this size."""
        return self.queries / self.seconds


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, and the budget that follows."""

    points: tuple[Point, ...]
    tokens: int
    seconds: float


def calibrate(engine: Engine, samples: Sequence[Prepared], *, limit_s: float, most_queries: int) -> Calibration:
    """Time ever larger batches of real texts until throughput falls, time is up or most_queries is reached.

    samples: texts of the corpus, at least one; they are repeated as needed.
    """
    started = time.perf_counter()
    engine.run(samples[:1])
    fastest: dict[int, Point] = {}
    cut_short = False
    for turn in range(_TURNS):  # what another process disturbs in one turn, it seldom disturbs in all
        this_turn: list[Point] = []
        for size in _sizes(most_queries):
            point = _measure(engine, list(itertools.islice(itertools.cycle(samples), size)))
            this_turn.append(point)
            fastest[size] = min(point, fastest.get(size, point), key=lambda run: run.seconds)
            best = max(run.queries_per_s for run in this_turn)
            falling = [run.queries_per_s < _PAST_THE_TOP * best for run in this_turn[-2:]]
            if point.seconds > _LONGEST_BATCH_S or falling == [True, True]:
                break
            next_size_s = 5 * point.seconds  # a warm-up and two runs, of up to twice this
            if time.perf_counter() - started + next_size_s > limit_s:
                cut_short = turn == 0
                break
        if (time.perf_counter() - started) * (turn + 2) / (turn + 1) > limit_s:
            break
    points = [fastest[size] for size in sorted(fastest)]
    chosen = pick(points)
    tokens = chosen.tokens if engine.embedder.packed else chosen.padded_tokens
    return Calibration(
        points=tuple(points),
        tokens=max(tokens, _UNMEASURED_TOKENS) if cut_short else tokens,
        seconds=time.perf_counter() - started,
    )


def pick(points: Sequence[Point]) -> Point:
    """The smallest batch that is within _GOOD_ENOUGH of the best, of those that are batches at all."""
    points = [run for run in points if run.queries >= _LEAST_QUERIES] or points[-1:]
    best = max(run.queries_per_s for run in points)
    return next(run for run in points if run.queries_per_s >= _GOOD_ENOUGH * best)


def _sizes(most: int) -> list[int]:
    sizes = [1]
    while sizes[-1] * 2 <= most:
        sizes.append(sizes[-1] * 2)
    return sizes


def _measure(engine: Engine, batch: Sequence[Prepared]) -> Point:
    tokens = sum(query.n_tokens for query in batch)
    longest = max(query.n_tokens for query in batch)
    return Point(len(batch), tokens, longest * len(batch), _fastest(lambda: engine.run(batch), runs=2))


def _fastest(act: Callable[[], object], *, runs: int) -> float:
    act()
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - start)
    return best


def blas_crossover(dimension: int) -> int | None:
    """The fewest queries for which one BLAS product beats a scan for each, in a flat float32 index on the CPU.

    Measured on some megabytes of random vectors, for it hangs on the dimension and hardly on the index's size.
    None: no size up to 32 does, and FAISS's own choice stands.
    """
    generator = np.random.default_rng(0)
    index = FaissIndex.flat(generator.standard_normal((_TRIAL_BYTES // 4 // dimension, dimension), np.float32))
    vectors = generator.standard_normal((32, dimension), np.float32)
    for n in (2, 4, 8, 16, 32):
        index.blas_from = n + 1
        scan = _fastest(lambda n=n: index.search(vectors[:n], 100), runs=2)
        index.blas_from = n
        if _fastest(lambda n=n: index.search(vectors[:n], 100), runs=2) < scan:
            return n
    return None
