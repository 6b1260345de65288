"""The list of runs: what became of each, from its log alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.__main__ import main
from podium_analysis.load.run_list import STILL_S, describe_run, table
from podium_contracts.events import Event, RunEnd, RunStart, TaskComplete

MakeLog = Callable[[list[Event | bytes]], Path]
START = RunStart(
    run_id="r", protocol="hle", concurrency=1, max_rounds=1, n_tasks=4, n_finished=0, dataset_sha256="",
    orchestrator_model="o",
)  # fmt: skip
END = RunEnd(run_id="r", reason="finished", duration_ms=1.0, n_done=1, n_error=0, n_skipped=0, n_left=0)


def done(task: str, **fields: Any) -> TaskComplete:
    base: dict[str, Any] = {"status": "done", "ending": "answered", "correct": True, "duration_ms": 1.0, "rounds": 1}
    return TaskComplete(run_id="r", task_id=task, **(base | fields))


def test_a_task_counts_by_its_last_ending(make_log: MakeLog) -> None:
    events = [
        START,
        done("a", correct=None, status="error"),
        done("a", cost_usd=0.5),
        done("b", correct=False),
        b"{cut",
    ]
    folder = make_log(events)
    written = (folder / "events.jsonl").stat().st_mtime
    line = describe_run(folder, written + 1)
    assert (line.state, line.n_ended, line.n_tasks, line.accuracy, line.usd) == ("running", 2, 4, 25.0, 0.5)
    assert describe_run(folder, written + STILL_S).state == "stopped"


def test_the_last_segment_tells_the_state(make_log: MakeLog) -> None:
    folder = make_log([START, done("a"), END])
    assert describe_run(folder, 1e12).state == "finished"
    folder = make_log([START, END, START])
    line = describe_run(folder, 1e12)
    assert (line.state, line.accuracy, line.usd) == ("stopped", None, None)


def test_the_command_lists_newest_first(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for age, name in ((7300, "old"), (5, "new")):
        log = make_run(name) / "events.jsonl"
        now = log.stat().st_mtime
        os.utime(log, (now - age, now - age))
    assert main(["list", "--runs-dir", str(tmp_path / "runs")]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "tasks", "accuracy", "cost", "last", "event"]
    assert (first.split()[0], second.split()[0]) == ("new", "old")
    assert second.endswith("2 h ago")
    assert main(["list", "--runs-dir", str(tmp_path / "none")]) == 2
    assert "RUNS_DIR" in capsys.readouterr().err
    assert table([]) == ["run  state  tasks  accuracy  cost  last event"]
