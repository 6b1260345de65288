"""SimpleQA's F and its interval, kinds of questions, and older runs, which are of HLE."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.scoring.benchmark.score import attempts, benchmark_score
from podium_analysis.scoring.benchmark.words import measure_lines
from podium_analysis.scoring.judges import run_samples
from podium_analysis.scoring.scores import Outcome, Sample
from podium_contracts.events import Event, TaskComplete

MakeLog = Callable[[list[Event | bytes]], Path]
GRADES: dict[str, tuple[Outcome, str | None]] = {
    "C": ("right", "correct"),
    "I": ("wrong", "incorrect"),
    "N": ("wrong", "not_attempted"),
    "U": ("unanswered", None),
    "X": ("ungraded", None),
}


def of(letters: str, epoch: int = 1) -> list[Sample]:
    return [Sample(f"q{n}", epoch, GRADES[one][0], None, GRADES[one][1]) for n, one in enumerate(letters)]


@pytest.mark.parametrize("letters", ["CCINUX", "C", "CCCC", "IIN", "NNUU", "CINUXCCCIIIIN" * 50])
def test_f_is_the_harmonic_mean_of_two_shares(letters: str) -> None:
    found = attempts(of(letters), len(letters))
    n, c, i = len(letters), letters.count("C"), letters.count("I")
    overall, given = c / n, c / (c + i) if c + i else 0
    f = 2 * overall * given / (overall + given) if c else 0
    assert found.f_measure == pytest.approx(100 * f, rel=1e-9)
    assert found.correct_given_attempted == (pytest.approx(100 * given, rel=1e-9) if c + i else None)
    assert found.n_not_attempted == letters.count("N") + letters.count("U")
    assert found.n_ungraded == letters.count("X")


def test_the_interval_of_f_agrees_with_a_bootstrap_over_questions() -> None:
    generator = np.random.default_rng(3)
    abilities = generator.dirichlet((1, 1, 0.5), 300)
    epochs = ["".join(generator.choice(list("CIN"), p=ability) for ability in abilities) for _ in range(4)]
    found = attempts([one for n, letters in enumerate(epochs, 1) for one in of(letters, n)], 1200)
    assert found.f_interval is not None
    right, tried = (np.array([[one in wanted for one in epoch] for epoch in epochs]).sum(0) for wanted in ("C", "CI"))
    drawn = generator.integers(0, 300, (4000, 300))
    values = 200 * right[drawn].sum(1) / (1200 + tried[drawn].sum(1))
    assert found.f_interval == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.4)
    once = attempts(of(epochs[0]), 300)
    assert once.f_interval is not None
    assert once.f_interval[1] - once.f_interval[0] < 2 * (found.f_interval[1] - found.f_interval[0])


def test_without_spread_there_is_no_interval() -> None:
    assert attempts(of("CCC"), 3).f_interval is None
    assert attempts(of("C"), 1).f_interval is None
    assert attempts([], 0).f_measure is None
    assert attempts(of("CI"), 4).f_measure == pytest.approx(100 / 3, rel=1e-9), "tasks that have not ended count in n"


def done(task: str, **fields: Any) -> TaskComplete:
    base: dict[str, Any] = {"status": "done", "ending": "answered", "correct": True, "duration_ms": 1.0, "rounds": 1}
    return TaskComplete(run_id="r", task_id=task, **(base | fields))


def test_kinds_and_measure_are_the_manifest_s(make_log: MakeLog) -> None:
    folder = make_log([done("a", kinds="x | y", grade="correct"), done("b", kinds="y", correct=False)])
    with load_run(folder) as run:
        older = benchmark_score(run, run_samples(run), None)
    assert (older.name, older.attempts, older.kinds, measure_lines(older)) == ("hle", None, None, [])
    about = {"name": "own", "title": "Own", "measure": "f_measure", "kinds": "sort"}
    (folder / "run.json").write_text(json.dumps({"run_id": "r", "benchmark": about}))
    with load_run(folder) as run:
        found = benchmark_score(run, run_samples(run), 3)
    assert found.attempts is not None
    assert (found.attempts.n, found.attempts.n_correct, found.attempts.n_ungraded) == (3, 1, 1)
    assert [(one.kind, one.n, one.n_right, one.accuracy) for one in found.kinds or ()] == [
        ("y", 2, 1, 50),
        ("x", 1, 1, 100),
    ]
    assert [line.partition(",")[0] for line in measure_lines(found)] == [
        "Own: F 40.0 (95 % 0.0 to 100.0)", "Own by sort: y 50.0 % of 2",
    ]  # fmt: skip
