"""The slowest tasks, and why: which part took the time, how that compares, and the longest single call."""

from typing import Any, Final

import numpy as np

from podium_analysis import quantities
from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section
from podium_analysis.stats.counted import Counted
from podium_analysis.stats.time_accounting import Accounts

N_SLOWEST: Final = 10


class LongestCall(Section, frozen=True):
    """A turn of the orchestrator or a tool's call. what: orchestrator, or the tool."""

    what: str
    step: Count | None
    model: str | None
    alias: str | None
    status: str
    error_type: str | None
    duration_ms: float


class SlowTask(Section, frozen=True):
    """One of the longest tasks. parts_ms, unexplained_ms: None where the log holds none of its calls."""

    task_id: str
    epoch: Count
    status: str
    duration_ms: float
    rounds: Count
    parts_ms: dict[str, float] | None
    unexplained_ms: float | None
    longest_call: LongestCall | None
    why: str


def slowest_tasks(run: RunData, counted: Counted, found: Accounts, n: int = N_SLOWEST) -> list[SlowTask]:
    """The n tasks of the longest duration, longest first."""
    places = np.argsort(-found.duration_ms, kind="stable")[:n]
    if not places.size:
        return []
    known = ~np.isnan(found.parts).any(axis=1)
    medians = np.median(found.parts[known], axis=0) if known.any() else np.zeros(len(found.labels))
    wanted = ", ".join(str(found.task[place]) for place in places)
    named = run.rows(f"SELECT task, task_id, epoch, status FROM final WHERE task IN ({wanted})")
    tasks = {row[0]: row[1:] for row in named}
    longest = _longest(run, counted, sorted({row[1] for row in named}))
    return [
        _entry(found, int(place), task, longest.get(task[:2]), medians.tolist())
        for place in places
        for task in (tasks[found.task[place]],)
    ]


def _entry(
    found: Accounts, place: int, task: tuple[Any, ...], longest: LongestCall | None, medians: list[float]
) -> SlowTask:
    task_id, epoch, status = task
    usual_rounds = float(np.median(found.rounds))
    wall = float(found.duration_ms[place])
    parts = None if np.isnan(found.parts[place]).any() else found.parts[place].tolist()
    rounds = int(found.rounds[place])
    if parts is None:
        why = ["the log holds none of its calls"]
    else:
        biggest = int(np.argmax(parts))
        share = parts[biggest] / wall if wall else 0.0
        part, usual = quantities.duration(parts[biggest]), quantities.duration(medians[biggest])
        why = [f"{100 * share:.0f} % in {list(found.labels.values())[biggest]}: {part} (median task {usual})"]
    why.append(f"{rounds} turn{'s' if rounds != 1 else ''} (median task {usual_rounds:g})")
    if longest is not None:
        failed = f", {longest.error_type or longest.status}" if longest.status != "ok" else ""
        longest_ms = quantities.duration(longest.duration_ms)
        why.append(f"longest call: {longest.what} at step {longest.step}, {longest_ms}{failed}")
    return SlowTask(
        task_id=task_id,
        epoch=epoch,
        status=status,
        duration_ms=wall,
        rounds=rounds,
        parts_ms=None if parts is None else dict(zip(found.labels, parts, strict=True)),
        unexplained_ms=None if parts is None else float(found.unexplained_ms[place]),
        longest_call=longest,
        why="; ".join(why),
    )


def _longest(run: RunData, counted: Counted, task_ids: list[str]) -> dict[tuple[str, int], LongestCall]:
    """The longest counted call of each of the tasks and epochs that has one."""
    rows = run.rows(
        f"""
        SELECT task_id, coalesce(epoch, 1),
               CASE WHEN type = 'llm_call' THEN 'orchestrator' ELSE coalesce(nullif(tool, ''), 'an unnamed tool') END,
               step, model, alias, status, error_type,
               CASE WHEN type = 'llm_call' THEN duration_ms ELSE duration_total_ms END AS ms
        FROM events WHERE task_id IN ({", ".join("?" * len(task_ids))})
          AND (type = 'tool_call' OR (type = 'llm_call' AND role = 'orchestrator'))
          {counted.keep}
        ORDER BY ms DESC, step, type
        """,
        task_ids,
    )
    found: dict[tuple[str, int], LongestCall] = {}
    for task_id, epoch, what, step, model, alias, status, error_type, duration in rows:
        if (task_id, epoch) in found:
            continue
        found[task_id, epoch] = LongestCall(
            what=what,
            step=step,
            model=model,
            alias=alias,
            status=status if status is not None else ("ok" if error_type is None else "error"),
            error_type=error_type,
            duration_ms=duration,
        )
    return found
