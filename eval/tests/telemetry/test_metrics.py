"""/metrics of a real run against the stub, and the dashboard that shows it."""

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.chain import EXPERTS, TURNS, numbered, questions, server
from harness.process import Eval, assert_whole
from podium_contracts.events import LlmCall, ToolCall
from podium_eval.clock import SystemClock
from podium_eval.log.meter import Meter
from podium_eval.telemetry.metrics import MOST, RunMetrics
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
IDS = numbered(6)
NAME = re.compile(r"podium_eval_[a-z_]+")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def values(page: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name -> labels -> value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Eval, str]:
    """A run whose last task is held until the page was read, and that page."""
    return asyncio.run(_scraped(tmp_path_factory.mktemp("metrics")))


async def _scraped(folder: Path) -> tuple[Eval, str]:
    async with server() as stub, aiohttp.ClientSession() as session:
        port = free_port()
        run = Eval(
            folder, stub.address, questions(folder / "q.jsonl", IDS), concurrency=1, eval_metrics_port=port, budget=100
        )
        await run.start()
        await run.says("[HLE_TASK_COMPLETE]", times=3)
        stub.latency_s = 1.0
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
            page = await answer.text()
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, IDS)
    return run, page


def test_counts_are_the_log_s(scraped: tuple[Eval, str]) -> None:
    run, page = scraped
    found = values(page)
    done = found["podium_eval_tasks"][(("state", "done"),)]
    assert 3 <= done <= len(IDS)
    states = found["podium_eval_tasks"]
    assert sum(states.values()) == len(IDS)
    calls = sum(found["podium_eval_model_calls_total"].values())
    assert 6 * done <= calls <= len(run.events("llm_call"))
    roles = {dict(labels)["role"] for labels in found["podium_eval_model_calls_total"]}
    assert {"orchestrator", "expert"} <= roles
    assert {dict(labels)["outcome"] for labels in found["podium_eval_model_calls_total"]} == {"ok"}
    assert found["podium_eval_task_duration_seconds_count"][()] == done
    assert found["podium_eval_budget_usd"][()] == 100
    assert found["podium_eval_tasks_done"][(("grade", "correct"),)] == done
    assert found["podium_eval_limit_in_flight"]


def test_every_expression_of_the_dashboard_has_its_metric(scraped: tuple[Eval, str]) -> None:
    _, page = scraped
    exposed, labels = set[str](), dict[str, set[str]]()
    for family in text_string_to_metric_families(page):
        if family.name.endswith("_created"):
            continue
        parts = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
        exposed |= {f"{family.name}{part}" for part in parts}
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    dashboard = json.loads((ROOT / "docs/grafana-dashboard.json").read_text())
    shown: set[str] = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used = set(NAME.findall(target["expr"]))
            assert used, target
            assert used <= exposed, f"{panel['title']}: {used - exposed} is exposed by no run"
            shown |= used
            wanted = {w for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for w in re.split(r",\s*", by)}
            wanted |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            for name in used:
                assert not labels.get(name) or wanted <= labels[name], f"{panel['title']}: {name} has {labels[name]}"
    ends = r"_(bucket|sum|count)$"
    assert {re.sub(ends, "", n) for n in exposed} == {re.sub(ends, "", n) for n in shown}, (
        "a metric that no panel shows"
    )


def metrics() -> RunMetrics:
    return RunMetrics(Meter(SystemClock(), total=1), {}, {}, None)


def test_labels_from_outside_are_bounded() -> None:
    made = metrics()
    ids: dict[str, Any] = {"run_id": "r", "task_id": "a"}
    for n in range(1000):
        made.observe(LlmCall(**ids, role="expert", provider="p", model=f"m{n}", duration_ms=1.0))
        made.observe(ToolCall(**ids, tool=f"t{n}", status="invalid", duration_ms=1.0, duration_total_ms=1.0))
    found = values(made.page().decode())
    models = found["podium_eval_model_calls_total"]
    assert len(models) == MOST + 1
    assert sum(models.values()) == 1000
    assert len(found["podium_eval_tool_calls_total"]) == 1
    assert "podium_eval_budget_usd" not in found


def test_what_a_server_did_not_tell_is_not_counted() -> None:
    made = metrics()
    made.observe(
        LlmCall(run_id="r", task_id="a", role="orchestrator", provider="p", model="m", duration_ms=1.0, queue_ms=0.0)
    )
    found = values(made.page().decode())
    assert found["podium_eval_orchestrator_server_seconds_count"] == {(("part", "queue"),): 1}
    assert "podium_eval_tokens_total" not in found
    assert found["podium_eval_unpriced_total"][()] == 1


async def test_a_port_that_is_taken_stops_no_run(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with server(script=[*TURNS, *EXPERTS]) as stub:
            dataset = questions(tmp_path / "q.jsonl", IDS[:1])
            run = Eval(tmp_path, stub.address, dataset, eval_metrics_port=taken.getsockname()[1])
            assert await run.run() == 0, run.said
    assert "no /metrics: EVAL_METRICS_PORT=" in run.said
