"""What calls waited: experts and the judge in their servers, tools in the model calls that they made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.summaries import metric_statistics
from podium_contracts.events import Event, LlmCall, ToolCall

MakeLog = Callable[[list[Event | bytes]], Path]


def call(role: str, wait: float, queue: float | None, **fields: Any) -> LlmCall:
    base: dict[str, Any] = {"task_id": "a", "step": 1, "tool": "answer", "provider": "p", "model": "m"}
    return LlmCall(run_id="r", role=role, duration_ms=1.0, wait_ms=wait, queue_ms=queue, **(base | fields))  # type: ignore[arg-type]


def tool(name: str, total: float, **fields: Any) -> ToolCall:
    base: dict[str, Any] = {"task_id": "a", "step": 1, "status": "ok"}
    return ToolCall(run_id="r", tool=name, duration_ms=total, duration_total_ms=total, **(base | fields))


def test_a_tool_waits_what_its_own_model_calls_waited(make_log: MakeLog) -> None:
    log = make_log(  # a line a second
        [
            call("expert", 40.0, 8.0),
            call("judge", 2.0, None),
            tool("answer", 2000.0),
            call("expert", 5.0, None, epoch=2),
            tool("answer", 1000.0, epoch=2),
            call("expert", 300.0, 1.0),  # the same step of a later attempt
            tool("answer", 1000.0),
            tool("search", 10.0, step=2, retrieval_queue_ms=3.0),
            tool("answer", 10.0, step=3, status="invalid"),
            call("orchestrator", 900.0, 900.0, tool=None, step=4),
        ]
    )
    with load_run(log) as run:
        for in_memory in (1000, 0):
            found = metric_statistics(run, METRICS, bins=2, in_memory=in_memory)
            wait, queue = found["tool_wait_ms"], found["tool_queue_ms"]
            assert (wait.n, wait.n_missing, wait.n_other, wait.min, wait.max) == (3, 1, 1, 5.0, 300.0)
            assert wait.mean == pytest.approx((42 + 5 + 300) / 3)
            assert (queue.n, queue.n_missing, queue.mean) == (3, 1, pytest.approx((8 + 1 + 3) / 3))
            assert [(group.tool, group.n) for group in queue.by_tool_model] == [("answer", 2), ("search", 1)]
            assert (found["expert_queue_ms"].n, found["expert_queue_ms"].n_missing) == (2, 1)
            assert (found["judge_queue_ms"].n, found["judge_queue_ms"].n_missing) == (0, 1)


def test_waits_stay_with_their_own_rows(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        found = metric_statistics(run, METRICS, bins=2)["tool_wait_ms"]
        waits: dict[Any, float] = {}
        by_tool: dict[str, list[float]] = {}
        for event in run.events("llm_call", "tool_call"):
            key = (event["task_id"], event["epoch"], event["segment"], event["step"], event.get("tool"))
            if event["type"] == "llm_call" and event["role"] != "orchestrator":
                waits[key] = waits.get(key, 0.0) + event["wait_ms"]
            elif event["type"] == "tool_call":
                wait = waits.pop(key, None)
                if event["status"] == "ok" and wait is not None:
                    by_tool.setdefault(event["tool"], []).append(wait)
    groups: dict[str | None, float] = {}
    for group in found.by_tool_model:
        groups[group.tool] = groups.get(group.tool, 0.0) + group.n * (group.mean or 0.0)
    assert found.n == sum(map(len, by_tool.values()))
    assert groups == pytest.approx({name: np.sum(values) for name, values in by_tool.items()})
