"""Every statistic of stats.json as sortable tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from podium_analysis.report.page import Cell, Column, Table, duration, money, number_cell, percent, text_cell

_NUMBERS: Final = ("n", "n_missing", "mean", "sd", "min", "p50", "p90", "p95", "p99", "p99_9", "max")
_SHORT: Final = ("n", "n_missing", "mean", "p50", "p90", "p99", "max")
_MODEL: Final = ("role", "provider", "model")
_HEADINGS: Final = {"n_missing": "missing", "p99_9": "p99.9"}


def statistics_tables(stats: Mapping[str, Any]) -> list[Table]:
    """The tables that have at least one row."""
    metrics: Mapping[str, Any] = stats["metrics"]
    choices: Mapping[str, Any] = stats["choices"]
    check: Mapping[str, Any] | None = stats["server_check"]
    tables = [
        _metrics(metrics),
        _groups("by-model", "By tool and model", metrics, "by_tool_model", ("tool", "provider", "model"), _SHORT),
        _groups("by-step", "By step", metrics, "by_step", ("step",), _SHORT),
        _groups("by-status", "By status", metrics, "by_status", ("status",), _SHORT),
        _time(stats["time"]),
        _time_by_step(stats["time"]),
        _simple(
            "tools", "Tools chosen", choices["tools"], ("tool",), ("n", "share"), ("by_status", "by status")
        ),
        _simple(
            "models", "Models chosen", choices["models"], ("tool", "alias", "provider", "model"),
            ("n", "n_ok", "share_of_tool"),
        ),
        _simple(
            "transitions", "What followed what", choices["transitions"], ("from", "to"), ("n", "share_of_from")
        ),
        _openings(choices["openings"]),
        _answer_models(stats["answer_models"]),
        _tokens(stats["tokens"]["by_model"]),
        *_costs(stats["costs"]),
        _simple("failed-calls", "Failed model calls", stats["errors"]["calls"], (*_MODEL, "error_type"), ("n",)),
        _simple("failed-tools", "Failed tools", stats["errors"]["tools"], ("tool", "error_type"), ("n",)),
        _simple("programs", "Programs by how they ended", stats["errors"]["programs"], ("exec_status",), ("n",)),
        _simple(
            "server-check", "The log's sums against vLLM's own counters", check["sums"] if check else [],
            ("name",), ("log", "server", "ratio"),
        ),
    ]  # fmt: skip
    return [table for table in tables if table.rows]


def _value(value: float | None, unit: str, name: str) -> Cell:
    if name in ("n", "n_missing"):
        return number_cell(value)
    if value is None:
        return number_cell(None)
    if unit == "ms":
        return number_cell(value, 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2)
    return number_cell(value, text=money(value)) if unit == "usd" else number_cell(value)


def _metrics(metrics: Mapping[str, Any]) -> Table:
    columns = [
        Column("metric"),
        Column("unit"),
        *(Column(_HEADINGS.get(name, name), True) for name in _NUMBERS),
        Column("mean 95 %"),
        Column("p50 95 %"),
        Column("p99 95 %"),
        Column("not ok", True, hint="values of calls or tasks with another status: in By status, not here"),
        Column("what"),
    ]
    rows = [
        [
            text_cell(name),
            text_cell(m["unit"]),
            *(_value(m[key], m["unit"], key) for key in _NUMBERS),
            *(_interval(m["intervals"].get(key), m["unit"]) for key in ("mean", "p50", "p99")),
            number_cell(m["n_other"]),
            text_cell(m["what"]),
        ]
        for name, m in metrics.items()
    ]
    return Table("metrics", "All metrics", columns, rows, "Successful calls and tasks; n and what is missing beside.")


def _interval(pair: Sequence[float] | None, unit: str) -> Cell:
    if pair is None:
        return text_cell(None)
    low, high = (_value(end, unit, "") for end in pair)
    return Cell(f"{low.text} to {high.text}", low.sort)


def _groups(
    id: str, title: str, metrics: Mapping[str, Any], group: str, keys: Sequence[str], numbers: Sequence[str]
) -> Table:
    columns = [
        Column("metric"),
        Column("unit"),
        *(Column(key, key == "step") for key in keys),
        *(Column(_HEADINGS.get(name, name), True) for name in numbers),
    ]
    rows = [
        [
            text_cell(name),
            text_cell(m["unit"]),
            *(number_cell(entry[key]) if key == "step" else text_cell(entry[key]) for key in keys),
            *(_value(entry[number], m["unit"], number) for number in numbers),
        ]
        for name, m in metrics.items()
        for entry in m[group]
    ]
    return Table(id, title, columns, rows)


def _time(time: Mapping[str, Any]) -> Table:
    rows = [
        [
            text_cell(time["labels"].get(name, name)),
            number_cell(ms, text=duration(ms)),
            number_cell(share, text=percent(share, 2)),
        ]
        for (name, ms), share in zip(time["overall_ms"].items(), time["overall_share"].values(), strict=True)
    ]
    return Table("time", "Where the time went", [Column("part"), Column("time", True), Column("share", True)], rows)


def _time_by_step(time: Mapping[str, Any]) -> Table:
    labels: Mapping[str, str] = time["labels"]
    steps: Sequence[Mapping[str, Any]] = time["by_step"]
    names = list(steps[0]["parts_ms"]) if steps else []
    rows = [
        [
            number_cell(step["step"]),
            number_cell(step["n_turns"]),
            *(number_cell(step["parts_ms"][name], 0) for name in names),
        ]
        for step in steps
    ]
    columns = [Column("step", True), Column("turns", True), *(Column(labels.get(name, name), True) for name in names)]
    return Table("time-by-step", "Where the time went, by step", columns, rows, "Milliseconds over all tasks.")


def _simple(
    id: str,
    title: str,
    entries: Sequence[Mapping[str, Any]],
    texts: Sequence[str],
    numbers: Sequence[str],
    extra: tuple[str, str] | None = None,
) -> Table:
    def cell(name: str, value: Any) -> Cell:
        return number_cell(value, text=percent(value)) if value is not None and "share" in name else number_cell(value)

    rows = [
        [
            *(text_cell(entry[name]) for name in texts),
            *(cell(name, entry[name]) for name in numbers),
            *([text_cell(", ".join(f"{k} {v:,}" for k, v in entry[extra[0]].items()))] if extra else []),
        ]
        for entry in entries
    ]
    columns = [*(Column(_words(name)) for name in texts), *(Column(_words(name), True) for name in numbers)]
    return Table(id, title, columns + ([Column(extra[1])] if extra else []), rows)


def _openings(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [[text_cell(" → ".join(entry["tools"])), number_cell(entry["n"])] for entry in entries]
    return Table("openings", "How tasks opened", [Column("first tools"), Column("tasks", True)], rows)


def _answer_models(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            text_cell(entry["provider"]),
            text_cell(entry["model"]),
            number_cell(entry["n_graded"]),
            number_cell(entry["n_right"]),
            number_cell(entry["accuracy"], 1),
            text_cell(f"{entry['wilson'][0]:.1f} to {entry['wilson'][1]:.1f}" if entry["wilson"] else None),
            number_cell(entry["mean_cost_usd"], text=money(entry["mean_cost_usd"])),
            number_cell(entry["n_priced"]),
            number_cell(entry["median_duration_ms"], text=duration(entry["median_duration_ms"])),
            number_cell(entry["mean_rounds"], 1),
        ]
        for entry in entries
    ]
    columns = [
        *(Column(name) for name in ("provider", "model")),
        *(Column(name, True) for name in ("graded", "right", "accuracy %")),
        Column("95 %"),
        *(Column(name, True) for name in ("mean cost", "priced", "median time", "mean turns")),
    ]
    caption = "The orchestrator chose who answers what: this compares choices, not models."
    return Table("answer-models", "Answering models", columns, rows, caption)


def _tokens(entries: Sequence[Mapping[str, Any]]) -> Table:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    columns = [
        *(Column(name) for name in _MODEL),
        Column("calls", True),
        Column("failed", True),
        *(column for name in names for column in (Column(_words(name), True), Column("not told", True))),
    ]
    rows = [
        [
            *(text_cell(entry[name]) for name in _MODEL),
            number_cell(entry["n_calls"]),
            number_cell(entry["n_failed"]),
            *(number_cell(entry[key]) for name in names for key in (name, f"n_unknown_{name}")),
        ]
        for entry in entries
    ]
    return Table("tokens", "Tokens", columns, rows, "Not told: calls whose server did not report that count.")


def _costs(costs: Mapping[str, Any]) -> Iterator[Table]:
    lines = [
        *((kind, line) for kind in ("role", "tool", "model", "alias") for line in costs[f"by_{kind}"]),
        ("all", costs["total"]),
        *([("rejudges", costs["rejudges"])] if costs["rejudges"]["calls"] else []),
    ]
    numbers = (
        "calls",
        "n_priced",
        "n_unpriced",
        "n_failed",
        "usd",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
    )
    rows = [
        [
            text_cell(kind),
            text_cell(line["name"]),
            *(number_cell(line[k], text=money(line[k]) if k == "usd" else None) for k in numbers),
        ]
        for kind, line in lines
    ]
    columns = [Column("by"), Column("name"), *(Column(_words(name), True) for name in numbers)]
    yield Table("costs", "Cost", columns, rows, "A sum beside unpriced calls is a lower bound; – is not known.")
    units = [
        [
            text_cell(unit["unit"]),
            number_cell(unit["quantity"]),
            number_cell(unit["usd_per_unit"]),
            number_cell(unit["usd"], text=money(unit["usd"])),
        ]
        for unit in costs["units"]
        if unit["quantity"]
    ]
    columns = [Column("unit"), Column("quantity", True), Column("usd a unit", True), Column("usd", True)]
    yield Table("units", "Paid by the piece", columns, units)


def _words(name: str) -> str:
    words = {
        "n_ok": "ok",
        "n_priced": "priced",
        "n_unpriced": "no price",
        "n_failed": "failed",
        "exec_status": "status",
    }
    return words.get(name, name.replace("_", " "))
