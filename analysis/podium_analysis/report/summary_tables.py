"""The tables at the top of report.html: accuracy by question, judges, errors by type, the slowest tasks."""

from collections.abc import Mapping
from typing import Final

from podium_analysis.quantities import duration, money
from podium_analysis.report.page import Cell, Column, Table, number_cell, text_cell
from podium_analysis.stats.compute import Stats

TRAITS: Final = {
    "category": "Accuracy by category",
    "subject": "Accuracy by subject",
    "answer_type": "Accuracy by type of answer",
    "verified_class": "Accuracy by verification class",
    "has_image": "Accuracy with and without an image",
}


def judges(stats: Stats) -> Table:
    """Every judge's view of the same answers, the run's own first; none unless the run was judged again."""
    judges = stats.scores.judges if stats.scores else []
    rows: list[list[Cell]] = []
    for entry in judges:
        name, score = entry.name, entry.score
        against_own = entry.against_own
        low, high = score.interval or (None, None)
        rows.append(
            [
                text_cell(name.judge or "no model"),
                text_cell(name.protocol),
                text_cell((name.prompt_hash or "")[:8] or None),
                number_cell(score.accuracy, 1),
                text_cell(None if low is None else f"{low:.1f} to {high:.1f}"),
                *(number_cell(n) for n in (score.n_right, score.n_wrong, score.n_ungraded)),
                number_cell(against_own.share if against_own else None, 1),
                number_cell(against_own.kappa if against_own else None, 2),
                number_cell(entry.usd, text=money(entry.usd)),
            ]
        )
    numbers = ("right", "wrong", "ungraded", "agreement %", "kappa", "cost")
    columns = [
        *(Column(heading) for heading in ("judge", "protocol", "prompt")),
        Column("accuracy %", True),
        Column("95 %"),
        *(Column(heading, True) for heading in numbers),
    ]
    return Table("judges", "Judges", columns, rows, "Agreement and kappa are with the run's own judge.")


def by_question(stats: Stats) -> list[Table]:
    """Accuracy by category, and folded by what else is known of the questions; none of what no question gives."""
    groups = stats.scores.groups if stats.scores else None
    if not groups:
        return []
    words = {True: "with an image", False: "text alone"}
    tables: list[Table] = []
    for trait, title in TRAITS.items():
        if all(group.value is None for group in getattr(groups, trait)):
            continue
        rows: list[list[Cell]] = []
        for group in getattr(groups, trait):
            value, (low, high) = group.value, group.interval
            rows.append(
                [
                    text_cell("not given" if value is None else words.get(value, value)),
                    *(number_cell(n) for n in (group.n, group.n_right, group.n_unanswered, group.n_ungraded)),
                    number_cell(group.accuracy, 1),
                    text_cell(f"{low:.1f} to {high:.1f}"),
                ]
            )
        columns = [
            Column(trait.replace("_", " ")),
            *(Column(heading, True) for heading in ("tasks", "right", "unanswered", "ungraded", "accuracy %")),
            Column("95 %"),
        ]
        tables.append(Table(f"accuracy-{trait}", title, columns, rows, folded=trait != "category"))
    return tables


def by_kind(stats: Stats) -> list[Table]:
    """Accuracy by the benchmark's own kinds of questions; none where it has none."""
    kinds, name = stats.benchmark.kinds, stats.benchmark.kinds_name
    if not kinds or name is None:
        return []
    rows = [
        [
            text_cell(one.kind),
            *(number_cell(n) for n in (one.n, one.n_right, one.n_unanswered)),
            number_cell(one.accuracy, 1),
            text_cell(f"{one.interval[0]:.1f} to {one.interval[1]:.1f}"),
        ]
        for one in kinds
    ]
    columns = [
        Column(name),
        *(Column(heading, True) for heading in ("tasks", "right", "unanswered", "accuracy %")),
        Column("95 %"),
    ]
    caption = "A question of several kinds counts in each."
    return [Table("accuracy-kinds", f"Accuracy by {name}", columns, rows, caption)]


def errors(stats: Stats) -> Table:
    """A row an error type, where it struck; by model and tool it is among the statistics."""
    failed = stats.errors
    groups = {"tasks": failed.tasks, "calls": failed.calls, "tools": failed.tools, "judgements": failed.judgements}
    counts: dict[str, dict[str, int]] = {}
    for group, rows_of in groups.items():
        for row in rows_of:
            by_group = counts.setdefault(str(row.error_type), dict.fromkeys(groups, 0))
            by_group[group] += row.n
    rows = [
        [text_cell(name), *(number_cell(by_group[group]) for group in groups)]
        for name, by_group in sorted(counts.items(), key=lambda item: [-n for n in item[1].values()])
    ]
    columns = [Column("error"), *(Column(name, True) for name in ("tasks", "model calls", "tools", "judgements"))]
    return Table("errors", "Errors by type", columns, rows)


def slowest(stats: Stats, hrefs: Mapping[tuple[str, int], str]) -> Table:
    rows = [
        [
            text_cell(task.task_id, hrefs.get((task.task_id, task.epoch), "")),
            number_cell(task.duration_ms, text=duration(task.duration_ms)),
            number_cell(task.rounds),
            text_cell(task.why),
        ]
        for task in stats.slowest_tasks
    ]
    columns = [Column("task"), Column("time", True), Column("turns", True), Column("where the time went", wide=True)]
    return Table("slowest", "The slowest tasks", columns, rows)
