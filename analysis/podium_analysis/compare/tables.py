"""The tables of a comparison: settings, scores, what moved, which tasks flipped."""

import string
from collections.abc import Callable, Sequence
from typing import Final

from podium_analysis.compare.comparison import Comparison
from podium_analysis.compare.differences import SettingRow
from podium_analysis.compare.pairing import CUTS
from podium_analysis.compare.significance import Interval
from podium_analysis.quantities import MISSING, duration, money, number
from podium_analysis.report import page

QUESTION_CHARS: Final = 300


def settings_table(rows: Sequence[SettingRow]) -> page.Table:
    """A row a setting that is not the same in all runs, a column a run."""
    letters = string.ascii_uppercase[: len(rows[0].values)]
    columns = [page.Column("setting"), *(page.Column(letter, wide=True) for letter in letters)]
    cells = [[page.text_cell(row.name), *(page.text_cell(value) for value in row.values)] for row in rows]
    return page.Table("settings-table", "Settings that differ", columns, cells)


def cut_tables(pairs: Sequence[Comparison]) -> list[page.Table]:
    """A table for each cut that all pairs have; those with a single value are left out."""
    cuts = [cut for cut in pairs[0].cuts if all(cut in pair.cuts for pair in pairs)]
    always = {*cuts} - {*CUTS[1:]}
    return [cut_table(pairs, cut) for cut in cuts if cut in always or any(len(pair.cuts[cut]) > 1 for pair in pairs)]


def cut_table(pairs: Sequence[Comparison], cut: str) -> page.Table:
    """A row a value of the cut and run beside the first: the score over its pairs with A."""
    columns = [
        page.Column(cut, wide=True),
        page.Column("run"),
        *(page.Column(name, True) for name in ("pairs", "A %", "run %", "run - A")),
        page.Column("95 %"),
        *(page.Column(name, True) for name in ("won", "lost")),
    ]
    rows = [
        [
            page.text_cell(name),
            page.text_cell(letter),
            page.number_cell(s.n),
            page.number_cell(s.accuracy_a, 1),
            page.number_cell(s.accuracy_b, 1),
            page.number_cell(s.difference.value, text=points(s.difference.value)),
            _interval_cell(s.difference, points),
            page.number_cell(s.only_b),
            page.number_cell(s.only_a),
        ]
        for letter, pair in zip(string.ascii_uppercase[1:], pairs, strict=False)
        for name, s in pair.cuts[cut]
    ]
    caption = "Of many rows that did not move, some do by chance: none is a finding by itself."
    return page.Table(f"by-{cut.replace(' ', '-')}", f"Accuracy by {cut}", columns, rows, caption)


def score_table(pairs: Sequence[Comparison]) -> page.Table:
    """A row a run beside the first: the score over its pairs with A."""
    columns = [
        page.Column("run"),
        *(page.Column(name, True) for name in ("pairs", "A %", "run %", "run - A")),
        page.Column("95 %"),
        *(page.Column(name, True) for name in ("p", "won", "lost")),
        page.Column("test"),
    ]
    rows: list[list[page.Cell]] = []
    for letter, pair in zip(string.ascii_uppercase[1:], pairs, strict=False):
        s = pair.score
        name = page.text_cell(f"{letter} {pair.run_b}")
        if s is None:
            rows.append([name, page.number_cell(0), *(page.text_cell(None) for _ in columns[2:])])
            continue
        d = s.difference
        rows.append(
            [
                name,
                page.number_cell(s.n),
                page.number_cell(s.accuracy_a, 1),
                page.number_cell(s.accuracy_b, 1),
                page.number_cell(d.value, text=points(d.value)),
                _interval_cell(d, points),
                page.number_cell(s.p_value, text=probability(s.p_value)),
                page.number_cell(s.only_b),
                page.number_cell(s.only_a),
                page.text_cell(s.test),
            ]
        )
    return page.Table("scores", "Accuracy against A", columns, rows)


def shift_table(pair: Comparison) -> page.Table:
    """What moved between two runs, a row a quantity."""
    columns = [
        page.Column("per task"),
        *(page.Column(name, True) for name in ("pairs", "A", "B", "B - A", "95 %", "B / A", "95 % ratio")),
        page.Column("moved"),
    ]
    rows: list[list[page.Cell]] = []
    for s in pair.shifts:
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


def shifts_of_all(pairs: Sequence[Comparison]) -> page.Table:
    """A row a quantity; of each run its mean and its ratio to A over the tasks that it shares with A."""
    columns = [page.Column("per task")]
    for letter, _ in zip(string.ascii_uppercase[1:], pairs, strict=False):
        columns += [page.Column(name, True) for name in (f"A with {letter}", letter, f"{letter} / A")]
        columns.append(page.Column(f"95 % {letter} / A"))
    rows: list[list[page.Cell]] = []
    for of_all in zip(*(pair.shifts for pair in pairs), strict=True):
        show = _SHOW[of_all[0].unit]
        row = [page.text_cell(of_all[0].name)]
        for s in of_all:
            row += [
                page.number_cell(s.mean_a, text=show(s.mean_a)),
                page.number_cell(s.mean_b, text=show(s.mean_b)),
                _value_cell(s.ratio, _factor),
                _interval_cell(s.ratio, _factor),
            ]
        rows.append(row)
    return page.Table("shifts", "Latency, tokens and cost", columns, rows)


def flip_table(pair: Comparison, letter: str, several: bool) -> page.Table:
    """The tasks that one of two runs got right and the other did not. several: more runs than two are compared."""
    columns = [
        page.Column("task"), page.Column("A"), page.Column(letter), page.Column("answer in A", wide=True),
        page.Column(f"answer in {letter}", wide=True), page.Column("question", wide=True),
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
        for flip in pair.flips
    ]
    lost = sum(flip.before == "right" for flip in pair.flips)
    where = f" from A to {letter}" if several else ""
    return page.Table(f"flips-{letter}", f"Flipped tasks{where}: {lost} lost, {len(rows) - lost} won", columns, rows)


def points(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.1f}"


def probability(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _factor(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}×"


def _tokens(value: float | None) -> str:
    return number(value, 0)


_SHOW: Final[dict[str, Callable[[float | None], str]]] = {
    "ms": duration,
    "turns": number,
    "tokens": _tokens,
    "usd": money,
}


def _value_cell(interval: Interval | None, show: Callable[[float | None], str]) -> page.Cell:
    return page.Cell(MISSING, "") if interval is None else page.Cell(show(interval.value), repr(interval.value))


def _interval_cell(interval: Interval | None, show: Callable[[float | None], str]) -> page.Cell:
    if interval is None or interval.low is None:
        return page.Cell(MISSING, "")
    return page.Cell(f"{show(interval.low)} to {show(interval.high)}", repr(interval.low))


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= QUESTION_CHARS else f"{text[:QUESTION_CHARS]}…"
