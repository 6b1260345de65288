"""The measurement at start: what follows from points, and that it keeps to its time."""

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from podium_retrieval.batching.calibration import Point, blas_crossover, calibrate, pick
from podium_retrieval.batching.engine import BatchResult
from podium_retrieval.encoder.embedder import Prepared


def points(*rates: float) -> list[Point]:
    """Batches of 1, 2, 4, … at these queries/s."""
    return [Point(1 << at, 10 << at, 12 << at, (1 << at) / rate) for at, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "queries"),
    [
        ((10, 20, 40, 80, 160), 16),  # still rising: the largest
        ((10, 20, 40, 80, 97, 98, 90), 16),  # within 2% of 98, and smaller
        ((36, 50, 70, 80, 73, 58), 8),
        ((500, 20, 40, 80, 96), 16),  # a batch of one is no batch
        ((10, 20), 2),  # nothing larger was measured
    ],
)
def test_the_smallest_batch_near_the_best_is_taken(rates: tuple[float, ...], queries: int) -> None:
    assert pick(points(*rates)).queries == queries


class Slow:
    """Each batch takes as long as the test says."""

    def __init__(self, seconds: Any, packed: bool = True) -> None:
        self.embedder = SimpleNamespace(packed=packed)
        self.index = None
        self._seconds = seconds
        self.sizes: list[int] = []

    def run(self, batch: Sequence[Prepared]) -> BatchResult:
        self.sizes.append(len(batch))
        time.sleep(self._seconds(len(batch)))
        empty = np.zeros((len(batch), 1))
        return BatchResult(empty, empty, 0.0, 0.0)  # type: ignore[arg-type]


SAMPLES = [Prepared(10, None), Prepared(20, None)]


def test_a_launch_bound_encoder_gets_the_largest_batch() -> None:
    engine: Any = Slow(lambda _: 0.005)
    measured = calibrate(engine, SAMPLES, limit_s=20, most_queries=32)
    assert [one.queries for one in measured.points] == [1, 2, 4, 8, 16, 32]
    assert measured.tokens == 32 * 15


def test_padding_counts_for_a_padded_encoder() -> None:
    engine: Any = Slow(lambda _: 0.005, packed=False)
    assert calibrate(engine, SAMPLES, limit_s=20, most_queries=16).tokens == 16 * 20


def test_it_stops_past_the_top() -> None:
    engine: Any = Slow(lambda n: 0.004 if n <= 8 else 0.004 * n)
    measured = calibrate(engine, SAMPLES, limit_s=20, most_queries=256)
    assert max(engine.sizes) == 32
    assert measured.tokens == 8 * 15


def test_a_disturbance_of_one_turn_is_forgotten() -> None:
    runs = iter([0.2] * 12)  # another process has the machine for the first dozen batches
    engine: Any = Slow(lambda _: next(runs, 0.004))
    measured = calibrate(engine, SAMPLES, limit_s=20, most_queries=32)
    assert measured.tokens == 32 * 15
    assert max(one.seconds for one in measured.points) < 0.1


def test_too_little_time_leaves_a_budget_that_still_batches() -> None:
    engine: Any = Slow(lambda _: 0.05)
    measured = calibrate(engine, SAMPLES, limit_s=0.1, most_queries=256)
    assert len(measured.points) == 1
    assert measured.tokens == 2048


def test_the_crossover_is_a_size_or_unknown() -> None:
    assert blas_crossover(64) in (None, 2, 4, 8, 16, 32)
