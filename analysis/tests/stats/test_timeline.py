"""Load over time adds up to the time that tasks took."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.timeline import CALLS, GAUGES, POINTS, timeline
from podium_contracts.events import Event, LlmCall, TaskComplete, TaskStart

MakeLog = Callable[[list[Event | bytes]], Path]


def done(task: str, segment: int = 1) -> TaskComplete:
    return TaskComplete(
        run_id="r",
        task_id=task,
        status="done",
        ending="answered",
        correct=None,
        rounds=1,
        duration_ms=1.0,
        segment=segment,
    )


def test_in_flight_is_the_mean_number_of_tasks_under_way(make_log: MakeLog) -> None:
    # written at 0, 1, 2, 3 and 4 s
    events: list[Event | bytes] = [
        TaskStart(run_id="r", task_id="a"), TaskStart(run_id="r", task_id="b"), done("a"), done("b"),
        TaskStart(run_id="r", task_id="c"),
    ]  # fmt: skip
    with load_run(make_log(events)) as run:
        found = timeline(run, [])
    assert found.t_ms == [1000, 2000, 3000, 4000]
    assert found.in_flight == pytest.approx([1, 2, 1, 0])
    assert all(getattr(found, name) == [None] * 4 for name in GAUGES)


def call(step: int, **fields: Any) -> LlmCall:
    names: dict[str, Any] = {"run_id": "r", "task_id": "a", "provider": "vllm", "model": "m", "duration_ms": 9.0}
    return LlmCall(**names, role=fields.pop("role", "orchestrator"), step=step, **fields)


def test_calls_count_in_the_stretch_in_which_they_ended(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [
        TaskStart(run_id="r", task_id="a"),
        call(1, queue_ms=10.0, prefill_ms=30.0, completion_tokens=50),
        call(2, queue_ms=10.0, completion_tokens=None),
        call(3, role="expert", queue_ms=1.0, prefill_ms=1.0, completion_tokens=9),
        call(4, error_type="timeout", completion_tokens=9),
        TaskStart(run_id="r", task_id="b", segment=2),
        call(5, segment=2, queue_ms=1.0, prefill_ms=1.0, completion_tokens=7),
    ]
    with load_run(make_log(events)) as run:
        found = timeline(run, [])
    assert found.ttft_ms[:4] == [40.0, None, None, None]
    assert found.output_tokens_per_s[:4] == [50.0, None, 0.0, 0.0]
    assert found.ttft_ms[-1] == 2.0
    assert found.output_tokens_per_s[-1] == 7.0


def test_a_log_without_calls_has_neither(make_log: MakeLog) -> None:
    with load_run(make_log([TaskStart(run_id="r", task_id="a"), done("a")])) as run:
        found = timeline(run, [])
    assert [getattr(found, name) for name in CALLS] == [[None], [None]]


def test_what_a_crash_cut_off_stops_at_its_segments_end(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [
        TaskStart(run_id="r", task_id="a"), TaskStart(run_id="r", task_id="b"), done("a"),
        TaskStart(run_id="r", task_id="b", segment=2), done("b", segment=2),
    ]  # fmt: skip
    with load_run(make_log(events)) as run:
        found = timeline(run, [])
        assert run.wall_ms == 6000  # each segment from its own zero: 2 s and 4 s
    assert found.in_flight == pytest.approx([1, 2, 0, 0, 0, 1])


def test_the_integral_of_in_flight_is_the_tasks_time(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        samples = list(run.samples())
        found = timeline(run, samples)
        wall = run.wall_ms
        last = run.segments[-1]
        spans = run.rows(
            "SELECT c.mono_ms - s.mono_ms FROM events c "
            "JOIN events s ON c.task_id = s.task_id AND c.segment = s.segment "
            f"WHERE c.type = 'task_complete' AND s.type = 'task_start' AND c.segment = {last.n}"
        )
    assert len(found.t_ms) == min(POINTS, int(np.ceil(wall / 1000)))
    t = np.array([0.0, *found.t_ms])
    in_flight = np.array(found.in_flight)
    after = t[:-1] >= last.offset_ms
    total = (in_flight * np.diff(t))[after].sum()
    assert total == pytest.approx(sum(row[0] for row in spans), rel=0.02)
    assert in_flight.min() >= -1e-9
    known = [value for value in found.vllm_kv_use if value is not None]
    assert known
    assert max(known) <= max(sample["vllm"]["kv_use"] for sample in samples)
