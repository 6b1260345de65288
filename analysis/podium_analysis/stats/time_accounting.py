"""Where a task's time went: the sum of its parts beside its wall time, so that no second goes missing unseen.

Parts do not overlap; `counted.py` says which events count and how each part is taken from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData
from podium_analysis.metrics.ranked import RankedArray
from podium_analysis.metrics.sections import Summary
from podium_analysis.metrics.summaries import summarise
from podium_analysis.section import Count, Section
from podium_analysis.stats.counted import REST, TOOL_PARTS, TURN_PARTS, PartSums

PARTS: Final[dict[str, str]] = {
    **{name: label for name, (label, _) in (TURN_PARTS | TOOL_PARTS).items()},
    REST: "tools: rest",
}
"""Part -> label, in the order in which a turn spends them, of a run without added tools (PartSums has theirs)."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Parts of every task that ended, one row each, in the order of task_id and epoch.

    task: its index in the table tasks. parts: (n tasks, n parts) milliseconds, parts in the order of labels.
    unexplained: duration less all parts. Both are NaN where the log holds none of the task's calls (LOG_LEVEL kept
    them out).
    """

    task: npt.NDArray[np.int32]
    duration_ms: npt.NDArray[np.float64]
    rounds: npt.NDArray[np.int32]
    parts: npt.NDArray[np.float64]
    unexplained_ms: npt.NDArray[np.float64]
    labels: Mapping[str, str]


class Accounting(Section, frozen=True):
    """The share of a task's wall time that no part explains, over the tasks whose calls the log holds."""

    n_tasks: Count
    n_without_calls: Count
    wall_ms: float
    explained_ms: float
    unexplained_ms: float
    unexplained_share: Summary


class StepTime(Section, frozen=True):
    """Milliseconds of all turns at one step."""

    step: Count
    n_turns: Count
    parts_ms: dict[str, float]


class TimeByPart(Section, frozen=True):
    """Milliseconds by part. overall_share: of the tasks' wall time; None where there is none."""

    labels: dict[str, str]
    overall_ms: dict[str, float]
    overall_share: dict[str, float | None]
    by_step: list[StepTime]


def accounts(run: RunData, sums: PartSums) -> Accounts:
    """The parts of every task that ended (skipped ones apart)."""
    columns = ", ".join(f'CASE WHEN known THEN {_or_zero(name)} END AS "{name}"' for name in sums.labels)
    found = run.arrays(
        f"""
        SELECT f.task, f.duration_ms, f.rounds, turns.n IS NOT NULL OR tools.n IS NOT NULL AS known, {columns}
        FROM final f
        LEFT JOIN {sums.turns} turns ON turns.task_id = f.task_id AND turns.epoch = f.epoch
        LEFT JOIN {sums.tools} tools ON tools.task_id = f.task_id AND tools.epoch = f.epoch
        WHERE f.status <> 'skipped' ORDER BY f.task_id, f.epoch
        """
    )
    parts = np.column_stack([found[name].astype(np.float64) for name in sums.labels])
    duration = found["duration_ms"].astype(np.float64)
    return Accounts(found["task"], duration, found["rounds"], parts, duration - parts.sum(axis=1), sums.labels)


def accounting_statistics(found: Accounts) -> Accounting:
    """The share of a task's wall time that no part explains. Negative: parts overlap or clocks differ."""
    counted = ~np.isnan(found.unexplained_ms) & (found.duration_ms > 0)
    share = found.unexplained_ms[counted] / found.duration_ms[counted]
    return Accounting(
        n_tasks=int(found.task.size),
        n_without_calls=int((~counted).sum()),
        wall_ms=float(found.duration_ms[counted].sum()),
        explained_ms=float(found.parts[counted].sum()),
        unexplained_ms=float(found.unexplained_ms[counted].sum()),
        unexplained_share=summarise(RankedArray(share.astype(np.float64))),
    )


def time_statistics(run: RunData, sums: PartSums, found: Accounts) -> TimeByPart:
    """Milliseconds by part: over all tasks that ended, and by step over all turns that count."""
    counted = ~np.isnan(found.unexplained_ms)
    totals = dict(zip(sums.labels, found.parts[counted].sum(axis=0).tolist(), strict=True))
    totals["unexplained_ms"] = float(found.unexplained_ms[counted].sum())
    whole = float(found.duration_ms[counted].sum())
    columns = ", ".join(_or_zero(name) for name in sums.labels)
    steps = run.rows(
        f"""
        SELECT step, coalesce(turns.n, 0), {columns}
        FROM (SELECT * FROM {sums.turns} WHERE by_step) turns
        FULL JOIN (SELECT * FROM {sums.tools} WHERE by_step) tools USING (step)
        WHERE step IS NOT NULL ORDER BY step
        """
    )
    return TimeByPart(
        labels=dict(sums.labels) | {"unexplained_ms": "unexplained"},
        overall_ms=totals,
        overall_share={name: value / whole if whole else None for name, value in totals.items()},
        by_step=[StepTime(row[0], row[1], dict(zip(sums.labels, row[2:], strict=True))) for row in steps],
    )


def _or_zero(name: str) -> str:
    """A part that no event of the group has took no time; a group without any event is told apart by n."""
    return f'coalesce({"turns" if name in TURN_PARTS else "tools"}."{name}", 0)'
