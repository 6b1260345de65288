"""A comparison as text for a terminal and as a page that opens from disk."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from podium_analysis.compare.comparison import Compared, Comparison
from podium_analysis.compare.significance import Measure
from podium_analysis.compare.tables import (
    cut_tables,
    flip_table,
    points,
    probability,
    score_table,
    settings_table,
    shift_table,
    shifts_of_all,
)
from podium_analysis.quantities import MISSING, number
from podium_analysis.report import page

FLIPS_SHOWN: Final = 20
CUTS_SHOWN: Final = 20
SHIFT_NOTE: Final = (
    "Means over the tasks that ended by themselves in both runs; 95 % percentile bootstrap over questions. "
    "Each interval stands alone: of twenty that measure nothing, one excludes zero by chance."
)


def print_comparison(result: Compared, console: Console) -> None:
    """The comparison for a terminal, or for a log that someone reads later."""
    console.print(Text("   ".join(f"{letter} {run}" for letter, run in _names(result)), style="bold"))
    for line in notes(result):
        console.print(Text(f"! {line}", style="yellow"))
    console.print()
    for row in result.settings:
        console.print(Text.assemble((f"{row.name}  ", "bold"), " → ".join(row.values)))
    if result.settings:
        console.print()
    if len(result.pairs) == 1:
        for line in score_lines(result.pairs[0]):
            console.print(Text(line))
        console.print()
        _print_table(shift_table(result.pairs[0]), console)
    else:
        _print_table(score_table(result.pairs), console)
        console.print()
        for letter, pair in zip(string.ascii_uppercase[1:], result.pairs, strict=False):
            if pair.measure:
                console.print(Text(f"{letter} as B: {measure_line(pair.measure)}"))
        _print_table(shifts_of_all(result.pairs), console)
    console.print(Text(SHIFT_NOTE, style="dim"))
    console.print()
    for table in cut_tables(result.pairs):
        console.print()
        _print_table(page.Table(table.id, table.title, table.columns, table.rows[:CUTS_SHOWN], table.caption), console)
        if len(table.rows) > CUTS_SHOWN:
            console.print(Text(f"{len(table.rows) - CUTS_SHOWN} more in the HTML page", style="dim"))
    for table in _flip_tables(result):
        console.print()
        shown = page.Table(table.id, table.title, table.columns, table.rows[:FLIPS_SHOWN], table.caption)
        _print_table(shown, console)
        if len(table.rows) > FLIPS_SHOWN:
            console.print(Text(f"{len(table.rows) - FLIPS_SHOWN} more in the HTML page", style="dim"))


def _print_table(table: page.Table, console: Console) -> None:
    rich = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for column in table.columns:
        rich.add_column(
            Text(column.name), justify="right" if column.numeric else "left", no_wrap=not column.wide,
            overflow="ellipsis", max_width=40 if column.wide else None,
        )  # fmt: skip
    for row in table.rows:
        rich.add_row(*(Text(" ".join(cell.text.split()), overflow="ellipsis", no_wrap=True) for cell in row))
    console.print(rich)


def notes(result: Compared) -> list[str]:
    """What a reader must know before the figures."""
    return [
        line
        for letter, pair in zip(string.ascii_uppercase[1:], result.pairs, strict=False)
        for line in _pair_notes(pair, letter)
    ]


def _pair_notes(pair: Comparison, letter: str) -> list[str]:
    lines: list[str] = []
    for m in pair.mismatches:
        grave = "NOT COMPARABLE: " if m.refuses else ""
        lines.append(f"{grave}{m.what} differs: {m.a} in A, {m.b} in {letter}")
    if pair.n_shared < max(pair.n_a, pair.n_b):
        lines.append(f"{pair.n_shared} tasks are in both runs (A finished {pair.n_a}, {letter} {pair.n_b})")
    if pair.not_graded:
        lines.append(
            f"{pair.not_graded} shared tasks have no verdict in A or in {letter} and are left out of the score"
        )
    if pair.n_unpriced:
        lines.append(f"task.cost leaves out {pair.n_unpriced} calls of A and {letter} whose price is not known")
    if pair.bad_records:
        lines.append(f"{len(pair.bad_records)} task records could not be read: {pair.bad_records[0].file}, …")
    return lines


def score_lines(pair: Comparison) -> list[str]:
    s = pair.score
    if s is None:
        return ["No task has a verdict in both runs: there is no score to compare."]
    d = s.difference
    interval = f" (95 % {points(d.low)} to {points(d.high)}, {s.interval})" if d.low is not None else ""
    lines = [
        f"Accuracy over {s.n} pairs: A {s.accuracy_a:.1f} %, B {s.accuracy_b:.1f} %",
        f"Difference B - A: {points(d.value)} points{interval}",
        f"p = {probability(s.p_value)} ({s.test}): {s.only_a} right only in A, {s.only_b} only in B, "
        f"{s.both} in both, {s.neither} in neither",
    ]
    return lines + ([measure_line(pair.measure)] if pair.measure else [])


def measure_line(measure: Measure) -> str:
    """The benchmark's own measure of both runs and its difference."""
    d = measure.difference
    interval = f" (95 % {points(d.low)} to {points(d.high)}, bootstrap over questions)" if d.low is not None else ""
    return f"{measure.name}: A {measure.a:.1f}, B {measure.b:.1f}; B - A {points(d.value)} points{interval}"


def write_html(result: Compared, path: Path) -> None:
    """The comparison as one page that opens from disk."""
    names = _names(result)
    pairs = result.pairs
    only = pairs[0] if len(pairs) == 1 else None
    page.write_text(
        path,
        page.render(
            "compare.html.j2",
            title=f"{' against '.join(run for _, run in names)} · Podium",
            kind="Podium comparison",
            heading=" → ".join(run for _, run in names),
            byline=[*(f"{letter} {run}" for letter, run in names), f"{pairs[0].n_shared} tasks in A and B"],
            sections=[
                ("summary", "Summary"),
                *([("settings", "Settings")] if result.settings else []),
                ("shifts-section", "Shifts"),
                ("flips-section", "Flipped tasks"),
            ],
            notes=notes(result),
            score=_score(only) if only else None,
            outcomes=_outcomes(only) if only else [],
            scores=None if only else score_table(pairs),
            settings=settings_table(result.settings) if result.settings else None,
            shifts=shift_table(only) if only else shifts_of_all(pairs),
            shift_note=SHIFT_NOTE,
            cuts=cut_tables(pairs),
            flips=_flip_tables(result),
            footer="Made by podium-analysis compare.",
        ),
    )


def tables_of(result: Compared) -> list[page.Table]:
    """Every table of the comparison."""
    pairs = result.pairs
    return [
        *([settings_table(result.settings)] if result.settings else []),
        score_table(pairs),
        *cut_tables(pairs),
        shift_table(pairs[0]) if len(pairs) == 1 else shifts_of_all(pairs),
        *_flip_tables(result),
    ]


def _names(result: Compared) -> list[tuple[str, str]]:
    runs = [result.pairs[0].run_a, *(pair.run_b for pair in result.pairs)]
    return list(zip(string.ascii_uppercase, runs, strict=False))


def _flip_tables(result: Compared) -> list[page.Table]:
    several = len(result.pairs) > 1
    letters = string.ascii_uppercase[1:]
    return [flip_table(pair, letter, several) for letter, pair in zip(letters, result.pairs, strict=False)]


def _score(pair: Comparison) -> page.Score:
    value = MISSING if pair.score is None else f"{points(pair.score.difference.value)} points"
    return page.Score("Difference in accuracy, B − A", value, score_lines(pair))


def _outcomes(pair: Comparison) -> Sequence[page.Segment]:
    s = pair.score
    if s is None:
        return []
    return page.segments(
        [
            ("both right", "right", s.both, number(s.both)),
            ("only A right", "wrong", s.only_a, number(s.only_a)),
            ("only B right", "decode", s.only_b, number(s.only_b)),
            ("neither", "skipped", s.neither, number(s.neither)),
        ]
    )
