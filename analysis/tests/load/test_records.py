"""Task records that JSON readers disagree about: lone surrogates and NaN."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from podium_analysis.compare.comparison import compare_runs
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.records import BadRecord
from podium_analysis.load.run_data import load_run
from podium_analysis.report.write import write_report
from podium_analysis.stats.compute import compute_stats


def with_odd_json(run: Path) -> str:
    """Put a lone surrogate and a NaN into the first record, as Python's json module writes them; returns its task."""
    path = min((run / "tasks").glob("*.json"))
    record = json.loads(path.read_text())
    record["question"] = "Which is \ud800?"
    record["confidence"] = float("nan")
    record["turns"][0]["arguments"] = {"x": "\ud800", "y": float("nan")}
    path.write_text(json.dumps(record))
    assert "\\ud800" in path.read_text()
    assert "NaN" in path.read_text()
    return record["task_id"]


def test_lone_surrogates_and_nan_are_loaded(make_run: Callable[..., Path]) -> None:
    run = make_run(n=3)
    task = with_odd_json(run)
    with load_run(run) as data:
        (record,) = [one for one in data.records() if one.task_id == task]
    assert record.question == "Which is \\ud800?"
    assert record.confidence is None
    assert record.turns[0].arguments == {"x": "\\ud800", "y": None}


def test_lone_surrogates_and_nan_reach_the_report(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(n=3)
    with_odd_json(run)
    with load_run(run) as data:
        made = write_report(data, compute_stats(data), out_dir=tmp_path)
    page = made.path.read_text()
    assert made.n_tasks == 3
    assert r"Which is \\ud800?" in page
    assert "task records could not be read" not in page


def test_lone_surrogates_and_nan_are_compared(make_run: Callable[..., Path]) -> None:
    runs = [make_run(name, n=6) for name in ("run-a", "run-b")]
    for run in runs:
        with_odd_json(run)
    (pair,) = compare_runs(runs).pairs
    assert (pair.n_shared, pair.bad_records) == (6, [])


def test_an_unreadable_record_is_named(make_run: Callable[..., Path]) -> None:
    run = make_run(n=3)
    path = min((run / "tasks").glob("*.json"))
    path.write_text("{")
    bad: list[BadRecord] = []
    with load_run(run) as data:
        assert len(list(data.records(bad))) == 2
        with pytest.raises(LoadError, match=path.name):
            list(data.records())
    assert [one.file for one in bad] == [path.name]
