"""Tests and intervals for two runs over the same questions. Pairs are what differs, so everything here is paired."""

# scipy is untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from podium_analysis.scoring.paired import paired

RESAMPLES: Final = 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """95 %; low and high are None where there are too few values for one (fewer than two, or all equal)."""

    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """B less A over the paired tasks, in percent points. only_a, only_b: pairs that only that run got right."""

    n: int
    accuracy_a: float
    accuracy_b: float
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Interval
    p_value: float
    test: str
    interval: str


def score_difference(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], question: npt.NDArray[Any]) -> ScoreDifference:
    """Pairs of right or not, and the question each belongs to.

    One pair a question: McNemar's exact test, and Agresti and Min's interval. Several (epochs): the pairs of a question
    are not independent, so test and interval take questions as units.

    Raises:
        ValueError: there is no pair.
    """
    n = len(a)
    if n == 0:
        raise ValueError("no pair of graded tasks")
    pairs = paired(a.tolist(), b.tolist())
    value = 100 * (pairs.only_b - pairs.only_a) / n
    if len(np.unique(question)) == n:
        interval, p_value = Interval(value, pairs.low, pairs.high), pairs.p
        test, method = "McNemar exact", "Agresti-Min"
    else:
        by_question = mean_by(100 * (b.astype(float) - a.astype(float)), question)
        shift = bootstrap_mean(by_question)
        interval, p_value = Interval(value, shift.low, shift.high), sign_flip(by_question)
        test, method = "sign-flip permutation over questions", "bootstrap over questions"
    return ScoreDifference(
        n=n,
        accuracy_a=100 * float(a.mean()),
        accuracy_b=100 * float(b.mean()),
        both=pairs.both,
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        neither=pairs.neither,
        difference=interval,
        p_value=1.0 if p_value is None else p_value,
        test=test,
        interval=method,
    )


@dataclass(frozen=True, slots=True)
class Measure:
    """A benchmark's own measure over n pairs, in percent: B less A with a bootstrap interval over questions."""

    name: str
    n: int
    a: float
    b: float
    difference: Interval


def f_difference(a: Sequence[str | None], b: Sequence[str | None], question: npt.NDArray[Any]) -> Measure:
    """SimpleQA's F of pairs of grades, 2 correct / (all + attempted), and the question each pair belongs to."""
    sums = tuple(
        _sum_by(np.array([float(grade in wanted) for grade in grades]), question)
        for grades in (a, b)
        for wanted in (("correct",), ("correct", "incorrect"))
    )
    sizes = _sum_by(np.ones(len(a)), question)
    f_a, f_b = (float(200 * x.sum() / (sizes.sum() + y.sum())) for x, y in (sums[:2], sums[2:]))
    interval = Interval(f_b - f_a, None, None)
    if len(sizes) > 1 and any(not np.array_equal(x, y) for x, y in zip(sums[:2], sums[2:], strict=True)):
        interval = Interval(f_b - f_a, *_limits((*sums, sizes), _f_shift))
    return Measure("F measure", len(a), f_a, f_b, interval)


def _f_shift(ra: Floats, ta: Floats, rb: Floats, tb: Floats, n: Floats, axis: int) -> Floats:
    size = n.sum(axis=axis)
    return 200 * (rb.sum(axis=axis) / (size + tb.sum(axis=axis)) - ra.sum(axis=axis) / (size + ta.sum(axis=axis)))


def sign_flip(differences: Floats) -> float:
    """Two-sided p of the differences' mean if each sign were as likely as the other: exact up to 2^13, else drawn."""
    moved = differences[differences != 0]
    if len(moved) < 2:
        return 1.0
    result = scipy_stats.permutation_test(
        (moved,),
        _distance,
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(min(1.0, result.pvalue))


def bootstrap_mean(values: Floats) -> Interval:
    """The mean and its percentile bootstrap interval, seeded: the same data give the same interval."""
    mean = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) == 0:
        return Interval(mean, None, None)
    return Interval(mean, *_limits((values,), _mean))


def bootstrap_ratio(a: Floats, b: Floats) -> Interval | None:
    """mean(b) / mean(a) over pairs, resampled together; None when A's mean is zero."""
    if float(np.mean(a)) == 0:
        return None
    ratio = float(np.mean(b) / np.mean(a))
    if len(a) < 2 or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return Interval(ratio, None, None)
    low, high = _limits((a, b), _ratio)
    return Interval(ratio, low if math.isfinite(low) else None, high if math.isfinite(high) else None)


def mean_by(values: Floats, group: npt.NDArray[Any]) -> Floats:
    """One mean a group, in the groups' order."""
    _, index = np.unique(group, return_inverse=True)
    return np.bincount(index, weights=values) / np.bincount(index)


def _sum_by(values: Floats, group: npt.NDArray[Any]) -> Floats:
    _, index = np.unique(group, return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64)


def _mean(x: Floats, axis: int) -> Floats:
    return np.mean(x, axis=axis)


def _distance(x: Floats, axis: int) -> Floats:
    return np.abs(np.mean(x, axis=axis))


def _ratio(a: Floats, b: Floats, axis: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.mean(b, axis=axis) / np.mean(a, axis=axis)


def _limits(data: tuple[Floats, ...], statistic: Any) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # A resample whose divisor is zero has no ratio; the limits come out as NaN and are reported as missing.
        warnings.simplefilter("ignore", scipy_stats.DegenerateDataWarning)
        found = scipy_stats.bootstrap(
            data,
            statistic,
            paired=len(data) > 1,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 4_000_000 // len(data[0])),
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(found.low), float(found.high)
