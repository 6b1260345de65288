import numpy as np
import pytest
from podium_analysis.scoring.agreement import agreement


def pairs(both: int, first: int, second: int, neither: int) -> list[tuple[bool | None, bool | None]]:
    return [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither


def kappa_of(p: np.ndarray) -> float:
    table = p.reshape(2, 2)
    seen, chance = np.trace(table), table.sum(axis=1) @ table.sum(axis=0)
    return (seen - chance) / (1 - chance)


def test_by_hand():
    # 45 + 35 of 60 + 40: seen 0.8; first 0.55 right, second 0.55; chance 0.505; kappa 0.295 / 0.495.
    got = agreement(pairs(45, 10, 10, 35))
    assert (got.n, got.share) == (100, 80.0)
    assert got.kappa == pytest.approx((0.8 - (0.55 * 0.55 + 0.45 * 0.45)) / (1 - (0.55 * 0.55 + 0.45 * 0.45)))


@pytest.mark.parametrize("counts", [(45, 10, 10, 35), (5, 3, 1, 91), (20, 30, 5, 45), (300, 20, 40, 700)])
def test_the_interval_is_the_delta_methods(counts: tuple[int, int, int, int]):
    got = agreement(pairs(*counts))
    n = sum(counts)
    p = np.array(counts) / n
    step = 1e-6
    slope = np.array([(kappa_of(p + step * e) - kappa_of(p - step * e)) / (2 * step) for e in np.eye(4)])
    covariance = np.diag(p) - np.outer(p, p)
    error = np.sqrt(slope @ covariance @ slope / n)
    assert got.kappa == pytest.approx(kappa_of(p))
    assert (got.high - got.kappa) == pytest.approx(1.96 * error, rel=1e-4)
    assert (got.kappa - got.low) == pytest.approx(1.96 * error, rel=1e-4)


def test_perfect_and_opposite():
    same = agreement(pairs(10, 0, 0, 10))
    assert (same.kappa, same.low, same.high) == (1.0, 1.0, 1.0)
    assert agreement(pairs(0, 10, 10, 0)).kappa == pytest.approx(-1.0)


def test_a_judge_that_always_says_the_same_has_no_interval():
    got = agreement(pairs(14, 6, 0, 0))
    assert (got.kappa, got.low, got.high) == (0.0, None, None)
    assert "kappa is 0" in (got.reason or "")


def test_what_one_judge_left_ungraded_is_counted_apart():
    got = agreement([(True, None), (None, None), (True, True), (False, False)])
    assert (got.n, got.n_missing, got.kappa) == (2, 2, 1.0)


def test_kappa_that_is_not_defined_says_why():
    got = agreement(pairs(0, 0, 0, 5))
    assert (got.share, got.kappa) == (100.0, None)
    assert "same grade" in (got.reason or "")
    assert "no answer" in (agreement([]).reason or "")
