"""Every statistic of stats.json as sortable tables."""

from collections.abc import Sequence
from typing import Any

from podium_analysis.quantities import percent
from podium_analysis.report.cost_tables import answer_models, costs, tokens
from podium_analysis.report.metric_tables import group_tables, metrics_table, time_by_step_table, time_table
from podium_analysis.report.page import MODEL, Cell, Column, Table, heading, number_cell, text_cell
from podium_analysis.section import Section
from podium_analysis.stats.choices import Opening
from podium_analysis.stats.compute import Stats


def statistics_tables(stats: Stats) -> list[Table]:
    """The tables that have at least one row; all but the metrics are folded on the page."""
    choices, errors, check = stats.choices, stats.errors, stats.server_check
    tables = [
        metrics_table(stats.metrics),
        *group_tables(stats.metrics),
        time_table(stats.time),
        time_by_step_table(stats.time),
        _simple(
            "tools", "Tools chosen", choices.tools, ("tool",), ("n", "share"), ("by_status", "by status")
        ),
        _simple(
            "models", "Models chosen", choices.models, ("tool", "alias", "provider", "model"),
            ("n", "n_ok", "share_of_tool"),
        ),
        _simple("transitions", "Tool transitions", choices.transitions, ("before", "after"), ("n", "share_of_from")),
        _openings(choices.openings),
        answer_models(stats.answer_models),
        tokens(stats.tokens.by_model),
        *costs(stats.costs),
        _simple("failed-calls", "Failed model calls", errors.calls, (*MODEL, "error_type"), ("n",)),
        _simple("failed-tools", "Failed tools", errors.tools, ("tool", "error_type"), ("n",)),
        _simple("programs", "Programs by how they ended", errors.programs, ("exec_status",), ("n",)),
        _simple(
            "server-check", "Log vs. vLLM counters", check.sums if check else [],
            ("name",), ("log", "server", "ratio"),
        ),
    ]  # fmt: skip
    return [table for table in tables if table.rows]


def _simple(
    id: str,
    title: str,
    entries: Sequence[Section],
    texts: Sequence[str],
    numbers: Sequence[str],
    extra: tuple[str, str] | None = None,
) -> Table:
    def cell(name: str, value: Any) -> Cell:
        return number_cell(value, text=percent(value)) if value is not None and "share" in name else number_cell(value)

    rows = [
        [
            *(text_cell(getattr(entry, name)) for name in texts),
            *(cell(name, getattr(entry, name)) for name in numbers),
            *([text_cell(", ".join(f"{k} {v:,}" for k, v in getattr(entry, extra[0]).items()))] if extra else []),
        ]
        for entry in entries
    ]
    columns = [*(Column(heading(name)) for name in texts), *(Column(heading(name), True) for name in numbers)]
    return Table(id, title, columns + ([Column(extra[1])] if extra else []), rows, folded=True)


def _openings(entries: Sequence[Opening]) -> Table:
    rows = [[text_cell(" → ".join(entry.tools)), number_cell(entry.n)] for entry in entries]
    return Table(
        "openings", "How tasks opened", [Column("first tools", wide=True), Column("tasks", True)], rows, folded=True
    )
