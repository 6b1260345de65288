"""Every second of a task is in one part, and what an earlier attempt did is in none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.counted import counted_events, part_sums
from podium_analysis.stats.slowest import slowest_tasks
from podium_analysis.stats.time_accounting import PARTS, accounting_statistics, accounts, time_statistics
from podium_contracts.events import Event, Judge, LlmCall, RunStart, TaskComplete, TaskStart, ToolCall

MakeLog = Callable[[list[Event | bytes]], Path]
START = RunStart(
    run_id="r",
    protocol="hle",
    concurrency=1,
    max_rounds=9,
    n_tasks=1,
    n_finished=0,
    dataset_sha256="",
    orchestrator_model="o",
)


def begin(task: str = "a", **fields: Any) -> TaskStart:
    return TaskStart(run_id="r", task_id=task, **fields)


def turn(step: int, task: str = "a", **fields: Any) -> LlmCall:
    timed: dict[str, Any] = {"duration_ms": 100.0, "queue_ms": 10.0, "prefill_ms": 20.0, "decode_ms": 60.0}
    return LlmCall(
        run_id="r", task_id=task, step=step, role="orchestrator", provider="v", model="o", **(timed | fields)
    )


def tool(step: int, name: str, total: float, task: str = "a", **fields: Any) -> ToolCall:
    base: dict[str, Any] = {"duration_ms": total, "status": "ok", "model": "e", "provider": "p"}
    return ToolCall(run_id="r", task_id=task, step=step, tool=name, duration_total_ms=total, **(base | fields))


def end(duration: float, task: str = "a", rounds: int = 1, **fields: Any) -> TaskComplete:
    base: dict[str, Any] = {"status": "done", "ending": "answered", "correct": True}
    return TaskComplete(run_id="r", task_id=task, rounds=rounds, duration_ms=duration, **(base | fields))


def parts_of(folder: Path) -> tuple[dict[str, float], float]:
    with load_run(folder) as run:
        counted = counted_events(run)
        sums = part_sums(run, counted)
        found = accounts(run, sums)
    assert found.task.size == 1
    return dict(zip(PARTS, found.parts[0].tolist(), strict=True)), float(found.unexplained_ms[0])


def test_admission_is_a_part_apart_from_the_other_waits(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [
        START, begin(),
        turn(1, wait_ms=50.0, admission_ms=30.0), tool(1, "search", 40, retrieval_ms=40.0),
        turn(2, wait_ms=7.0), tool(2, "answer", 100, expert_ms=100.0),
        end(397.0, rounds=2),
    ]  # fmt: skip
    parts, unexplained = parts_of(make_log(events))
    assert (parts["admission_ms"], parts["client_wait_ms"]) == (30, 27)
    assert sum(parts.values()) + unexplained == pytest.approx(397)
    assert unexplained == pytest.approx(0)


def test_what_no_part_explains_is_unexplained(make_log: MakeLog) -> None:
    folder = make_log(
        [
            START, begin(),
            turn(1, wait_ms=5.0),
            tool(1, "search", 300, query_ms=200.0, expert_ms=200.0, retrieval_ms=90.0, web_ms=70.0),
            turn(2),
            LlmCall(run_id="r", task_id="a", step=2, role="expert", tool="enhance_reasoning", provider="p", model="e",
                    duration_ms=390.0),
            tool(2, "enhance_reasoning", 500, expert_ms=400.0, exec_ms=95.0),
            turn(3, queue_ms=None, prefill_ms=None, decode_ms=None, timing_source="client"),
            tool(3, "search", 40, query_ms=15.0, retrieval_ms=25.0),
            turn(4), tool(4, "browse", 2, status="invalid", error_type="bad_request"),
            turn(5), tool(5, "answer", 800, duration_ms=600.0, expert_ms=600.0, judge_ms=199.0),
            end(2200.0, rounds=5),
        ]
    )  # fmt: skip
    parts, unexplained = parts_of(folder)
    assert parts == pytest.approx(
        {
            "admission_ms": 0, "client_wait_ms": 5,
            "queue_ms": 40, "prefill_ms": 80, "decode_ms": 240, "overhead_ms": 40,
            "untimed_ms": 100, "search_query_ms": 215, "search_retrieval_ms": 45, "search_web_ms": 70,
            "reasoning_expert_ms": 400,
            "reasoning_execution_ms": 95, "answer_expert_ms": 600, "answer_judge_ms": 199,
            "tool_rest_ms": 10 + 5 + 0 + 2 + 1,
        }
    )  # fmt: skip
    assert unexplained == pytest.approx(2200 - 5 - 500 - 300 - 500 - 40 - 2 - 800)


def test_a_fresh_attempt_leaves_the_failed_one_out(make_log: MakeLog) -> None:
    folder = make_log(
        [
            START, begin(), turn(1, decode_ms=60.0), end(100, status="error", ending="error", correct=None),
            begin(attempt=2), turn(1), turn(2), end(205, rounds=2),
        ]
    )  # fmt: skip
    parts, unexplained = parts_of(folder)
    assert (parts["queue_ms"], unexplained) == (20, 5)


def test_a_resumed_task_counts_the_turns_before_its_checkpoint_once(make_log: MakeLog) -> None:
    folder = make_log(
        [
            START, begin(), turn(1), tool(1, "search", 50, query_ms=50.0),
            turn(2), tool(2, "search", 70, query_ms=70.0),
            turn(3),  # the crash cut this turn off: its tool never ended
            begin(resumed_at_step=3), turn(3), tool(3, "answer", 30, expert_ms=30.0), end(453, rounds=3),
        ]
    )  # fmt: skip
    parts, unexplained = parts_of(folder)
    assert (parts["queue_ms"], parts["search_query_ms"], unexplained) == (30, 120, 3)


def test_an_error_that_the_next_attempt_went_on_behind_counts(make_log: MakeLog) -> None:
    folder = make_log(
        [
            START, begin(active_before_ms=0.0), turn(1), tool(1, "search", 50, query_ms=50.0), turn(2),
            tool(2, "search", 70, query_ms=70.0, status="failed"),
            end(325, status="error", ending="error", correct=None),
            begin(attempt=2, resumed_at_step=2, active_before_ms=325.0), turn(2), tool(2, "answer", 30, expert_ms=30.0),
            turn(3),  # cut off
            begin(attempt=2, resumed_at_step=3, active_before_ms=457.0), turn(3), end(560, rounds=3),
        ]
    )  # fmt: skip
    parts, unexplained = parts_of(folder)
    assert (parts["queue_ms"], parts["search_query_ms"], parts["answer_expert_ms"]) == (40, 120, 30)
    assert unexplained == 560 - 400 - 150


def test_a_judgement_that_a_resume_made_again_is_accounted_for(make_log: MakeLog) -> None:
    def judged(ms: float, **fields: Any) -> Judge:
        return Judge(run_id="r", task_id="a", protocol="hle", duration_ms=ms, **({"correct": True} | fields))

    folder = make_log(
        [
            START, begin(active_before_ms=0.0), turn(1), judged(40, step=1, correct=None, error_type="judge_error"),
            tool(1, "answer", 70, expert_ms=30.0, judge_ms=40.0),
            end(170, status="error", ending="error", correct=None),
            # the answer is there: the next attempt asks the judge alone
            begin(attempt=2, resumed_at_step=2, active_before_ms=170.0), judged(300), end(472),
            judged(1000, rejudge=True),
        ]
    )  # fmt: skip
    parts, unexplained = parts_of(folder)
    assert (parts["answer_expert_ms"], parts["answer_judge_ms"]) == (30, 340)
    assert unexplained == 472 - 100 - 70 - 300


def test_epochs_of_a_task_are_apart(make_log: MakeLog) -> None:
    folder = make_log([START, begin(epoch=1), turn(1, epoch=1), end(100, epoch=1), begin(epoch=2), end(7, epoch=2)])
    with load_run(folder) as run:
        counted = counted_events(run)
        sums = part_sums(run, counted)
        found = accounts(run, sums)
        share = accounting_statistics(found)
    assert found.unexplained_ms[0] == 0
    assert np.isnan(found.unexplained_ms[1])
    assert (share.n_tasks, share.n_without_calls, share.unexplained_share.n) == (2, 1, 1)


def test_a_log_without_calls_explains_nothing_and_says_so(make_log: MakeLog) -> None:
    with load_run(make_log([START, end(100)])) as run:
        counted = counted_events(run)
        sums = part_sums(run, counted)
        found = accounts(run, sums)
        share = accounting_statistics(found)
        slow = slowest_tasks(run, counted, found)
    assert (share.n_without_calls, share.unexplained_share.p50) == (1, None)
    assert slow[0].parts_ms is None
    assert "none of its calls" in slow[0].why


def test_sums_over_tasks_and_steps_agree(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        counted = counted_events(run)
        sums = part_sums(run, counted)
        found = accounts(run, sums)
        time = time_statistics(run, sums, found)
        share = accounting_statistics(found)
    assert sum(time.overall_ms.values()) == pytest.approx(share.wall_ms)
    assert sum(time.overall_share.values()) == pytest.approx(1.0)
    assert abs(share.unexplained_share.p50) < 0.02
    assert time.by_step[0].n_turns == found.task.size
    for part in PARTS:
        by_step = sum(step.parts_ms[part] for step in time.by_step)
        assert by_step == pytest.approx(time.overall_ms[part], abs=1e-6)
    assert set(time.labels) == {*PARTS, "unexplained_ms"}


def test_the_slowest_tasks_say_why(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [START]
    for n in range(12):
        name = f"t{n:02d}"
        slow = 60_000.0 if n == 7 else 100.0 + n
        events += [
            begin(name), turn(1, name),
            tool(1, "enhance_reasoning", slow, name, expert_ms=50.0, exec_ms=slow - 50,
                 status="failed" if n == 7 else "ok", error_type="timeout" if n == 7 else None),
            end(slow + 100, name),
        ]  # fmt: skip
    with load_run(make_log(events)) as run:
        counted = counted_events(run)
        slow_tasks = slowest_tasks(run, counted, accounts(run, part_sums(run, counted)))
    assert [task.task_id for task in slow_tasks][:3] == ["t07", "t11", "t10"]
    assert len(slow_tasks) == 10
    first = slow_tasks[0]
    assert "100 % in reasoning: execution: 1 min 00 s (median task 55.5 ms); 1 turn (median task 1)" in first.why
    assert "longest call: enhance_reasoning at step 1, 1 min 00 s, timeout" in first.why
    assert first.longest_call.error_type == "timeout"
    assert sum(first.parts_ms.values()) + first.unexplained_ms == pytest.approx(first.duration_ms)
