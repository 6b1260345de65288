"""Reading run folders: whole, growing, torn, mixed, empty, older and newer."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import all_runs, find_run
from podium_analysis.load.run_data import load_run
from podium_analysis.load.schema import COLUMNS, REQUIRED
from podium_contracts.events import (
    EVENT_TYPES,
    SCHEMA_VERSION,
    Event,
    LlmCall,
    NewerSchema,
    RunEnd,
    RunStart,
    TaskComplete,
    TaskStart,
)

MakeLog = Callable[[list[Event | bytes]], Path]
DATA = Path(__file__).parents[1] / "data"


def start(**changes: Any) -> RunStart:
    fields: dict[str, Any] = {
        "run_id": "r", "protocol": "hle", "concurrency": 4, "max_rounds": 50, "n_tasks": 2, "n_finished": 0,
        "dataset_sha256": "0" * 64, "orchestrator_model": "m",
    }  # fmt: skip
    return RunStart(**(fields | changes))


def turn(duration: float = 10.0, **changes: Any) -> LlmCall:
    fields: dict[str, Any] = {
        "run_id": "r", "task_id": "a", "step": 1, "role": "orchestrator", "provider": "vllm", "model": "m",
    }  # fmt: skip
    return LlmCall(duration_ms=duration, **(fields | changes))


def complete(task_id: str = "a", **changes: Any) -> TaskComplete:
    fields: dict[str, Any] = {
        "run_id": "r", "task_id": task_id, "status": "done", "ending": "answered", "correct": True, "rounds": 1,
        "duration_ms": 50.0,
    }  # fmt: skip
    return TaskComplete(**(fields | changes))


def test_every_column_and_required_field_is_one_of_the_contracts() -> None:
    stamped = {"mono_ms", "ts", "level"}
    known = {name for cls in EVENT_TYPES.values() for name in cls.__dataclass_fields__} | stamped | {"type"}
    assert set(COLUMNS) <= known
    assert set(REQUIRED) == set(EVENT_TYPES)
    for kind, names in REQUIRED.items():
        assert set(names) <= set(EVENT_TYPES[kind].__dataclass_fields__) | stamped
        assert set(names) <= set(COLUMNS)


def test_what_was_generated_is_what_is_loaded(generated_run: Path) -> None:
    lines = [json.loads(line) for line in (generated_run / "events.jsonl").read_text().splitlines()]
    with load_run(generated_run) as run:
        assert (run.n_events, run.n_problems) == (len(lines), 0)
        assert run.run_id == "generated"
        durations = run.arrays("SELECT duration_ms FROM events WHERE type = 'llm_call'")["duration_ms"]
        expected = [line["duration_ms"] for line in lines if line["type"] == "llm_call"]
        np.testing.assert_array_equal(durations, expected)
        queue = run.arrays("SELECT queue_ms FROM events WHERE type = 'llm_call'")["queue_ms"]
        np.testing.assert_array_equal(
            queue,
            [line.get("queue_ms", np.nan) for line in lines if line["type"] == "llm_call"],
        )
        assert [event["mono_ms"] for event in run.events("llm_call", "judge")] == [
            line["mono_ms"] for line in lines if line["type"] in ("llm_call", "judge")
        ]


def test_a_resumed_run_has_one_ending_a_task(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        first, second = run.segments
        assert (first.offset_ms, second.offset_ms) == (0.0, first.length_ms)
        assert (first.reason, second.reason) == (None, "finished")
        assert run.ended
        assert run.wall_ms == first.length_ms + second.length_ms
        tasks = run.tasks()
        assert len({(task.task_id, task.epoch) for task in tasks}) == len(tasks) == 80
        assert [task.eid for task in tasks] == list(range(80))


def test_a_tasks_last_ending_counts(make_log: MakeLog) -> None:
    failed = complete(status="error", ending="error", correct=None, error_type="timeout")
    folder = make_log([start(), failed, start(segment=2), complete(segment=2), complete("b", epoch=2, segment=2)])
    with load_run(folder) as run:
        a, b = run.tasks()
        assert (a.task_id, a.status, a.superseded, a.segment) == ("a", "done", 1, 2)
        assert (b.task_id, b.epoch, b.superseded) == ("b", 2, 0)


def test_bad_lines_are_named_and_the_rest_analysed(make_log: MakeLog) -> None:
    no_duration = b'{"type": "llm_call", "role": "orchestrator", "mono_ms": 1.0}\n'
    wrong_kind = b'{"type": "llm_call", "role": "orchestrator", "mono_ms": 1.0, "duration_ms": "soon"}\n'
    folder = make_log(
        [
            start(), b"\n", turn(), b"not json\n", b"   \n", b"[1, 2]\n", b'{"type": "later"}\n', no_duration, turn(),
            wrong_kind, b"\x00\x00\x00\n", b'{"type": "llm_call", "role": "\xff"}\n', turn(30.0),
            b'{"type": "llm_call", "role": "judge", "mono_ms": 1.0, "duration_ms": NaN}\n',
            complete(), b'{"type": "llm_call", "role": "orches',
        ]
    )  # fmt: skip
    with load_run(folder) as run:
        assert run.n_events == 5
        assert run.n_problems == 9
        assert [(problem.line, problem.kind) for problem in run.problems] == [
            (4, "not_json"),
            (6, "not_an_object"),
            (7, "unknown_type"),
            (8, "missing_field"),
            (10, "bad_value"),
            (11, "not_json"),
            (12, "not_json"),
            (14, "not_json"),
            (16, "torn"),
        ]
        assert "duration_ms" in run.problems[3].message
        assert "soon" in run.problems[4].message
        assert run.rows("SELECT duration_ms FROM events WHERE type = 'llm_call' ORDER BY mono_ms") == [
            (10,),
            (10,),
            (30,),
        ]


def test_an_optional_value_of_wrong_type_is_missing(
    make_log: MakeLog,
) -> None:
    def line(**fields: Any) -> bytes:
        known = {"type": "llm_call", "role": "orchestrator", "mono_ms": 1.0, "duration_ms": 5.0}
        return json.dumps(known | fields).encode() + b"\n"

    folder = make_log(
        [
            start(), line(queue_ms="soon"), line(queue_ms=7.0), b"\n", line(prompt_tokens={"n": 1}, decode_ms=2.0),
            line(step="third", rejudge="maybe"), line(duration_ms=[5]), line(step=10**12), line(queue_ms="9", step=2.0),
        ]
    )  # fmt: skip
    with load_run(folder) as run:
        assert (run.n_events, run.n_problems, run.n_lost_values) == (7, 1, 4)
        assert [(one.line, one.kind, one.field) for one in run.problems] == [
            (2, "lost_value", "queue_ms"),
            (5, "lost_value", "prompt_tokens"),
            (6, "lost_value", "step"),
            (7, "bad_value", "duration_ms"),
            (8, "lost_value", "step"),
        ]
        assert "queue_ms='soon', which is no number: counted as missing" in run.problems[0].message
        assert "and 1 more" in run.problems[2].message
        calls = "SELECT count(*), count(queue_ms), sum(queue_ms), count(decode_ms) FROM events WHERE type = 'llm_call'"
        assert run.rows(calls) == [(6, 2, 16.0, 1)]


def test_a_role_without_calls_is_left_out(make_log: MakeLog) -> None:
    critic = b'{"type": "llm_call", "role": "critic", "mono_ms": 1.0, "duration_ms": 5.0}\n'
    with load_run(make_log([start(), turn(), critic, complete()])) as run:
        assert (run.n_events, run.n_problems) == (3, 1)
        [problem] = run.problems
        assert (problem.line, problem.kind, problem.field) == (3, "bad_value", "role")
        assert "role='critic', which is none of expert, judge, orchestrator" in problem.message


def test_types_sort_as_their_names_do(make_log: MakeLog) -> None:
    with load_run(make_log([start(), turn(), complete()])) as run:
        types = [row[0] for row in run.rows("SELECT DISTINCT type FROM events ORDER BY type")]
    assert types == sorted(types)
    assert len(types) == 3


def test_many_bad_lines_are_counted_and_the_first_hundred_listed(make_log: MakeLog) -> None:
    with load_run(make_log([start(), *[b"?\n"] * 250, complete()])) as run:
        assert (run.n_problems, len(run.problems), run.n_events) == (250, 100, 2)


def test_a_run_that_is_still_going_has_no_end(make_log: MakeLog) -> None:
    folder = make_log([start(), TaskStart(run_id="r", task_id="a"), turn(), b'{"type": "tool_call", "tool": "sea'])
    with load_run(folder) as run:
        assert not run.ended
        assert run.tasks() == ()
        assert run.segments[0].length_ms == 2000.0
        assert [problem.kind for problem in run.problems] == ["torn"]


def test_a_whole_last_line_without_a_newline_counts(make_log: MakeLog) -> None:
    folder = make_log([start(), turn()])
    log = folder / "events.jsonl"
    log.write_bytes(log.read_bytes().rstrip(b"\n"))
    with load_run(folder) as run:
        assert (run.n_events, run.n_problems) == (2, 0)


def test_an_empty_log_is_a_run_without_events(make_log: MakeLog) -> None:
    with load_run(make_log([])) as run:
        assert (run.n_events, run.n_problems, run.segments, run.wall_ms) == (0, 0, (), 0.0)
        assert run.tasks() == ()


@pytest.mark.parametrize("at", [0, 1])
def test_a_newer_schema_is_refused_wherever_it_begins(make_log: MakeLog, at: int) -> None:
    newer = start(schema_version=SCHEMA_VERSION + 1, segment=2)
    with pytest.raises(NewerSchema, match=f"version {SCHEMA_VERSION + 1}.*upgrade"):
        load_run(make_log([newer] if at == 0 else [start(), newer]))


def test_a_stored_log_of_every_schema_version_is_read() -> None:
    for version in range(1, SCHEMA_VERSION + 1):
        with load_run(DATA / f"schema-{version}") as run:
            assert run.n_problems == 0
            assert run.rows("SELECT DISTINCT schema_version FROM events WHERE type = 'run_start'") == [(version,)]
            kinds = {row[0] for row in run.rows("SELECT DISTINCT type FROM events")}
            assert kinds == set(REQUIRED) - {"control"}  # nobody steered that run
            assert run.tasks()
            assert list(run.samples())
            assert len(list(run.records())) == len(run.tasks())


def test_missing_folders_and_logs_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such run folder"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(LoadError, match=r"no events\.jsonl"):
        load_run(tmp_path)
    with pytest.raises(LoadError, match="RUNS_DIR"):
        find_run(tmp_path, None)


def test_runs_are_found_by_id_by_path_and_by_time(tmp_path: Path) -> None:
    for age, name in ((100, "old"), (50, "new")):
        (tmp_path / name).mkdir()
        log = tmp_path / name / "events.jsonl"
        log.touch()
        os.utime(log, (1_700_000_000 - age, 1_700_000_000 - age))
    (tmp_path / "no-run").mkdir()
    assert find_run(tmp_path, None).name == "new"
    assert find_run(tmp_path, "old").name == "old"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "old")).name == "old"
    assert [folder.name for folder in all_runs(tmp_path)] == ["new", "old"]
    with pytest.raises(LoadError, match="runs there: new, old"):
        find_run(tmp_path, "other")


def test_a_line_beyond_the_limit_is_refused_with_the_reason(make_log: MakeLog) -> None:
    folder = make_log([start(), b'{"type": "x", "s": "' + b"q" * 40_000_000 + b'"}\n'])
    with pytest.raises(LoadError, match="maximum_object_size"):
        load_run(folder)


def test_a_broken_manifest_is_named(make_log: MakeLog) -> None:
    folder = make_log(
        [start(), RunEnd(run_id="r", reason="finished", duration_ms=1, n_done=0, n_error=0, n_skipped=0, n_left=2)]
    )
    (folder / "run.json").write_text("{")
    with pytest.raises(LoadError, match=r"run\.json"):
        load_run(folder)


def test_a_closed_run_leaves_no_temporary_folder(
    generated_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with load_run(generated_run, memory_mb=128) as run:
        assert list(tmp_path.iterdir())
        run.rows("SELECT count(*) FROM events")
    assert list(tmp_path.iterdir()) == []
