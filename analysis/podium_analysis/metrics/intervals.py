"""Intervals of percentiles: the percentile bootstrap in its exact form, without resampling.

A bootstrap resample's r-th smallest value is at most the k-th smallest of the data with probability
P(Binomial(n, k/n) >= r) = I_{k/n}(r, n - r + 1), the regularised incomplete beta function. So the interval that
infinitely many resamples would give lies between two order statistics whose ranks follow from its inverse.

It treats values as independent. Calls of one task are not quite, so intervals of calls are somewhat too narrow.
"""

from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from scipy.special import betaincinv  # pyright: ignore[reportUnknownVariableType, reportMissingTypeStubs]

METHOD: Final = "95% percentile bootstrap of the order statistic, exact (no resampling), calls taken as independent"
CONFIDENCE: Final = 0.95
TAIL: Final = 5
"""An interval is given only where at least this many values are expected beyond the percentile on either side."""


def has_interval(n: int, p: float) -> bool:
    """Whether n values carry an interval for the percentile p (0 to 1)."""
    return n * min(p, 1.0 - p) >= TAIL - 1e-9  # 50 values carry p90, whatever 1 - 0.9 is


def highest_percentile(n: int) -> str | None:
    """The name of the highest of p99, p95 and p90 that n values carry an interval for; None where they carry none."""
    return next((f"p{p}" for p in (99, 95, 90) if has_interval(n, p / 100)), None)


@lru_cache(maxsize=100_000)
def interval_ranks(n: int, p: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (from 0) of the values between which the percentile p lies; None where n is too small.

    Raises:
        ValueError: p or confidence not between 0 and 1.
    """
    if not (0.0 < p < 1.0 and 0.0 < confidence < 1.0):
        raise ValueError(f"p={p} and confidence={confidence} must be between 0 and 1")
    if not has_interval(n, p):
        return None
    r = int(np.ceil(n * p - 1e-9))
    tail = (1.0 - confidence) / 2.0
    ends = n * np.asarray(betaincinv(r, n - r + 1, np.array([tail, 1.0 - tail])))
    low, high = (int(rank) for rank in np.ceil(ends - 1e-9))
    return max(low, 1) - 1, min(high, n) - 1


def mean_interval(n: int, mean: float, sd: float, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The normal-theory interval of a mean; None below 30 values, where it would promise too much."""
    if n < 30:
        return None
    half = _normal_quantile(confidence) * sd / float(np.sqrt(n))
    return mean - half, mean + half


@lru_cache(maxsize=16)
def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)
