"""STOP_AT_HALF_WIDTH: when it stops, what it refuses, and how often its interval still holds the truth."""

import random
from typing import Any

import pytest
from podium_contracts.events import TaskComplete
from podium_eval.run.folder import Saved
from podium_eval.run.stop import MIN_QUESTIONS, EarlyStop, early_stop_problem, half_width
from podium_eval.settings.read import Settings


def ended(number: int, correct: bool | None, **more: Any) -> TaskComplete:
    fields: dict[str, Any] = {"status": "done", "ending": "answered", "rounds": 1, "duration_ms": 1.0, **more}
    return TaskComplete(run_id="r", task_id=f"q{number}", epoch=1, correct=correct, **fields)


def test_it_stops_once_at_the_goal_after_the_least_number():
    said: list[str] = []
    stop = EarlyStop(50.0, (), said.append)
    for number in range(MIN_QUESTIONS - 1):
        stop.observe(ended(number, number % 2 == 0))
    stop.observe(ended(999, None, status="error"))
    assert said == []
    for number in range(MIN_QUESTIONS - 1, MIN_QUESTIONS + 5):
        stop.observe(ended(number, True))
    assert len(said) == 1
    assert f"after {MIN_QUESTIONS} questions" in said[0]


def test_a_resume_knows_what_was_graded_before():
    before = [Saved(f"k{n}", f"q{n}", 1, "done", n % 2 == 0, None, 1, None, True) for n in range(400)]
    said: list[str] = []
    EarlyStop(5.0, before, said.append).look()
    assert len(said) == 1
    EarlyStop(4.0, before, said.append).look()
    assert len(said) == 1


@pytest.mark.parametrize("share", [0.05, 0.37, 0.5, 0.9])
def test_the_stopped_interval_holds_the_truth_nearly_as_often(share: float):
    rng = random.Random(5)
    held = 0
    for _ in range(600):
        right = n = 0
        while n < MIN_QUESTIONS or half_width(right, n) > 5.0:
            n += 1
            right += rng.random() < share
        middle = (right + 1.9208) / (n + 3.8416)
        held += abs(middle - share) * 100 <= half_width(right, n)
    assert held / 600 >= 0.92


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"shuffle": 0}, None), ({}, "SHUFFLE"), ({"shuffle": 0, "epochs": 2}, "EPOCHS=1")],
)
def test_a_sample_that_is_none_is_refused(given: dict[str, Any], problem: str | None):
    found = early_stop_problem(Settings(stop_at_half_width=5.0, **given))
    assert (found is None) if problem is None else (problem in (found or ""))
