"""A tool that nobody knew in advance: its own metric, parts, cost and figures, from its events alone."""

from collections.abc import Callable
from pathlib import Path

from podium_analysis.figures.draw import draw_figures
from podium_analysis.figures.values import drawn_values
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.compute import compute_stats
from podium_contracts.events import Event, TaskComplete, TaskStart, ToolCall


def test_an_unknown_tool_has_its_name_parts_and_cost(
    make_log: Callable[[list[Event | bytes]], Path], tmp_path: Path
) -> None:
    def call(step: int, tool: str, ms: float, **fields: object) -> ToolCall:
        return ToolCall(
            run_id="r", task_id="a", step=step, tool=tool, duration_ms=ms, duration_total_ms=ms, status="ok",
            provider="mcp", model="time 1.0", **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    folder = make_log(
        [
            TaskStart(run_id="r", task_id="a"),
            call(1, "time_now", 100.0, parts_ms={"queue": 30.0, "call": 60.0}, cost_usd=0.5),
            call(2, "clock", 40.0),
            call(3, "no'such", 5.0, parts_ms={"a'b": 5.0}),
            TaskComplete(
                run_id="r", task_id="a", rounds=3, duration_ms=145.0, status="done", ending="answered", correct=True
            ),
        ]
    )
    with load_run(folder) as run:
        stats = compute_stats(run)
        values = drawn_values(run)
    assert stats.metrics["tool-time_now_ms"].n == 1
    assert stats.metrics["tool-clock_ms"].title == "clock"
    shown = {stats.time.labels[name]: ms for name, ms in stats.time.overall_ms.items() if ms}
    assert shown == {
        "time_now: queue": 30.0,
        "time_now: call": 60.0,
        "time_now: rest": 10.0,
        "clock": 40.0,
        "tools: rest": 5.0,
    }
    assert {line.name: line.usd for line in stats.costs.by_tool}["time_now"] == 0.5
    figures = draw_figures(stats, values, tmp_path / "figures", formats=("svg",), workers=1)
    assert "tool-clock_ms_linear" in {figure.name for figure in figures}
    assert "time_now" in (tmp_path / "figures" / "tool_latency.svg").read_text()
