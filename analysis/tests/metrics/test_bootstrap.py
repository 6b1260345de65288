"""Intervals against resampling itself, against the binomial distribution, and for their coverage."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_analysis.metrics.intervals import has_interval, interval_ranks, mean_interval


@settings(max_examples=200, deadline=None)
@given(st.integers(10, 200_000), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
def test_ranks_are_the_bootstrap_distributions_quantiles(n: int, p: float) -> None:
    ranks = interval_ranks(n, p)
    if not has_interval(n, p):
        assert ranks is None
        return
    assert ranks is not None
    low, high = ranks
    assert 0 <= low < high <= n - 1
    r = int(np.ceil(n * p - 1e-9))

    def at_most(k: int) -> float:
        """P(the resample's r-th smallest is at most the k-th smallest of the data, k from 1)."""
        return float(scipy.stats.binom.sf(r - 1, n, k / n))

    assert at_most(low + 1) >= 0.025 - 1e-9
    assert low == 0 or at_most(low) < 0.025 + 1e-9
    assert at_most(high + 1) >= 0.975 - 1e-9
    assert at_most(high) < 0.975 + 1e-9


def test_ranks_agree_with_resampling() -> None:
    rng = np.random.default_rng(7)
    data = np.sort(rng.lognormal(3, 1, 1000))
    for p in (0.5, 0.9, 0.99):
        ranks = interval_ranks(data.size, p)
        assert ranks is not None
        r = int(np.ceil(data.size * p))
        resampled = np.sort(rng.integers(0, data.size, (4000, data.size)), axis=1)[:, r - 1]
        assert np.quantile(resampled, [0.025, 0.975]) == pytest.approx(ranks, abs=3)


def test_intervals_cover_the_true_percentile_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    truth = scipy.stats.expon.ppf(0.9)
    ranks = interval_ranks(400, 0.9)
    assert ranks is not None
    samples = np.sort(rng.exponential(size=(3000, 400)), axis=1)
    covered = (samples[:, ranks[0]] <= truth) & (truth <= samples[:, ranks[1]])
    assert covered.mean() == pytest.approx(0.95, abs=0.02)


def test_small_samples_promise_nothing() -> None:
    assert interval_ranks(9, 0.5) is None
    assert interval_ranks(10, 0.5) is not None
    assert interval_ranks(4999, 0.999) is None
    assert interval_ranks(5000, 0.999) is not None
    assert mean_interval(29, 1.0, 1.0) is None


@pytest.mark.parametrize(("p", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.5, 0.0), (0.5, 1.0)])
def test_percentiles_and_confidences_out_of_range_are_refused(p: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval_ranks(100, p, confidence)
