"""Tests and intervals for two runs over the same questions. Pairs are what differs, so everything here is paired."""

# scipy is untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

RESAMPLES: Final = 2000
Z95: Final = 1.959963984540054

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
    """B less A, in accuracy over the paired questions. only_a, only_b: pairs that only that run got right."""

    n: int
    accuracy_a: float
    accuracy_b: float
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Interval
    p_value: float
    test: Literal["McNemar exact", "sign-flip permutation over questions"]
    interval: Literal["Newcombe paired score", "bootstrap over questions"]


def score_difference(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], question: npt.NDArray[Any]) -> ScoreDifference:
    """Pairs of right or wrong, and the question each belongs to.

    One pair a question: McNemar's exact test and Newcombe's score interval for paired proportions (1998, method 10).
    Several (epochs): pairs of one question are not independent, so both test and interval take questions as units.

    Raises:
        ValueError: there is no pair.
    """
    n = len(a)
    if n == 0:
        raise ValueError("no pair of graded tasks")
    both, only_a = int(np.sum(a & b)), int(np.sum(a & ~b))
    only_b, neither = int(np.sum(~a & b)), int(np.sum(~a & ~b))
    delta = (only_b - only_a) / n
    common = dict(
        n=n, accuracy_a=float(a.mean()), accuracy_b=float(b.mean()),
        both=both, only_a=only_a, only_b=only_b, neither=neither,
    )  # fmt: skip
    if len(np.unique(question)) == n:
        low, high = newcombe_paired(both, only_a, only_b, neither)
        return ScoreDifference(
            **common,
            difference=Interval(delta, low, high),
            p_value=mcnemar_exact(only_a, only_b),
            test="McNemar exact",
            interval="Newcombe paired score",
        )
    by_question = mean_by(b.astype(float) - a.astype(float), question)
    shift = bootstrap_mean(by_question)
    return ScoreDifference(
        **common,
        difference=Interval(delta, shift.low, shift.high),
        p_value=sign_flip(by_question),
        test="sign-flip permutation over questions",
        interval="bootstrap over questions",
    )


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p of the discordant pairs under a fair coin; 1 when there are none."""
    if only_a + only_b == 0:
        return 1.0
    return float(scipy_stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def newcombe_paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Newcombe (1998), method 10: Wilson limits of each proportion, squared and added, with their correlation.

    Returns the 95 % limits of P(B) - P(A). Holds at the edges (no discordant pair, all right), where Wald's has width 0.
    """
    n = both + only_a + only_b + neither
    p_b, p_a = (both + only_b) / n, (both + only_a) / n
    low_b, high_b = wilson(both + only_b, n)
    low_a, high_a = wilson(both + only_a, n)
    margins = (both + only_b) * (only_a + neither) * (both + only_a) * (only_b + neither)
    if margins == 0:
        phi = 0.0
    else:
        cross = both * neither - only_a * only_b
        if cross > 0:
            cross = max(cross - n / 2, 0)
        phi = cross / math.sqrt(margins)
    down_b, up_b, down_a, up_a = p_b - low_b, high_b - p_b, p_a - low_a, high_a - p_a
    delta = p_b - p_a
    low = delta - math.sqrt(max(0.0, down_b**2 - 2 * phi * down_b * up_a + up_a**2))
    high = delta + math.sqrt(max(0.0, up_b**2 - 2 * phi * up_b * down_a + down_a**2))
    return max(-1.0, low), min(1.0, high)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score limits of k in n."""
    limits = scipy_stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    return float(limits.low), float(limits.high)


def sign_flip(differences: Floats) -> float:
    """Two-sided p that the differences' mean is zero, each sign as likely as the other: exact up to 2^13, else drawn."""
    moved = differences[differences != 0]
    if len(moved) == 0:
        return 1.0
    result = scipy_stats.permutation_test(
        (moved,),
        lambda x, axis: np.abs(np.mean(x, axis=axis)),
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


def _mean(x: Floats, axis: int) -> Floats:
    return np.mean(x, axis=axis)


def _ratio(a: Floats, b: Floats, axis: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.mean(b, axis=axis) / np.mean(a, axis=axis)


def _limits(data: tuple[Floats, ...], statistic: Any) -> tuple[float, float]:
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
