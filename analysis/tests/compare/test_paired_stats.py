"""Paired tests and intervals: against scipy, by their coverage, and at their edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_analysis.compare.significance import bootstrap_mean, bootstrap_ratio, mean_by, score_difference, sign_flip
from scipy import stats as scipy_stats


def test_one_pair_a_question_is_mcnemars_exact_test() -> None:
    a = np.array([True] * 40 + [False] * 60)
    b = np.array([True] * 30 + [False] * 10 + [True] * 25 + [False] * 35)
    found = score_difference(a, b, np.arange(100).astype(str))
    assert (found.both, found.only_a, found.only_b, found.neither) == (30, 10, 25, 35)
    assert found.difference.value == pytest.approx(15.0)
    assert (found.accuracy_a, found.accuracy_b) == pytest.approx((40.0, 55.0))
    assert found.p_value == pytest.approx(scipy_stats.binomtest(10, 35, 0.5).pvalue)
    assert found.test == "McNemar exact"
    assert found.difference.low is not None
    assert found.difference.low < 15 < (found.difference.high or 0)


def test_epochs_are_not_counted_as_questions_of_their_own() -> None:
    """The same evidence copied ten times is not ten times the evidence."""
    rng = np.random.default_rng(3)
    a, b = rng.random(30) < 0.4, rng.random(30) < 0.6
    names = np.arange(30).astype(str)
    tenfold = score_difference(np.tile(a, 10), np.tile(b, 10), np.tile(names, 10))
    assert tenfold.test.startswith("sign-flip")
    assert tenfold.p_value == pytest.approx(score_difference(a, b, names).p_value, abs=0.02)
    naive = score_difference(np.tile(a, 10), np.tile(b, 10), np.arange(300).astype(str))
    assert naive.p_value < tenfold.p_value / 10


def test_no_pair_is_an_error() -> None:
    nothing = np.zeros(0, dtype=bool)
    with pytest.raises(ValueError, match="no pair"):
        score_difference(nothing, nothing, nothing.astype(str))


def test_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(150):
        interval = bootstrap_mean(rng.exponential(1.0, 60))
        hits += interval.low is not None and interval.high is not None and interval.low <= 1.0 <= interval.high
    assert 0.87 <= hits / 150 <= 0.99


def test_too_little_gives_a_value_without_an_interval() -> None:
    assert bootstrap_mean(np.array([3.0])).low is None
    assert bootstrap_mean(np.array([2.0, 2.0, 2.0])).low is None
    assert not bootstrap_mean(np.array([2.0, 2.0])).excludes_zero
    assert bootstrap_ratio(np.zeros(3), np.ones(3)) is None
    ratio = bootstrap_ratio(np.array([2.0, 2.0]), np.array([3.0, 3.0]))
    assert ratio is not None
    assert (ratio.value, ratio.low) == (1.5, None)


def test_the_same_data_give_the_same_interval() -> None:
    values = np.random.default_rng(5).normal(1, 1, 80)
    assert bootstrap_mean(values) == bootstrap_mean(values.copy())


def test_a_paired_shift_is_seen_through_a_wide_spread() -> None:
    rng = np.random.default_rng(8)
    a = rng.lognormal(7, 1.5, 300)
    b = a * rng.normal(1.1, 0.02, 300)
    interval = bootstrap_ratio(a, b)
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert 1.08 < interval.low < interval.value < interval.high < 1.12


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=10))
def test_sign_flip_is_a_probability_and_symmetric(values: list[float]) -> None:
    differences = np.array(values)
    p = sign_flip(differences)
    assert 0 < p <= 1
    assert p == pytest.approx(sign_flip(-differences))


def test_sign_flip_by_hand() -> None:
    assert sign_flip(np.array([1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 16)
    assert sign_flip(np.zeros(5)) == 1.0


def test_mean_by_group() -> None:
    assert mean_by(np.array([1.0, 2.0, 6.0]), np.array(["a", "b", "a"])).tolist() == [3.5, 2.0]
