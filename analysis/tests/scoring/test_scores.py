"""Every figure is held against a computation of another kind: scipy, the defining equation, or brute force."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_analysis.scoring.calibration import corrected_calibration, official_calibration
from podium_analysis.scoring.paired import mcnemar, paired
from podium_analysis.scoring.repeats import pass_at_k, repeats
from podium_analysis.scoring.scores import Sample, half_width, outcome_of, score, wilson
from scipy.optimize import brentq
from scipy.stats import binomtest

SIZES = [*range(1, 20), *range(20, 3001, 149), 99, 100, 101, 199, 200, 201, 299, 300, 1000, 1900, 2158, 2500, 3000]


def judgements(n: int, seed: int = 0) -> list[Sample]:
    """Synthetic endings of every kind; confidences with many ties, as real ones have."""
    draw = random.Random(seed * 10_007 + n)
    kinds = ["right", "wrong", "unanswered", "ungraded", "error", "skipped"]
    return [
        Sample(
            f"q{i}",
            1,
            kind := draw.choices(kinds, [30, 50, 8, 5, 5, 2])[0],
            draw.choice([100.0, 95.0, 90.0, 80.0, float(draw.randint(0, 100))]) if kind in ("right", "wrong") else None,
        )
        for i in range(n)
    ]


def reference_official(pairs: list[tuple[float, bool]]) -> float:
    """facts.md, literally, by plain lists: bins of 100 by rank, the last takes the rest and is then left out."""
    ranked = sorted(pairs, key=lambda pair: pair[0])
    n = len(ranked)
    bins = [ranked[i * 100 : (i + 1) * 100] for i in range(n // 100)]
    bins[-1] = ranked[(len(bins) - 1) * 100 :]
    total = 0.0
    for part in bins[:-1]:
        gap = sum(c for c, _ in part) / 100 / len(part) - sum(r for _, r in part) / len(part)
        total += len(part) / n * gap**2
    return 100 * math.sqrt(total)


def reference_corrected(pairs: list[tuple[float, bool]]) -> float:
    equals: dict[float, list[bool]] = {}
    for confidence, right in pairs:
        equals.setdefault(confidence, []).append(right)
    ranked = [(c, sum(equals[c]) / len(equals[c])) for c, _ in sorted(pairs)]
    n = len(ranked)
    count = max(1, n // 100)
    total = 0.0
    for b in range(count):
        part = ranked[b * 100 :] if b == count - 1 else ranked[b * 100 : b * 100 + 100]
        total += sum(1 for _ in part) * (np.mean([c for c, _ in part]) - 100 * np.mean([r for _, r in part])) ** 2
    return math.sqrt(total / n)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_score_equals_an_independent_computation(n: int, seed: int):
    samples = judgements(n, seed)
    got = score(samples)
    right = len([s for s in samples if s.outcome == "right"])
    a = right / n * 100
    assert got.n == n
    assert (got.accuracy, got.half_width) == (pytest.approx(a), pytest.approx(1.96 * (a * (100 - a) / n) ** 0.5))
    parts = got.n_right + got.n_wrong + got.n_unanswered + got.n_ungraded + got.n_error + got.n_skipped + got.n_missing
    assert parts == n
    graded = [s for s in samples if s.outcome in ("right", "wrong", "unanswered")]
    assert got.accuracy_graded.n == len(graded)
    if graded:
        assert got.accuracy_graded.value == pytest.approx(100 * right / len(graded))
    pairs = [(s.confidence, s.outcome == "right") for s in samples if s.confidence is not None]
    assert got.n_confidence == len(pairs)
    if len(pairs) >= 100:
        assert got.calibration_official.value == pytest.approx(reference_official(pairs), abs=1e-9)
    else:
        assert got.calibration_official.value is None
        assert "fails below 100" in (got.calibration_official.reason or "")
    if pairs:
        assert got.calibration_corrected.value == pytest.approx(reference_corrected(pairs), abs=1e-9)


@pytest.mark.parametrize("n", [1, 98, 99, 100, 101, 150, 199, 200, 201, 250, 299, 300, 399, 400, 2999, 3000])
def test_calibration_at_and_around_the_trap_sizes(n: int):
    draw = random.Random(n)
    pairs = [(float(draw.randint(0, 100)), draw.random() < 0.4) for _ in range(n)]
    confidence, correct = np.array([c for c, _ in pairs]), np.array([r for _, r in pairs])
    official, corrected = official_calibration(confidence, correct), corrected_calibration(confidence, correct)
    assert corrected.value == pytest.approx(reference_corrected(pairs), abs=1e-9)
    if n < 100:
        with pytest.raises(IndexError):
            reference_official(pairs)
        assert official.value is None
    elif n < 200:
        assert official.value == 0.0
        assert "leaves out" in (official.reason or "")
        assert corrected.value > 0
    else:
        assert official.value == pytest.approx(reference_official(pairs), abs=1e-9)
        assert official.reason is None


def test_the_official_sum_leaves_out_the_last_bin():
    confidence = np.array([10.0] * 100 + [90.0] * 100)
    correct = np.array([False] * 200)
    assert official_calibration(confidence, correct).value == pytest.approx(math.sqrt(0.5 * 10**2))
    assert corrected_calibration(confidence, correct).value == pytest.approx(math.sqrt(0.5 * 10**2 + 0.5 * 90**2))


def test_perfectly_calibrated_and_perfectly_wrong():
    assert corrected_calibration(np.array([100.0, 0.0]), np.array([True, False])).value == pytest.approx(0)
    assert corrected_calibration(np.full(300, 100.0), np.ones(300, dtype=bool)).value == 0.0
    assert corrected_calibration(np.full(300, 100.0), np.zeros(300, dtype=bool)).value == 100.0
    assert corrected_calibration(np.array([]), np.array([], dtype=bool)).value is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 50.0, 80.0, 100.0]), st.booleans()), min_size=1, max_size=350),
    st.randoms(),
)
def test_the_corrected_calibration_knows_no_order(pairs: list[tuple[float, bool]], order: random.Random):
    def value(of: list[tuple[float, bool]]) -> float | None:
        return corrected_calibration(np.array([c for c, _ in of]), np.array([r for _, r in of])).value

    shuffled = order.sample(pairs, len(pairs))
    assert value(shuffled) == pytest.approx(value(pairs), abs=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_wilsons_ends_solve_its_defining_equation(n: int):
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        low, high = wilson(right, n)
        share = right / n

        def distance(p: float, share: float = share) -> float:
            return (share - p) ** 2 - 1.96**2 * p * (1 - p) / n

        # The interval's ends are where |share - p| = z * sqrt(p (1 - p) / n).
        expected_low = 0.0 if right == 0 else brentq(distance, 0, share - 1e-12)
        expected_high = 1.0 if right == n else brentq(distance, share + 1e-12, 1)
        assert low == pytest.approx(100 * expected_low, abs=1e-6)
        assert high == pytest.approx(100 * expected_high, abs=1e-6)
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert (low, high) == (pytest.approx(100 * theirs.low, abs=0.01), pytest.approx(100 * theirs.high, abs=0.01))


def test_half_width_of_a_published_size():
    # By hand: a = 37.1, n = 1900: 37.1 * 62.9 = 2333.59; / 1900 = 1.228205; sqrt = 1.108244; * 1.96 = 2.172159.
    assert half_width(37.1, 1900) == pytest.approx(2.172159, abs=1e-6)


def test_tasks_that_never_ended_count_and_are_named():
    got = score([Sample("a", 1, "right"), Sample("b", 1, "ungraded")], n_total=4)
    assert (got.n, got.n_missing, got.n_ungraded, got.accuracy) == (4, 2, 1, 25.0)
    assert (got.accuracy_graded.value, got.accuracy_graded.n) == (100.0, 1)


def test_nothing_at_all_has_no_score():
    got = score([])
    assert (got.accuracy, got.half_width, got.wilson, got.accuracy_graded.value) == (None, None, None, None)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="2 samples of 1 tasks"):
        score([Sample("a", 1, "right"), Sample("b", 1, "right")], n_total=1)
    with pytest.raises(ValueError, match="two samples"):
        score([Sample("a", 1, "right"), Sample("a", 1, "wrong")])


@pytest.mark.parametrize(
    ("status", "ending", "correct", "outcome"),
    [
        ("done", "answered", True, "right"),
        ("done", "answered", False, "wrong"),
        ("done", "round_limit", False, "unanswered"),
        ("done", "time_limit", None, "unanswered"),
        ("error", "answered", None, "ungraded"),
        ("done", "answered", None, "ungraded"),
        ("error", "error", None, "error"),
        ("error", "round_limit", None, "error"),
        ("error", "cancelled", None, "error"),
        ("skipped", "skipped", None, "skipped"),
    ],
)
def test_endings_by_what_they_mean_for_the_score(status: str, ending: str, correct: bool | None, outcome: str):
    assert outcome_of(status, ending, correct) == outcome


def test_pass_at_k_equals_all_draws():
    for n in range(1, 7):
        for right in range(n + 1):
            grades = [True] * right + [False] * (n - right)
            for k in range(1, n + 1):
                draws = list(itertools.combinations(grades, k))
                assert pass_at_k(n, right, k) == pytest.approx(sum(any(d) for d in draws) / len(draws))
    with pytest.raises(ValueError, match="pass@3 of 2"):
        pass_at_k(2, 1, 3)


def test_repeats_by_hand():
    grades = {"a": "right right right", "b": "right wrong wrong", "c": "wrong wrong ungraded"}
    samples = [
        Sample(task, epoch, outcome)  # type: ignore[arg-type]
        for task, outcomes in grades.items()
        for epoch, outcome in enumerate(outcomes.split(), start=1)
    ]
    got = repeats(samples, epochs=3, n_questions=4)  # a fourth question never ended
    assert got.accuracies == (50.0, 25.0, 25.0)
    assert got.mean == pytest.approx(100 / 3)
    assert got.sd == pytest.approx(14.4337567)
    spread = np.std([100, 100 / 3, 0, 0], ddof=1) / 2
    assert (got.low, got.high) == (0.0, pytest.approx(100 / 3 + 1.96 * spread))
    one, two, three = got.pass_at_k
    assert (one.value, one.n, one.n_missing) == (pytest.approx(100 * (1 + 1 / 3 + 0) / 3), 3, 1)
    assert (two.value, two.n) == (pytest.approx(100 * (1 + 2 / 3 + 0) / 3), 3)
    assert (three.value, three.n, three.n_missing) == (100.0, 2, 2)


def test_one_epoch_has_no_spread():
    got = repeats([Sample("a", 1, "right")], epochs=1, n_questions=1)
    assert (got.mean, got.sd, got.low) == (100.0, None, None)


def test_mcnemar_equals_scipys_exact_binomial():
    for only_a, only_b in [(0, 0), (0, 1), (3, 9), (10, 10), (1, 25), (150, 210), (900, 1100)]:
        n = only_a + only_b
        expected = binomtest(only_a, n, 0.5).pvalue if n else 1.0
        assert mcnemar(only_a, only_b) == pytest.approx(expected)
        assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


def test_paired_counts_and_interval():
    a = [True] * 6 + [True] * 2 + [False] * 5 + [False] * 7
    b = [True] * 6 + [False] * 2 + [True] * 5 + [False] * 7
    got = paired(a, b)
    assert (got.both, got.only_a, got.only_b, got.neither) == (6, 2, 5, 7)
    assert got.difference == pytest.approx(15.0)
    assert got.low < 15.0 < got.high
    assert got.p == pytest.approx(binomtest(2, 7, 0.5).pvalue)
    with pytest.raises(ValueError, match="shorter"):
        paired([True], [])
    assert paired([], []).difference is None


def test_the_paired_interval_covers():
    draw = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        cells = draw.choice(4, size=200, p=[0.3, 0.12, 0.18, 0.4])
        got = paired([bool(c in (0, 1)) for c in cells], [bool(c in (0, 2)) for c in cells])
        inside += got.low <= 6.0 <= got.high
    assert 0.92 <= inside / 400 <= 0.98


def test_the_interval_of_epochs_is_the_clustered_one_of_statsmodels() -> None:
    # OLS of right (0, 1) on a constant, cov_type "cluster" by question with the small-sample correction: 10 questions.
    rights = (3, 0, 2, 1, 3, 0, 0, 2, 3, 1)
    samples = [
        Sample(f"q{question}", epoch + 1, "right" if epoch < right else "wrong")
        for question, right in enumerate(rights)
        for epoch in range(3)
    ]
    found = repeats(samples, 3, 10)
    assert found.low is not None
    assert (found.mean - found.low) / 1.96 == pytest.approx(100 * 0.13379549531991436, abs=1e-9)
