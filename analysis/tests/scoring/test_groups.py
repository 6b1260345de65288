"""Accuracy by what is known of the questions: official, with Wilson's interval, from the log or else the records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.scoring.groups import GroupScore, group_scores
from podium_analysis.scoring.judges import run_samples
from podium_analysis.scoring.scores import wilson
from podium_contracts.events import Event, TaskComplete

MakeLog = Callable[[list[Event | bytes]], Path]


def done(task: str, **fields: Any) -> TaskComplete:
    base: dict[str, Any] = {"status": "done", "ending": "answered", "correct": True, "duration_ms": 1.0, "rounds": 1}
    return TaskComplete(run_id="r", task_id=task, **(base | fields))


def test_every_ended_task_counts_in_its_groups(make_log: MakeLog) -> None:
    log = make_log(
        [
            done("a", category="Math", answer_type="exactMatch", has_image=False),
            done("b", category="Math", answer_type="multipleChoice", has_image=True, correct=False),
            done("c", category="Math", has_image=False, ending="round_limit", correct=None),
            done("d", category="Chemistry", has_image=False, status="error", ending="error", correct=None),
            done("e", has_image=False),
        ]
    )
    with load_run(log) as run:
        found = group_scores(run, run_samples(run))
    assert found is not None
    assert found.category == [
        GroupScore("Math", 3, 1, 1, 0, pytest.approx(100 / 3), pytest.approx(wilson(1, 3))),
        GroupScore("Chemistry", 1, 0, 0, 1, 0.0, wilson(0, 1)),
        GroupScore(None, 1, 1, 0, 0, 100.0, wilson(1, 1)),
    ]
    assert [(group.value, group.n, group.n_right) for group in found.has_image] == [(False, 4, 2), (True, 1, 0)]
    assert [group.value for group in found.answer_type] == [None, "exactMatch", "multipleChoice"]
    assert [(group.value, group.n) for group in found.subject] == [(None, 5)]


def test_an_older_log_is_grouped_by_its_task_records(make_log: MakeLog) -> None:
    folder = make_log([done("a"), done("b")])
    with load_run(folder) as run:
        assert group_scores(run, run_samples(run)) is None
    (folder / "tasks").mkdir()
    (folder / "tasks" / "a.json").write_text(json.dumps({"task_id": "a", "epoch": 1, "category": "Math"}))
    (folder / "tasks" / "b.json").write_text("cut off")
    (folder / "tasks" / "c.json").write_text(json.dumps({"task_id": "b", "category": ["no", "text"]}))
    with load_run(folder) as run:
        found = group_scores(run, run_samples(run))
    assert found is not None
    assert [(group.value, group.n) for group in found.category] == [("Math", 1), (None, 1)]
