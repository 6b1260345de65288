"""trace.json is a well-formed Chrome trace: rows nest, nothing is negative, times are the log's."""

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from podium_analysis.export import trace
from podium_analysis.export.trace import write_trace
from podium_contracts.events import NewerSchema

MakeRun = Callable[..., Path]


def spans_by_row(path: Path) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in json.loads(path.read_text())["traceEvents"]:
        if event["ph"] == "X":
            rows[event["tid"]].append(event)
    return rows


def assert_nested(rows: dict[int, list[dict[str, Any]]]) -> None:
    for spans in rows.values():
        stack: list[tuple[int, int]] = []
        for span in sorted(spans, key=lambda s: (s["ts"], -s["dur"])):
            assert span["dur"] >= 0
            assert span["ts"] >= 0
            begin, end = span["ts"], span["ts"] + span["dur"]
            while stack and stack[-1][1] <= begin and (stack[-1][1] < end or stack[-1][0] < begin):
                stack.pop()
            if stack:
                assert end <= stack[-1][1], f"{span['name']} ends after what encloses it"
            stack.append((begin, end))


def test_a_row_a_task_with_its_turns_calls_and_parts(make_run: MakeRun) -> None:
    run = make_run(n=12, epochs=2)
    made = write_trace(run)
    assert made.path == run / "analysis" / "trace.json"
    assert (made.n_tasks, made.bad_lines) == (24, ())
    document = json.loads(made.path.read_text())
    names = [e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"]
    assert sorted(names)[:2] == ["q0000", "q0000 #2"]
    rows = spans_by_row(made.path)
    assert_nested(rows)
    seen = {span["name"] for spans in rows.values() for span in spans}
    assert {"turn 1", "orchestrator", "queue", "prefill", "decode", "overhead", "wait"} <= seen
    assert {"search", "retrieval", "encode", "enhance_reasoning", "exec", "answer", "judge"} <= seen


def test_times_are_the_logs_own(make_run: MakeRun) -> None:
    run = make_run(n=6)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    rows = spans_by_row(write_trace(run).path)
    for name, field in (("prefill", "prefill_ms"), ("decode", "decode_ms")):
        logged = sum(e.get(field, 0.0) for e in events if e["type"] == "llm_call")
        drawn = sum(s["dur"] for spans in rows.values() for s in spans if s["name"] == name) / 1000
        assert math.isclose(logged, drawn, rel_tol=1e-3)
    logged = sum(e["duration_ms"] for e in events if e["type"] == "task_complete")
    drawn = sum(s["dur"] for spans in rows.values() for s in spans if s["cat"] == "task") / 1000
    assert math.isclose(logged, drawn, rel_tol=1e-3)


def test_counters_come_from_the_samples_and_none_is_left_out(make_run: MakeRun) -> None:
    run = make_run(n=6)
    counters: dict[str, list[float]] = defaultdict(list)
    for event in json.loads(write_trace(run).path.read_text())["traceEvents"]:
        if event["ph"] == "C":
            counters[event["name"]].append(event["args"]["value"])
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert len(counters["tasks in flight"]) == len(samples)
    assert len(counters["vllm KV use %"]) == sum(s["vllm"] is not None for s in samples)
    assert set(counters["vllm KV use %"]) == {25.0}


def test_each_gpu_has_counters_of_what_its_driver_tells(make_run: MakeRun) -> None:
    run = make_run(n=2)
    path = run / "samples.jsonl"
    gpus = [{"index": 0, "power_w": 300.5, "util_pct": 0}, {"index": 1, "util_pct": 90}]
    lines = [json.dumps(json.loads(line) | {"gpus": gpus}) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    events = json.loads(write_trace(run).path.read_text())["traceEvents"]
    found = {(e["name"], e["args"]["value"]) for e in events if e["ph"] == "C" and e["name"].startswith("GPU")}
    assert found == {("GPU 0 power W", 300.5), ("GPU 0 use %", 0), ("GPU 1 use %", 90)}


def test_a_task_cut_off_ends_with_its_segment(make_run: MakeRun) -> None:
    run = make_run(n=4, concurrency=4)
    log = run / "events.jsonl"
    lines = log.read_text().splitlines()
    half = len(lines) // 2
    first = lines[:half]
    again = []
    for line in lines:
        event = json.loads(line) | {"segment": 2}
        again.append(json.dumps(event))
    log.write_text("\n".join([*first, *again]) + "\n")
    rows = spans_by_row(write_trace(run).path)
    assert_nested(rows)
    tasks = [s for spans in rows.values() for s in spans if s["cat"] == "task"]
    assert len(tasks) == 8
    assert sum(s["args"]["status"] == "cut off" for s in tasks) == 4
    cut = json.loads(first[-1])["mono_ms"] * 1000
    assert all(s["ts"] >= round(cut) for s in tasks if s["args"]["status"] != "cut off")


def test_a_torn_line_is_named_and_the_rest_is_drawn(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(n=3)
    log = run / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-40])
    assert trace.run(trace_args(run)) == 0
    streams = capsys.readouterr()
    assert f"line {len(whole.splitlines())} is no event" in streams.err
    assert "trace events of 3 tasks" in streams.out


def test_a_newer_log_and_a_missing_log_are_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(n=1)
    log = run / "events.jsonl"
    log.write_text(log.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(NewerSchema):
        write_trace(run)
    assert trace.run(trace_args(run)) == 2
    assert "upgrade" in capsys.readouterr().err
    log.unlink()
    assert trace.run(trace_args(run)) == 2


def trace_args(run: Path) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    trace.register(parser.add_subparsers())
    return parser.parse_args(["trace", str(run)])


milliseconds = st.floats(0, 5000, allow_nan=False).map(lambda x: round(x, 3))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["task_start", "orchestrator", "expert", "judge", "search", "answer", "task_complete"]),
            milliseconds,
            milliseconds,
            milliseconds,
        ),
        max_size=25,
    )
)
def test_rows_nest_whatever_the_log_says(tmp_path: Path, moves: list[tuple[str, float, float, float]]) -> None:
    """Times that cannot be, an end without a start, a judge without an answer: drawn or dropped, never overlapping."""
    now = 0.0
    lines: list[dict[str, Any]] = []
    for step, (kind, after, took, other) in enumerate(moves):
        now += after
        line: dict[str, Any] = {
            "ts": "2026-11-22T09:00:00+00:00", "mono_ms": now, "segment": 1, "task_id": "t", "epoch": 1,
            "step": step, "duration_ms": took, "duration_total_ms": took, "wait_ms": other, "queue_ms": other,
            "prefill_ms": took, "query_ms": other, "retrieval_ms": took, "retrieval_queue_ms": other,
        }  # fmt: skip
        if kind in ("orchestrator", "expert", "judge"):
            line |= {"type": "llm_call", "role": kind}
        elif kind in ("search", "answer"):
            line |= {"type": "tool_call", "tool": kind}
        else:
            line["type"] = kind
        lines.append(line)
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert_nested(spans_by_row(write_trace(tmp_path).path))
