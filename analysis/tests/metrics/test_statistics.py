"""Summaries against numpy, scipy and exact arithmetic on the same data; groups that never mix statuses."""

import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from podium_analysis.load.run_data import load_run
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.ranked import RankedArray
from podium_analysis.metrics.summaries import PERCENTILES, metric_statistics, summarise
from podium_contracts.events import Event, LlmCall, RunStart, ToolCall

VALUES = npst.arrays(
    np.float64,
    st.integers(0, 300),
    elements=st.one_of(
        st.floats(0, 1e7), st.floats(-1e3, 1e3), st.just(np.nan), st.sampled_from([0.0, 1.0, 1.5, 250.0])
    ),
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_a_summary_is_numpys_and_the_standard_librarys(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    known = values[~np.isnan(values)]
    found = summarise(RankedArray(values.copy()))
    assert (found.n, found.n_missing) == (known.size, values.size - known.size)
    if not known.size:
        assert all(getattr(found, name) is None for name in ("mean", "sd", "min", "max", *PERCENTILES))
        return
    assert found.min == known.min()
    assert found.max == known.max()
    assert found.mean == pytest.approx(known.mean(), rel=1e-12, abs=1e-9)
    for name, p in PERCENTILES.items():
        assert getattr(found, name) == pytest.approx(np.quantile(known, p), rel=1e-9, abs=1e-9)
        assert found.min <= getattr(found, name) <= found.max
    if known.size > 1:
        rounding = 1e-12 * max(1.0, np.abs(known).max())
        assert found.sd == pytest.approx(statistics.stdev(known.tolist()), rel=1e-9, abs=rounding)
    else:
        assert found.sd is None


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_intervals_are_values_of_the_data_around_the_percentile(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    known = set(values[~np.isnan(values)].tolist())
    found = summarise(RankedArray(values.copy()))
    for name, (low, high) in found.intervals.items():
        assert low <= getattr(found, name) <= high or name == "mean"
        if name != "mean":
            assert {low, high} <= known


def test_the_mean_interval_is_scipys_normal_one() -> None:
    values = np.random.default_rng(1).lognormal(2, 1, 500)
    expected = scipy.stats.norm.interval(0.95, values.mean(), scipy.stats.sem(values))
    assert summarise(RankedArray(values)).intervals["mean"] == pytest.approx(expected)


def test_sorting_on_disk_gives_the_same_numbers_as_in_memory(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        in_memory = metric_statistics(run, METRICS, bins=10)
        on_disk = metric_statistics(run, METRICS, bins=10, in_memory=0)
    for name, expected in in_memory.items():
        _same(msgspec.to_builtins(on_disk[name]), msgspec.to_builtins(expected), name)


def _same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            _same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for at, (one, other) in enumerate(zip(found, expected, strict=True)):
            _same(one, other, f"{where}[{at}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9), where
    else:
        assert found == expected, where


def test_metrics_equal_a_plain_computation_from_the_lines(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        events = list(run.events())
        found = metric_statistics(run, METRICS, bins=10)
    turns = [e for e in events if e["type"] == "llm_call" and e["role"] == "orchestrator" and "error_type" not in e]
    tools = [e for e in events if e["type"] == "tool_call"]
    ok = [e for e in tools if e["status"] == "ok"]
    expected = {
        "tool_call_ms": [e["duration_ms"] for e in ok],
        "search_ms": [e["duration_ms"] for e in ok if e["tool"] == "search"],
        "enhance_reasoning_ms": [e["duration_ms"] for e in ok if e["tool"] == "enhance_reasoning"],
        "answer_ms": [e["duration_ms"] for e in ok if e["tool"] == "answer"],
        "answer_total_ms": [e["duration_total_ms"] for e in ok if e["tool"] == "answer"],
        "answer_judge_ms": [e["judge_ms"] for e in ok if e["tool"] == "answer"],
        "orchestrator_prefill_ms": [e["prefill_ms"] for e in turns],
        "orchestrator_total_tokens": [e["prompt_tokens"] + e["completion_tokens"] for e in turns],
        "retrieval_encode_ms": [e["retrieval_encode_ms"] for e in ok if e["tool"] == "search"],
    }
    for name, values in expected.items():
        assert found[name].n == len(values)
        assert found[name].p95 == pytest.approx(np.quantile(values, 0.95))
    assert found["tool_call_ms"].n_other == len(tools) - len(ok)
    assert set(found) == {metric.name for metric in METRICS}


def test_groups_are_of_successful_calls_and_add_up(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        found = metric_statistics(run, METRICS, bins=10)
    for name, entry in found.items():
        whole = entry.n + entry.n_missing
        if not name.startswith("task_"):
            assert sum(g.n + g.n_missing for g in entry.by_step) == whole, name
            assert sum(g.n + g.n_missing for g in entry.by_tool_model) == whole, name
            steps = [g.step for g in entry.by_step]
            assert steps == sorted(steps)
        others = sum(g.n + g.n_missing for g in entry.by_status)
        assert others == whole + entry.n_other, name
        for scale in ("linear", "log"):
            histogram = getattr(entry.histograms, scale)
            assert sum(histogram.counts) + histogram.n_zero + histogram.n_negative == entry.n, name


def test_failed_calls_are_summarised_apart(make_log: Callable[[list[Event | bytes]], Path]) -> None:
    def search(ms: float, status: str) -> ToolCall:
        return ToolCall(
            run_id="r", task_id="a", step=1, tool="search", provider="p", model="m", duration_ms=ms,
            duration_total_ms=ms, status=status, error_type=None if status == "ok" else "timeout",
        )  # type: ignore[arg-type]  # fmt: skip

    def turn(ms: float, error: str | None, queue: float | None) -> LlmCall:
        return LlmCall(
            run_id="r", task_id="a", step=1, role="orchestrator", provider="vllm", model="o", duration_ms=ms,
            queue_ms=queue, error_type=error,
        )  # type: ignore[arg-type]  # fmt: skip

    start = RunStart(
        run_id="r", protocol="hle", concurrency=1, max_rounds=1, n_tasks=1, n_finished=0, dataset_sha256="",
        orchestrator_model="o",
    )  # fmt: skip
    folder = make_log(
        [
            start, search(10, "ok"), search(60_000, "failed"), search(20, "ok"), search(0.1, "invalid"),
            turn(5, None, 1.0), turn(7, None, None), turn(600_000, "timeout", None),
        ]
    )  # fmt: skip
    with load_run(folder) as run:
        found = metric_statistics(run, METRICS, bins=10)
    tool = found["tool_call_ms"]
    assert (tool.n, tool.mean, tool.max, tool.n_other) == (2, 15.0, 20.0, 2)
    assert [(g.status, g.n, g.mean) for g in tool.by_status] == [
        ("failed", 1, 60_000.0),
        ("invalid", 1, 0.1),
        ("ok", 2, 15.0),
    ]
    assert found["search_ms"].n_other == 1
    queue = found["orchestrator_queue_ms"]
    assert (queue.n, queue.n_missing, queue.n_other, queue.mean) == (1, 1, 1, 1.0)
    call = found["orchestrator_call_ms"]
    assert [(g.status, g.n) for g in call.by_status] == [("ok", 2), ("timeout", 1)]
    assert [(g.tool, g.provider, g.model, g.n) for g in call.by_tool_model] == [(None, "vllm", "o", 2)]
    empty = found["answer_ms"]
    assert (empty.n, empty.n_missing, empty.mean, empty.by_status) == (0, 0, None, [])


def test_every_metric_has_a_name_with_its_unit() -> None:
    for metric in METRICS:
        assert metric.name.endswith({"ms": "_ms", "tokens": "_tokens", "usd": "_usd", "rounds": "_rounds"}[metric.unit])
    assert all(a.name != b.name for a, b in itertools.combinations(METRICS, 2))
