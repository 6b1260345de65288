"""Intervals of questions that were asked several times: worth fewer samples than were drawn."""

import math
import random

import numpy as np
import pytest
from podium_analysis.scoring.clustered import by_question, clustered, wilson
from podium_analysis.scoring.scores import Sample, score


def samples(grades: list[list[bool]]) -> list[Sample]:
    return [
        Sample(f"q{question}", epoch, "right" if right else "wrong")
        for question, of_question in enumerate(grades)
        for epoch, right in enumerate(of_question, start=1)
    ]


def test_one_epoch_has_no_clusters() -> None:
    assert clustered(samples([[True], [False]]), [True, False], 2) is None
    found = score(samples([[True], [False]]), 3)
    assert (found.clustered, found.interval) == (None, wilson(1, 3))


def test_equal_epochs_are_worth_their_questions() -> None:
    random.seed(1)
    grades = [[random.random() < 0.4] * 5 for _ in range(200)]
    found = score(samples(grades))
    right = sum(of_question[0] for of_question in grades)
    low, high = wilson(right * 199 / 200, 199)  # Q - 1 in the denominator of the spread
    assert found.interval == (pytest.approx(low, rel=1e-9), pytest.approx(high, rel=1e-9))
    assert found.wilson is not None
    assert high - low > 2 * (found.wilson[1] - found.wilson[0])


def test_it_covers_the_truth_where_wilson_does_not() -> None:
    generator = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(400):
        chances = generator.beta(0.5, 0.5, 60)
        right = (generator.random((60, 8)) < chances[:, None]).tolist()
        found = score(samples(right))
        assert found.clustered is not None
        assert found.wilson is not None
        covered += found.clustered[0] <= 50 <= found.clustered[1]
        naive += found.wilson[0] <= 50 <= found.wilson[1]
    assert 0.92 <= covered / 400 <= 0.98
    assert naive / 400 < 0.7


@pytest.mark.parametrize("right", [True, False])
def test_where_all_are_alike_each_question_counts_once(right: bool) -> None:
    found = clustered(samples([[right] * 4] * 6), [right] * 24, 24)
    assert found == wilson(6 * right, 6)


def test_missing_tasks_fill_their_questions_first() -> None:
    given = samples([[True, True], [True]])
    assert by_question(given, [1, 1, 1], 7) == [(2, 2), (1, 2), (0, 2), (0, 1)]
    found = score(given, 7)
    assert found.clustered is not None
    assert found.clustered[0] < 100 * 3 / 7 < found.clustered[1]
    assert all(math.isfinite(end) for end in found.clustered)
