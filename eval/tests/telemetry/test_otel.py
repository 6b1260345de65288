"""A run against the stub model server, and a collector that gets its spans or does not."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole
from loopback.otlp_receiver import Received, Receiver, receiver
from podium_contracts.otel.spans import SCHEMA_URL, Traces
from podium_eval.clock import SystemClock
from podium_eval.settings.telemetry import TelemetrySettings
from podium_eval.telemetry.otel import exporting

pytest.importorskip("opentelemetry.sdk", reason="needs podium-eval[otel]")
IDS = numbered(3)


async def exported(tmp_path: Path, **settings: object) -> tuple[Eval, Receiver, list[dict[str, str]]]:
    """A finished run, what the collector got, and the headers of the orchestrator's calls."""
    async with receiver() as collector, server(record=True) as stub:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", IDS),
            otel_exporter_otlp_endpoint=collector.endpoint,
            **settings,
        )
        assert await run.run() == 0, run.said
        calls = [one.headers for one in stub.requests if one.body["model"] == "orchestrator"]
        others = [one.headers for one in stub.requests if one.body["model"] != "orchestrator"]
    assert not any("traceparent" in headers for headers in others), "other models' servers get no trace context"
    assert_whole(run, IDS)
    return run, collector, calls


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name.startswith(name)]


async def test_each_task_is_a_trace_with_its_parents(tmp_path: Path) -> None:
    run, collector, calls = await exported(tmp_path)
    spans = collector.spans
    assert len({span.trace for span in spans}) == len(IDS)
    roots = [span for span in spans if not span.parent]
    assert [span.name for span in roots] == ["invoke_agent podium"] * len(IDS)
    assert {span.attributes["podium.task_id"] for span in roots} == set(IDS)
    by_id = {(span.trace, span.id): span for span in spans}
    for span in spans:
        if span.parent:
            parent = by_id[span.trace, span.parent]
            expected = "execute_tool" if span.attributes.get("podium.role") in ("expert", "judge") else "invoke_agent"
            assert parent.name.startswith(expected)
            assert parent.start <= span.start + 2_000_000
            assert span.end <= parent.end + 2_000
    assert len(named(spans, "chat")) == len(run.events("llm_call"))
    assert len(named(spans, "execute_tool")) == len(run.events("tool_call"))
    assert {span.schema for span in spans} == {SCHEMA_URL}
    turns = {f"00-{s.trace}-{s.id}-01" for s in spans if s.attributes.get("podium.role") == "orchestrator"}
    assert {headers["traceparent"] for headers in calls} == turns
    assert "exported" in run.said


async def test_times_and_values_equal_the_log_s(tmp_path: Path) -> None:
    run, collector, _ = await exported(tmp_path)
    (start,) = run.events("run_start")
    expected = [span for event in run.events() for span in Traces().feed(event)]
    assert expected == [], "a task's spans come whole, with its start"
    traces = Traces()
    expected = [span for event in run.events() for span in traces.feed(event)]
    got = {(span.trace, span.id): span for span in collector.spans}
    assert len(got) == len(collector.spans) == len(expected)
    for span in expected:
        sent = got[f"{span.trace:032x}", f"{span.id:016x}"]
        assert (sent.start, sent.end, sent.name) == (span.start, span.end, span.name)
        assert sent.attributes == {
            k: pytest.approx(v) if isinstance(v, float) else v for k, v in span.attributes.items()
        }
    ends = sorted(event["mono_ms"] for event in run.events("llm_call"))
    chats = sorted(span.end for span in named(collector.spans, "chat"))
    assert [(end - chats[0]) / 1e6 for end in chats] == pytest.approx([end - ends[0] for end in ends], abs=1e-3)
    first = min(named(collector.spans, "chat"), key=lambda span: span.end)
    event = min(run.events("llm_call"), key=lambda one: one["mono_ms"])
    assert (first.end - first.start) / 1e6 == pytest.approx(event["duration_ms"], abs=1e-3)
    assert first.attributes["gen_ai.latency.time_in_queue"] == pytest.approx(event["queue_ms"] / 1000)
    assert first.attributes["gen_ai.usage.input_tokens"] == event["prompt_tokens"]
    graded = [one for root in collector.spans for one in root.events]
    assert {(name, values["gen_ai.evaluation.score.label"]) for name, _, values in graded} == {
        ("gen_ai.evaluation.result", "correct")
    }
    assert start["run_id"] == collector.spans[0].resource["service.instance.id"]


@pytest.mark.parametrize("content", [False, True])
async def test_content_is_exported_only_when_asked_for(tmp_path: Path, content: bool) -> None:
    _, collector, _ = await exported(tmp_path, otel_content=content)
    everything = b"".join(collector.bodies)
    for text in (b"what is six times seven", b"print(6 * 7)", b"melting point of gallium"):
        assert (text in everything) == content


async def test_a_killed_run_s_tasks_are_exported_as_cut_off(tmp_path: Path) -> None:
    async with receiver() as collector, server(latency_s=0.3) as stub:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", IDS),
            concurrency=1,
            otel_exporter_otlp_endpoint=collector.endpoint,
        )
        await run.start()
        await run.says("[HLE_TASK_COMPLETE]")
        process = psutil.Process(run.process.pid if run.process else 0)
        children = process.children()
        assert [str(run.folder.path) in child.cmdline() for child in children] == [True]
        await stub.arrived(9)  # the third call of the second task
        await run.kill()
        gone = await asyncio.to_thread(psutil.wait_procs, children, timeout=30)
        assert gone[1] == [], "the exporter outlives the run"
        statuses = {span.attributes["podium.status"] for span in collector.spans if not span.parent}
        assert statuses == {"done", "cut off"}
        by_task = {span.attributes["podium.task_id"]: span for span in collector.spans if not span.parent}
        assert sum(span.error for span in by_task.values()) == 1


async def test_a_collector_that_is_away_costs_spans_alone(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, nobody listens: nothing else can take the port
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with server() as stub:
            run = Eval(
                tmp_path,
                stub.address,
                questions(tmp_path / "q.jsonl", IDS),
                otel_exporter_otlp_endpoint=away,
                otel_finish_s=20,
            )
            assert await run.run(env={"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}) == 0, run.said
    assert_whole(run, IDS)
    told: list[Any] = [line for line in run.said.splitlines() if "[OTEL]" in line]
    assert len(told) == 2, told
    assert f"spans are not exported: {away}/v1/traces" in told[0]
    assert "[OTEL] 0 spans exported, " in told[1]
    assert " dropped" in told[1]


async def test_an_exporter_that_cannot_start_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    settings = TelemetrySettings(otel_exporter_otlp_endpoint="http://127.0.0.1:9")
    async with exporting(settings, tmp_path, run_id="r", segment=1, clock=SystemClock()):
        pass
    assert "the exporter cannot be started" in caplog.text
