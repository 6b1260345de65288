"""Agreement of several judges against values computed by statsmodels 0.14 and krippendorff 0.8."""

import pytest
from podium_analysis.scoring.panel import fleiss_kappa, krippendorff_alpha, panel_agreement

FULL = (
    "0011111111111000100110110111001100101101",
    "1101111100011110100110100110101100101011",
    "1111011111111110100110110001101100001010",
)
MISSING = (
    ".0.11111111110.010.1101101.1001100101101",
    "11.111110001111010.1101001101011.0101011",
    "11110111.1111110.0011.1100011011.0001010",
)
VOTE = {"0": False, "1": True, ".": None}


def columns(*judges: str) -> list[tuple[bool | None, ...]]:
    return list(zip(*([VOTE[mark] for mark in judge] for judge in judges), strict=True))


def test_both_coefficients_equal_the_independent_ones():
    assert fleiss_kappa(columns(*FULL)) == pytest.approx(0.36545240893066966, abs=1e-12)
    assert krippendorff_alpha(columns(*FULL)) == pytest.approx(0.37074030552291426, abs=1e-12)


def test_alpha_uses_what_is_left_where_judges_failed():
    assert krippendorff_alpha(columns(*MISSING)) == pytest.approx(0.3719806763285024, abs=1e-12)
    whole = panel_agreement(["a", "b", "c"], columns(*MISSING))
    assert (whole.n, whole.fleiss_kappa) == (31, pytest.approx(0.3806352459016389, abs=1e-12))


def test_the_majority_is_counted_with_ties_and_holes():
    votes = [(True, True), (True, False), (False, False), (True, None)]
    found = panel_agreement(["a", "b"], votes)
    assert (found.n, found.n_missing, found.unanimous) == (3, 1, 2)
    assert (found.n_right, found.n_wrong, found.n_tied, found.n_undecided) == (1, 1, 1, 1)


def test_one_grade_for_everything_has_no_coefficient():
    found = panel_agreement(["a", "b"], [(True, True), (True, True)])
    assert (found.fleiss_kappa, found.krippendorff_alpha) == (None, None)
