"""stats.json as a whole: it fits its schema for every kind of log, and hides nothing."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.section import Section
from podium_analysis.stats.compute import STATS_VERSION, compute_stats, stats_schema, write_stats
from podium_contracts.events import Event, Judge, RunStart, TaskComplete, TaskStart, event_to_json
from podium_contracts.records import REJUDGE_LOG, Judgement, TaskRecord

MakeLog = Callable[[list[Event | bytes]], Path]
START = RunStart(
    run_id="r",
    protocol="hle",
    concurrency=2,
    max_rounds=9,
    n_tasks=3,
    n_finished=0,
    dataset_sha256="",
    orchestrator_model="o",
)


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads((files("podium_analysis") / "stats_schema.json").read_text(encoding="utf-8"))
    assert schema["properties"]["stats_version"] == {"enum": [STATS_VERSION]}
    return jsonschema_rs.Draft202012Validator(schema)


def stats_of(folder: Path, out: Path) -> Any:
    """What a reader of stats.json gets."""
    with load_run(folder) as run:
        write_stats(compute_stats(run), out / "stats.json")
    return json.loads((out / "stats.json").read_bytes())


def done(task: str, **fields: Any) -> TaskComplete:
    base: dict[str, Any] = {"status": "done", "ending": "answered", "correct": True, "duration_ms": 10.0}
    return TaskComplete(run_id="r", task_id=task, rounds=1, **(base | fields))


FAILED = done("b", status="error", ending="error", correct=None)
SKIPPED = done("a", status="skipped", ending="skipped", correct=None, duration_ms=0.0)


def test_the_stored_schema_is_the_generated_one() -> None:
    stored = json.loads((files("podium_analysis") / "stats_schema.json").read_text(encoding="utf-8"))
    assert stored == stats_schema(), "run `make schemas`"


def test_sections_are_read_by_attribute_alone() -> None:
    assert not any(hasattr(Section, name) for name in ("__getitem__", "__iter__", "get", "keys", "items"))


def test_a_generated_run_fits_the_schema(generated_run: Path, tmp_path: Path, validator: Any) -> None:
    stats = stats_of(generated_run, tmp_path)
    validator.validate(stats)
    assert stats["tasks"]["n_ended"] == stats["tasks"]["n_expected"] == 80
    assert stats["scores"]["n"] == 80
    assert sum(stats["tasks"]["by_status"].values()) == sum(stats["tasks"]["by_outcome"].values()) == 80
    assert stats["run"]["wall_ms"] == sum(segment["length_ms"] for segment in stats["log"]["segments"])
    assert (
        sum(model["n_graded"] for model in stats["answer_models"])
        == stats["scores"]["n_right"] + stats["scores"]["n_wrong"]
    )
    turns = next(role for role in stats["tokens"]["by_role"] if role["role"] == "orchestrator")
    assert stats["context_latency"]["n"] == turns["n_calls"] - turns["n_failed"]
    assert sum(group["n"] for group in stats["context_latency"]["prefill_ms"]) == stats["context_latency"]["n"]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="empty"),
        pytest.param([b"no json\n", b"{}\n"], id="nothing but bad lines"),
        pytest.param([START], id="just begun"),
        pytest.param([START, TaskStart(run_id="r", task_id="a")], id="a task in flight"),
        pytest.param([START, done("a"), FAILED], id="calls filtered out"),
        pytest.param([START, SKIPPED], id="all skipped"),
    ],
)  # fmt: skip
def test_any_log_fits_the_schema(
    make_log: MakeLog, events: list[Event | bytes], tmp_path: Path, validator: Any
) -> None:
    validator.validate(stats_of(make_log(events), tmp_path))


def test_an_older_log_fits_the_schema(tmp_path: Path, validator: Any) -> None:
    for folder in sorted((Path(__file__).parents[1] / "data").glob("schema-*")):
        validator.validate(stats_of(folder, tmp_path))


def test_tasks_that_have_not_ended_are_counted_and_named_so(make_log: MakeLog, tmp_path: Path) -> None:
    events: list[Event | bytes] = [
        START,
        TaskStart(run_id="r", task_id="a"),
        TaskStart(run_id="r", task_id="b"),
        done("a"),
        b"{",
    ]
    stats = stats_of(make_log(events), tmp_path)
    assert stats["tasks"] | {"by_ending": 0, "by_outcome": 0} == {
        "n_expected": 3, "n_seen": 2, "n_ended": 1, "n_open": 1, "n_superseded": 0, "by_status": {"done": 1},
        "by_ending": 0, "by_outcome": 0,
    }  # fmt: skip
    assert (stats["scores"]["n"], stats["scores"]["n_missing"]) == (3, 2)
    assert stats["log"]["ended"] is False
    assert stats["log"]["problems"] == [
        {
            "line": 5,
            "kind": "torn",
            "message": "the last line is cut off (still being written, or a crash)",
            "field": None,
        }
    ]


def test_a_rejudged_run_is_scored_with_both_judges(make_log: MakeLog, tmp_path: Path) -> None:
    folder = make_log([START, done("a", correct=False), done("b")])
    judged = Judge(run_id="r", task_id="a", protocol="hle", duration_ms=5.0, correct=True, rejudge=True)
    (folder / REJUDGE_LOG).write_text(json.dumps(event_to_json(judged)) + "\n")
    (folder / "tasks").mkdir()
    for task, grades in (("a", (False, True)), ("b", (True, True))):
        judgements = [
            Judgement(protocol="hle", judge=f"p/judge-{n}", method="model", correct=grade, ts="2026-01-01T00:00:00Z")
            for n, grade in enumerate(grades)
        ]
        record = TaskRecord(
            run_id="r", key=task, task_id=task, eid=0, question="?", gold_answer="!", status="done", ending="answered",
            correct=grades[-1], judgements=judgements, rounds=1, started_ts="", finished_ts="", duration_ms=10.0,
        )  # fmt: skip
        (folder / "tasks" / f"{task}.json").write_text(json.dumps(record.to_json()))
    scores = stats_of(folder, tmp_path)["scores"]
    assert (scores["rejudged"], scores["n_right"], scores["n_wrong"]) == (True, 2, 0)
    assert [judge["score"]["n_right"] for judge in scores["judges"]] == [1, 2]
    assert (scores["agreement"]["n"], scores["agreement"]["only_second"]) == (2, 1)
