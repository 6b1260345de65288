"""Histograms of a metric: bins of equal width, and bins of equal ratio for what is above zero."""

import numpy as np

from podium_analysis.metrics.ranked import Floats, Ranked
from podium_analysis.section import Count, Section


class Histogram(Section, frozen=True):
    """counts[i] values lie in [edges[i], edges[i+1]), in the last bin in [edges[-2], edges[-1]].

    One distinct value makes one bin with equal edges; no value makes none (both empty).
    A log histogram holds the values above zero; n_zero and n_negative are the others. counts + n_zero + n_negative = n.
    """

    edges: tuple[float, ...]
    counts: tuple[Count, ...]
    n_zero: Count = 0
    n_negative: Count = 0


def linear_histogram(ranked: Ranked, bins: int) -> Histogram:
    """`bins` bins of equal width from the smallest to the largest value."""
    _check(bins)
    if ranked.n == 0:
        return Histogram((), ())
    low, high = (float(x) for x in ranked.at(np.array([0, ranked.n - 1])))
    return _count(ranked, np.linspace(low, high, bins + 1), low, high, 0)


def log_histogram(ranked: Ranked, bins: int) -> Histogram:
    """`bins` bins of equal ratio from the smallest value above zero to the largest."""
    _check(bins)
    if ranked.n == 0:
        return Histogram((), ())
    tiny = float(np.nextafter(0.0, 1.0))
    n_negative, n_not_positive = (int(n) for n in ranked.below(np.array([0.0, tiny])))
    n_zero = n_not_positive - n_negative
    if n_not_positive == ranked.n:
        return Histogram((), (), n_zero, n_negative)
    low, high = (float(x) for x in ranked.at(np.array([n_not_positive, ranked.n - 1])))
    found = _count(ranked, np.geomspace(low, high, bins + 1), low, high, n_not_positive)
    return Histogram(found.edges, found.counts, n_zero, n_negative)


def _count(ranked: Ranked, edges: Floats, low: float, high: float, first: int) -> Histogram:
    if low == high:
        return Histogram((low, high), (ranked.n - first,))
    edges[0], edges[-1] = low, high
    # Where neighbouring floats are closer than the bins ask for, edges may repeat: they still ascend.
    edges = np.maximum.accumulate(edges)
    inner = np.concatenate(([first], ranked.below(edges[1:-1]), [ranked.n]))
    return Histogram(tuple(edges.tolist()), tuple(np.diff(inner).tolist()))


def _check(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"bins={bins}: at least 1 is needed")
