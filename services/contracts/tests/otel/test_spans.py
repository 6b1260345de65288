"""The spans of a log: what was cut off, put back or rejudged, and ids that nobody has to hand on."""

from typing import Any

from podium_contracts.otel.ids import span_id, trace_id, traceparent
from podium_contracts.otel.spans import Span, Traces

IDS = {"run_id": "r", "task_id": "a", "epoch": 1}


def event(kind: str, mono_ms: float, segment: int = 1, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "ts": "2026-01-31T12:00:00.000Z", "mono_ms": mono_ms, "segment": segment, **IDS, **fields}


def start(segment: int = 1) -> dict[str, Any]:
    return event("run_start", 0.0, segment, task_id=None, schema_version=1, orchestrator_model="o")


def turn(mono_ms: float, segment: int = 1, **fields: Any) -> dict[str, Any]:
    names = {"role": "orchestrator", "provider": "vllm", "model": "o", "step": 1, "duration_ms": 5.0}
    return event("llm_call", mono_ms, segment, **{**names, **fields})


def done(mono_ms: float, segment: int = 1) -> dict[str, Any]:
    return event("task_complete", mono_ms, segment, status="done", ending="answered", rounds=1, duration_ms=1.0)


def spans(*events: dict[str, Any], segment: int | None = None) -> list[Span]:
    traces = Traces(segment=segment)
    return [*(span for one in events for span in traces.feed(one)), *traces.close()]


def test_ids_follow_from_the_order_of_events() -> None:
    chat, root = spans(start(), event("task_start", 1.0), turn(10.0), done(20.0))
    trace = trace_id("r", 1, "a", 1, 1)
    assert (root.trace, root.id, root.parent) == (trace, span_id(trace, "task"), None)
    assert (chat.trace, chat.id, chat.parent) == (trace, span_id(trace, "orchestrator", 1), root.id)
    assert traceparent(trace, chat.id) == f"00-{trace:032x}-{chat.id:016x}-01"


def test_times_are_the_segment_s_own_clock() -> None:
    chat, root = spans(start(), event("task_start", 1.5), turn(10.0), {**done(20.0), "ts": "2031-01-01T00:00:00.000Z"})
    assert root.end - root.start == 18_500_000, "a wall clock that steps moves nothing"
    assert (chat.start - root.start, chat.end - chat.start) == (3_500_000, 5_000_000)


def test_a_call_belongs_to_the_tool_that_made_it() -> None:
    expert = turn(14.0, role="expert", tool="search", duration_ms=2.0)
    tool = event(
        "tool_call", 18.0, step=1, tool="search", status="failed", error_type="timeout", duration_ms=6.0,
        duration_total_ms=6.0,
    )  # fmt: skip
    chat, call, used, root = spans(start(), event("task_start", 1.0), turn(10.0), expert, tool, done(20.0))
    assert (chat.parent, used.parent, call.parent) == (root.id, root.id, used.id)
    assert (used.name, used.error, call.error, root.error) == ("execute_tool search", "timeout", None, None)


def test_a_task_put_back_is_another_trace() -> None:
    first, second = (one for one in spans(start(), event("task_start", 1.0), event("task_start", 5.0), done(9.0)))
    assert first.trace != second.trace
    assert (first.attributes["podium.status"], first.error) == ("cut off", "cut off")
    assert second.error is None


def test_a_killed_segment_s_tasks_are_cut_off() -> None:
    log = (start(), event("task_start", 1.0), turn(10.0), start(2), event("task_start", 1.0, 2), done(5.0, 2))
    chat, cut, whole = spans(*log)
    assert (cut.attributes["podium.status"], cut.end) == ("cut off", chat.end)
    assert whole.trace not in (cut.trace, chat.trace)
    assert [span.trace for span in spans(*log, segment=2)] == [whole.trace]


def test_a_task_never_played_and_a_rejudgement_are_none() -> None:
    assert spans(start(), done(5.0), event("judge", 9.0, protocol="hle", duration_ms=1.0, correct=True)) == []


def test_what_is_not_known_is_left_out() -> None:
    chat, _ = spans(start(), event("task_start", 1.0), turn(10.0, queue_ms=None, cached_tokens=0), done(20.0))
    assert "gen_ai.latency.time_in_queue" not in chat.attributes
    assert chat.attributes["gen_ai.usage.cache_read.input_tokens"] == 0
