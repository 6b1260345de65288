"""podium-analysis compare RUN_A RUN_B: did the score move, what got slower or dearer, which tasks flipped."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from podium_contracts.events import NewerSchema
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from podium_analysis.compare import pairing
from podium_analysis.compare.significance import (
    Interval,
    ScoreDifference,
    bootstrap_mean,
    bootstrap_ratio,
    mean_by,
    score_difference,
)
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder
from podium_analysis.load.run_data import load_run
from podium_analysis.report import page
from podium_analysis.report.trajectories import BadRecord
from podium_analysis.scoring.scores import Outcome

FLIPS_SHOWN: Final = 20
WIDTH: Final = 132
"""Columns of the terminal table at least: figures that are cut off are no figures."""
QUESTION_CHARS: Final = 300


class NotComparable(ValueError):
    """The runs' scores do not measure the same thing; the message says what differs."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One quantity over the n pairs that have it in both runs: means, B less A, and B over A."""

    name: str
    unit: str
    n: int
    mean_a: float | None
    mean_b: float | None
    difference: Interval | None
    ratio: Interval | None


@dataclass(frozen=True, slots=True)
class Flip:
    task_id: str
    epoch: int
    before: Outcome
    after: Outcome
    question: str
    answer_a: str | None
    answer_b: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    run_a: str
    run_b: str
    mismatches: Sequence[pairing.Mismatch]
    n_a: int
    n_b: int
    n_shared: int
    not_graded: int
    """Shared tasks that at least one run has no verdict on: left out of the score."""
    score: ScoreDifference | None
    shifts: Sequence[Shift]
    flips: Sequence[Flip]
    n_unpriced: int
    """Calls of the shared tasks whose price is not known: in no cost."""
    bad_records: Sequence[BadRecord]


def compare_runs(run_a: Path, run_b: Path, *, anyway: bool = False) -> Comparison:
    """Pair the runs by (task_id, epoch). anyway: also when protocol or dataset differ, which the result then says.

    Raises:
        NotComparable: protocol or dataset differ, or no task is shared. LoadError, NewerSchema: a log is unreadable.
    """
    bad: list[BadRecord] = []
    with load_run(run_a) as data_a, load_run(run_b) as data_b:
        differing = pairing.mismatches(data_a.manifest, data_b.manifest)
        if not anyway and any(m.refuses for m in differing):
            what = "; ".join(f"{m.what}: {m.a} against {m.b}" for m in differing if m.refuses)
            raise NotComparable(
                f"{data_a.run_id} and {data_b.run_id} are not comparable: {what}. "
                "Give --anyway to see the figures beside each other all the same"
            )
        a, b = pairing.side(data_a, bad), pairing.side(data_b, bad)
    keys = pairing.shared(a, b)
    if not keys:
        raise NotComparable(f"{a.run_id} and {b.run_id} have no finished task in common")
    graded = [k for k in keys if a.outcome[k] in pairing.GRADED and b.outcome[k] in pairing.GRADED]
    score = None
    if graded:
        score = score_difference(
            np.array([a.outcome[k] == "right" for k in graded]),
            np.array([b.outcome[k] == "right" for k in graded]),
            np.array([k[0] for k in graded]),
        )
    flips = [
        Flip(
            *k, a.outcome[k], b.outcome[k],
            a.question.get(k) or b.question.get(k) or "", a.answer.get(k), b.answer.get(k),
        )
        for k in graded
        if (a.outcome[k] == "right") != (b.outcome[k] == "right")
    ]  # fmt: skip
    flips.sort(key=lambda flip: flip.after == "right")
    return Comparison(
        run_a=a.run_id,
        run_b=b.run_id,
        mismatches=differing,
        n_a=len(a.outcome),
        n_b=len(b.outcome),
        n_shared=len(keys),
        not_graded=len(keys) - len(graded),
        score=score,
        shifts=_shifts(a, b, keys),
        flips=flips,
        n_unpriced=sum(run.unpriced.get(k, 0) for run in (a, b) for k in keys),
        bad_records=bad,
    )


def _shifts(a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]]) -> list[Shift]:
    """Over tasks that ended by themselves in both runs: a failed task's time is another quantity."""
    done = [k for k in keys if not {a.outcome[k], b.outcome[k]} & {"error", "skipped"}]
    shifts: list[Shift] = []
    left = np.array([a.numbers[k] for k in done]).reshape(len(done), len(pairing.QUANTITIES))
    right = np.array([b.numbers[k] for k in done]).reshape(len(done), len(pairing.QUANTITIES))
    questions = np.array([k[0] for k in done])
    for column, (name, unit, _) in enumerate(pairing.QUANTITIES):
        x, y = left[:, column], right[:, column]
        known = ~(np.isnan(x) | np.isnan(y))
        n = int(known.sum())
        if n == 0:
            shifts.append(Shift(name, unit, 0, None, None, None, None))
            continue
        # Epochs of one question are not independent: a question is the unit that is resampled.
        x, y = mean_by(x[known], questions[known]), mean_by(y[known], questions[known])
        shifts.append(
            Shift(name, unit, n, float(x.mean()), float(y.mean()), bootstrap_mean(y - x), bootstrap_ratio(x, y))
        )
    return shifts


def print_comparison(result: Comparison, console: Console) -> None:
    """The comparison for a terminal, or for a log that someone reads later."""
    console.print(Text.assemble(("A ", "bold"), result.run_a, ("   B ", "bold"), result.run_b))
    for line in notes(result):
        console.print(Text(f"! {line}", style="yellow"))
    console.print()
    for line in score_lines(result):
        console.print(Text(line))
    console.print()
    _print_table(_shift_table(result), console)
    console.print(Text(SHIFT_NOTE, style="dim"))
    console.print()
    table = _flip_table(result)
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


SHIFT_NOTE: Final = (
    "Means over the tasks that ended by themselves in both runs; 95 % percentile bootstrap over questions. "
    "Each interval stands alone: of twenty that measure nothing, one excludes zero by chance."
)


def notes(result: Comparison) -> list[str]:
    """What a reader must know before the figures."""
    lines: list[str] = []
    for m in result.mismatches:
        grave = "NOT COMPARABLE: " if m.refuses else ""
        lines.append(f"{grave}{m.what} differs: {m.a} in A, {m.b} in B")
    if result.n_shared < max(result.n_a, result.n_b):
        lines.append(f"{result.n_shared} tasks are in both runs (A finished {result.n_a}, B {result.n_b})")
    if result.not_graded:
        lines.append(f"{result.not_graded} shared tasks have no verdict in A or in B and are left out of the score")
    if result.n_unpriced:
        lines.append(f"task.cost leaves out {result.n_unpriced} calls whose price is not known")
    if result.bad_records:
        lines.append(f"{len(result.bad_records)} task records could not be read: {result.bad_records[0].file}, …")
    return lines


def score_lines(result: Comparison) -> list[str]:
    s = result.score
    if s is None:
        return ["No task has a verdict in both runs: there is no score to compare."]
    d = s.difference
    interval = f" (95 % {_points(d.low)} to {_points(d.high)}, {s.interval})" if d.low is not None else ""
    return [
        f"Accuracy over {s.n} pairs: A {s.accuracy_a:.1f} %, B {s.accuracy_b:.1f} %",
        f"Difference B - A: {_points(d.value)} points{interval}",
        f"p = {_p(s.p_value)} ({s.test}): {s.only_a} right only in A, {s.only_b} only in B, "
        f"{s.both} in both, {s.neither} in neither",
    ]


def _shift_table(result: Comparison) -> page.Table:
    columns = [
        page.Column("per task"),
        *(page.Column(name, True) for name in ("pairs", "A", "B", "B - A", "95 %", "B / A", "95 % ratio")),
        page.Column("moved"),
    ]
    rows: list[list[page.Cell]] = []
    for s in result.shifts:
        show = _SHOW[s.unit]
        moved = s.difference is not None and s.difference.excludes_zero
        direction = "" if not moved or s.difference is None else ("up" if s.difference.value > 0 else "down")
        rows.append(
            [
                page.text_cell(s.name),
                page.number_cell(s.n),
                page.number_cell(s.mean_a, text=show(s.mean_a)),
                page.number_cell(s.mean_b, text=show(s.mean_b)),
                _value_cell(s.difference, show),
                _interval_cell(s.difference, show),
                _value_cell(s.ratio, _factor),
                _interval_cell(s.ratio, _factor),
                page.Cell(direction, direction),
            ]
        )
    return page.Table("shifts", "Latency, tokens and cost", columns, rows)


def _flip_table(result: Comparison) -> page.Table:
    columns = [
        page.Column("task"), page.Column("A"), page.Column("B"), page.Column("answer in A", wide=True),
        page.Column("answer in B", wide=True), page.Column("question", wide=True),
    ]  # fmt: skip
    rows = [
        [
            page.text_cell(flip.task_id if flip.epoch == 1 else f"{flip.task_id} #{flip.epoch}"),
            page.text_cell(flip.before),
            page.text_cell(flip.after),
            page.text_cell(_cut(flip.answer_a)),
            page.text_cell(_cut(flip.answer_b)),
            page.text_cell(_cut(flip.question)),
        ]
        for flip in result.flips
    ]
    lost = sum(flip.before == "right" for flip in result.flips)
    return page.Table("flips", f"Flipped tasks: {lost} lost, {len(rows) - lost} won", columns, rows)


def write_html(result: Comparison, path: Path) -> None:
    """The comparison as one page that opens from disk."""
    s = result.score
    if s is None:
        score = page.Score("Difference in accuracy, B − A", page.MISSING, score_lines(result))
    else:
        score = page.Score(
            "Difference in accuracy, B − A", f"{_points(s.difference.value)} points", score_lines(result)
        )
    outcomes = []
    if s is not None:
        outcomes = page.segments(
            [
                ("both right", "right", s.both, page.number(s.both)),
                ("only A right", "wrong", s.only_a, page.number(s.only_a)),
                ("only B right", "decode", s.only_b, page.number(s.only_b)),
                ("neither", "skipped", s.neither, page.number(s.neither)),
            ]
        )
    page.write_atomically(
        path,
        page.render(
            "compare.html.j2",
            title=f"{result.run_a} against {result.run_b} · Podium",
            kind="Podium comparison",
            heading=f"{result.run_a} → {result.run_b}",
            byline=[f"A {result.run_a}", f"B {result.run_b}", f"{result.n_shared} tasks in both"],
            sections=[("summary", "Summary"), ("shifts-section", "Shifts"), ("flips-section", "Flipped tasks")],
            notes=notes(result),
            score=score,
            outcomes=outcomes,
            shifts=_shift_table(result),
            shift_note=SHIFT_NOTE,
            flips=_flip_table(result),
            footer="Made by podium-analysis compare.",
        ),
    )


def _points(points: float | None) -> str:
    return page.MISSING if points is None else f"{points:+.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _factor(value: float | None) -> str:
    return page.MISSING if value is None else f"{value:.3f}×"


def _tokens(value: float | None) -> str:
    return page.number(value, 0)


_SHOW: Final[dict[str, Callable[[float | None], str]]] = {
    "ms": page.duration,
    "turns": page.number,
    "tokens": _tokens,
    "usd": page.money,
}


def _value_cell(interval: Interval | None, show: Callable[[float | None], str]) -> page.Cell:
    return page.Cell(page.MISSING, "") if interval is None else page.Cell(show(interval.value), repr(interval.value))


def _interval_cell(interval: Interval | None, show: Callable[[float | None], str]) -> page.Cell:
    if interval is None or interval.low is None:
        return page.Cell(page.MISSING, "")
    return page.Cell(f"{show(interval.low)} to {show(interval.high)}", repr(interval.low))


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= QUESTION_CHARS else f"{text[:QUESTION_CHARS]}…"


def register(subparsers: Any) -> None:
    """Add `compare` to podium-analysis."""
    parser = subparsers.add_parser("compare", help="two runs over the same questions: score, latency, cost, flips")
    parser.add_argument("run_a", metavar="RUN_A", help="a run's id or folder: the one before")
    parser.add_argument("run_b", metavar="RUN_B", help="a run's id or folder: the one after")
    parser.add_argument("--html", type=Path, help="also write the comparison as one page")
    parser.add_argument("--anyway", action="store_true", help="compare also when protocol or dataset differ")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0 when compared, 2 when the runs cannot be read or must not be compared."""
    try:
        result = compare_runs(run_folder(args.run_a), run_folder(args.run_b), anyway=args.anyway)
    except (LoadError, NewerSchema, NotComparable) as error:
        print(f"podium-analysis compare: {error}", file=sys.stderr)
        return 2
    if args.html:
        write_html(result, args.html)
    print_comparison(result, Console(width=max(WIDTH, Console().width)))
    if args.html:
        print(f"wrote {args.html}")
    return 0
