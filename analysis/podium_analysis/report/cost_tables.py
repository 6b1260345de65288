"""What the run's models and tools used and cost, as tables."""

from collections.abc import Iterator, Sequence

from podium_analysis.quantities import duration, money, number
from podium_analysis.report.page import MODEL, Cell, Column, Table, heading, number_cell, text_cell
from podium_analysis.scoring.answer_models import AnswerModel
from podium_analysis.stats.costs import Costs
from podium_analysis.stats.usage import ModelTokens


def answer_models(entries: Sequence[AnswerModel]) -> Table:
    rows = [
        [
            text_cell(entry.provider),
            text_cell(entry.model),
            number_cell(entry.n_graded),
            number_cell(entry.n_right),
            number_cell(entry.accuracy, 1),
            text_cell(f"{entry.interval[0]:.1f} to {entry.interval[1]:.1f}"),
            number_cell(entry.mean_cost_usd, text=money(entry.mean_cost_usd)),
            number_cell(entry.n_priced),
            number_cell(entry.median_duration_ms, text=duration(entry.median_duration_ms)),
            number_cell(entry.mean_rounds, 1),
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
    return Table("answer-models", "Answering models", columns, rows, caption, folded=True)


def tokens(entries: Sequence[ModelTokens]) -> Table:
    """A row a model; below a sum of tokens the calls whose server did not report that count."""
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    columns = [
        *(Column(name) for name in MODEL),
        Column("calls", True),
        Column("failed", True),
        *(Column(heading(name), True) for name in names),
    ]
    rows = [
        [
            *(text_cell(getattr(entry, name)) for name in MODEL),
            number_cell(entry.n_calls),
            number_cell(entry.n_failed),
            *(_counted(getattr(entry, name), getattr(entry, f"n_unknown_{name}")) for name in names),
        ]
        for entry in entries
    ]
    return Table("tokens", "Tokens", columns, rows, folded=True)


def _counted(tokens: int | None, n_unknown: int) -> Cell:
    cell = number_cell(tokens)
    return Cell(cell.text, cell.sort, sub=f"{number(n_unknown)} calls not reported" if n_unknown else "")


def costs(found: Costs) -> Iterator[Table]:
    lines = [
        *(("role", line) for line in found.by_role),
        *(("tool", line) for line in found.by_tool),
        *(("model", line) for line in found.by_model),
        *(("alias", line) for line in found.by_alias),
        ("all", found.total),
        *([("rejudges", found.rejudges)] if found.rejudges.calls else []),
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
            text_cell(line.name),
            *(number_cell(getattr(line, k), text=money(line.usd) if k == "usd" else None) for k in numbers),
        ]
        for kind, line in lines
    ]
    columns = [Column("by"), Column("name"), *(Column(heading(name), True) for name in numbers)]
    yield Table(
        "costs", "Cost", columns, rows, "A sum beside unpriced calls is a lower bound; – is not known.", folded=True
    )
    units = [
        [
            text_cell(unit.unit),
            number_cell(unit.quantity),
            number_cell(unit.usd_per_unit),
            number_cell(unit.usd, text=money(unit.usd)),
        ]
        for unit in found.units
        if unit.quantity
    ]
    columns = [Column("unit"), Column("quantity", True), Column("USD per unit", True), Column("USD", True)]
    yield Table("units", "Paid by the piece", columns, units, folded=True)
