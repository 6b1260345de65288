"""Histogram counts add up to n, agree with numpy, and are honest about zeros, ties and constants."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from podium_analysis.metrics.histograms import linear_histogram, log_histogram
from podium_analysis.metrics.ranked import RankedArray

Floats = np.ndarray[Any, np.dtype[np.float64]]
ANY = npst.arrays(
    np.float64,
    st.integers(0, 200),
    elements=st.one_of(
        st.floats(-1e9, 1e9), st.floats(0, 1e-300), st.sampled_from([0.0, 1.0, 2.0, 10.0, 100.0, 0.1]), st.just(np.nan)
    ),
)


@settings(max_examples=300, deadline=None)
@given(ANY, st.integers(1, 25))
def test_counts_sum_to_n_and_edges_ascend(values: Floats, bins: int) -> None:
    known = values[~np.isnan(values)]
    ranked = RankedArray(values.copy())
    for found in (linear_histogram(ranked, bins), log_histogram(ranked, bins)):
        assert sum(found.counts) + found.n_zero + found.n_negative == known.size
        assert all(count >= 0 for count in found.counts)
        assert list(found.edges) == sorted(found.edges)
        assert len(found.counts) in (0, 1, bins)
        if found.counts:
            assert len(found.edges) == len(found.counts) + 1
    log = log_histogram(ranked, bins)
    assert (log.n_zero, log.n_negative) == ((known == 0).sum(), (known < 0).sum())
    if log.counts:
        positive = known[known > 0]
        assert (log.edges[0], log.edges[-1]) == (positive.min(), positive.max())


@settings(max_examples=300, deadline=None)
@given(ANY, st.integers(1, 25))
def test_each_bin_holds_what_lies_between_its_edges(values: Floats, bins: int) -> None:
    known = values[~np.isnan(values)]
    for found, data in (
        (linear_histogram(RankedArray(values.copy()), bins), known),
        (log_histogram(RankedArray(values.copy()), bins), known[known > 0]),
    ):
        if len(found.counts) > 1:
            for at, count in enumerate(found.counts):
                low, high = found.edges[at], found.edges[at + 1]
                last = at == len(found.counts) - 1
                assert count == ((data >= low) & ((data <= high) if last else (data < high))).sum()


@settings(max_examples=100, deadline=None)
@given(npst.arrays(np.float64, st.integers(2, 200), elements=st.floats(0, 1e6, allow_subnormal=False)))
def test_linear_bins_are_numpys(values: Floats) -> None:
    if values.max() - values.min() < 1e-3:
        return
    found = linear_histogram(RankedArray(values.copy()), 10)
    assert np.array(found.edges) == pytest.approx(np.histogram_bin_edges(values, 10))
    assert list(found.counts) == np.histogram(values, np.array(found.edges))[0].tolist()


def test_log_bins_have_equal_ratios() -> None:
    found = log_histogram(RankedArray(np.geomspace(1.0, 1024.0, 101)), 10)
    assert np.diff(np.log2(found.edges)) == pytest.approx([1.0] * 10)
    assert found.counts == (10,) * 9 + (11,)


def test_zeros_stand_beside_a_log_histogram() -> None:
    found = log_histogram(RankedArray(np.array([0.0, 0.0, -1.0, 1.0, 10.0, 100.0])), 2)
    assert (found.n_zero, found.n_negative, found.counts) == (2, 1, (1, 2))


def test_a_constant_is_one_bin_and_nothing_none() -> None:
    constant = RankedArray(np.full(7, 3.5))
    assert (linear_histogram(constant, 10).edges, linear_histogram(constant, 10).counts) == ((3.5, 3.5), (7,))
    assert log_histogram(constant, 10).counts == (7,)
    zeros = RankedArray(np.zeros(4))
    assert linear_histogram(zeros, 10).counts == (4,)
    assert (log_histogram(zeros, 10).counts, log_histogram(zeros, 10).n_zero) == ((), 4)
    nothing = RankedArray(np.array([np.nan]))
    assert linear_histogram(nothing, 10).counts == log_histogram(nothing, 10).counts == ()


def test_no_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        linear_histogram(RankedArray(np.ones(3)), 0)
