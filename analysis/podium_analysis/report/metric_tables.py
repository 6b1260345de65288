"""The metrics and the account of time as tables: n and what is missing, then values with their intervals below them."""

from collections.abc import Mapping, Sequence
from typing import Final

from podium_analysis.metrics.sections import MetricStatistics, PlainSummary, Summary
from podium_analysis.quantities import duration, money, percent
from podium_analysis.report.page import Cell, Column, Table, number_cell, text_cell
from podium_analysis.section import Interval
from podium_analysis.stats.time_accounting import TimeByPart

_NUMBERS: Final = ("n", "n_missing", "mean", "sd", "min", "p50", "p90", "p95", "p99", "p99_9", "max")
_SHORT: Final = ("n", "n_missing", "mean", "p50", "p90", "p95", "p99", "max")
_HEADINGS: Final = {"n_missing": "missing", "p50": "median", "p99_9": "p99.9"}
UNITS: Final = "Times are milliseconds, costs US dollars, as a metric's name says; below a value its 95 % interval."


def metrics_table(metrics: Mapping[str, MetricStatistics]) -> Table:
    """A row a metric, of the calls and tasks that succeeded."""
    columns = [
        Column("metric"),
        *(Column(_HEADINGS.get(name, name), True) for name in _NUMBERS),
        Column("not ok", True, hint="values of calls or tasks with another status: in By status, not here"),
    ]
    rows = [
        [Cell(name, name, hint=m.what), *_values(m, m.unit, _NUMBERS), number_cell(m.n_other)]
        for name, m in metrics.items()
    ]
    return Table("metrics", "All metrics", columns, rows, f"Successful calls and tasks. {UNITS}")


def group_tables(metrics: Mapping[str, MetricStatistics]) -> list[Table]:
    """The same by model, by step and by status."""
    return [
        _groups("by-model", "Metrics by tool and model", metrics, "by_tool_model", ("tool", "provider", "model")),
        _groups("by-step", "Metrics by step", metrics, "by_step", ("step",)),
        _groups("by-status", "Metrics by status", metrics, "by_status", ("status",)),
    ]


def _groups(id: str, title: str, metrics: Mapping[str, MetricStatistics], group: str, keys: Sequence[str]) -> Table:
    columns = [
        Column("metric"),
        *(Column(key, key == "step") for key in keys),
        *(Column(_HEADINGS.get(name, name), True) for name in _SHORT),
    ]
    rows = [
        [
            text_cell(name),
            *(number_cell(getattr(entry, key)) if key == "step" else text_cell(getattr(entry, key)) for key in keys),
            *_values(entry, m.unit, _SHORT),
        ]
        for name, m in metrics.items()
        for entry in getattr(m, group)
    ]
    return Table(id, title, columns, rows, folded=True)


def _values(found: PlainSummary, unit: str, names: Sequence[str]) -> list[Cell]:
    intervals: dict[str, Interval] = {}
    if isinstance(found, Summary):
        intervals = {str(name): ends for name, ends in found.intervals.items()}
    cells: list[Cell] = []
    for name in names:
        cell = _value(getattr(found, name), unit, name)
        if name in intervals:
            low, high = (_value(end, unit, "").text for end in intervals[name])
            cell = Cell(cell.text, cell.sort, sub=f"{low} – {high}")
        cells.append(cell)
    return cells


def _value(value: float | None, unit: str, name: str) -> Cell:
    if name in ("n", "n_missing") or value is None:
        return number_cell(value)
    if unit == "ms":
        return number_cell(value, 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2)
    return number_cell(value, text=money(value)) if unit == "usd" else number_cell(value)


def time_table(time: TimeByPart) -> Table:
    """A row a part of the tasks' wall time."""
    rows = [
        [
            text_cell(time.labels.get(name, name)),
            number_cell(ms, text=duration(ms)),
            number_cell(share, text=percent(share, 2)),
        ]
        for (name, ms), share in zip(time.overall_ms.items(), time.overall_share.values(), strict=True)
    ]
    columns = [Column("part"), Column("time", True), Column("share", True)]
    return Table("time", "Where the time went", columns, rows, folded=True)


def time_by_step_table(time: TimeByPart) -> Table:
    """A row a step; parts that no step has are left out."""
    labels, steps = time.labels, time.by_step
    names = [name for name in (steps[0].parts_ms if steps else ()) if any(step.parts_ms[name] for step in steps)]
    rows = [
        [
            number_cell(step.step),
            number_cell(step.n_turns),
            *(_mean_and_sum(step.parts_ms[name], step.n_turns) for name in names),
        ]
        for step in steps
    ]
    columns = [Column("step", True), Column("turns", True), *(Column(labels.get(name, name), True) for name in names)]
    caption = "Mean of a turn, below it the sum over all tasks."
    return Table("time-by-step", "Where a turn's time went, by step", columns, rows, caption, folded=True)


def _mean_and_sum(ms: float | None, turns: int) -> Cell:
    if ms is None or not turns:
        return number_cell(None)
    return Cell(duration(ms / turns), repr(ms / turns), sub=duration(ms))
