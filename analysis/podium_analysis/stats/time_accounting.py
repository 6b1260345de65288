"""Where a task's time went: the sum of its parts beside its wall time, so that no second goes missing unseen.

Parts do not overlap. A task's events count when its duration_ms counts their time: left out is what came before a start
afresh, and a turn that a crash cut off and the resume repeated. An attempt that ended in an error counts when the next
one went on behind it. A judgement is part of the answer that it judges; one that a resume made again
stands for itself.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.metrics.ranked import RankedArray
from podium_analysis.metrics.summaries import summarise

_TIMED = "queue_ms IS NOT NULL AND prefill_ms IS NOT NULL AND decode_ms IS NOT NULL"
_WEB = "least(coalesce(web_ms, 0), coalesce(retrieval_ms, 0))"

TURN_PARTS: Final[dict[str, tuple[str, str]]] = {
    "client_wait_ms": ("client wait", "wait_ms"),
    "queue_ms": ("queue", f"CASE WHEN {_TIMED} THEN queue_ms END"),
    "prefill_ms": ("prefill", f"CASE WHEN {_TIMED} THEN prefill_ms END"),
    "decode_ms": ("decode", f"CASE WHEN {_TIMED} THEN decode_ms END"),
    "overhead_ms": ("overhead", "duration_ms - queue_ms - prefill_ms - decode_ms"),
    "untimed_ms": ("untimed turns", f"CASE WHEN NOT ({_TIMED}) THEN duration_ms END"),
}
TOOL_PARTS: Final[dict[str, tuple[str, str]]] = {
    "search_query_ms": ("search: query", "CASE WHEN tool = 'search' THEN coalesce(query_ms, expert_ms) END"),
    "search_retrieval_ms": ("search: retrieval", f"CASE WHEN tool = 'search' THEN retrieval_ms - {_WEB} END"),
    "search_web_ms": ("search: web", f"CASE WHEN tool = 'search' THEN {_WEB} END"),
    "reasoning_expert_ms": ("reasoning: expert", "CASE WHEN tool = 'enhance_reasoning' THEN expert_ms END"),
    "reasoning_execution_ms": ("reasoning: execution", "CASE WHEN tool = 'enhance_reasoning' THEN exec_ms END"),
    "answer_expert_ms": ("answer: expert", "CASE WHEN tool = 'answer' THEN expert_ms END"),
    "answer_judge_ms": ("answer: judge", "CASE WHEN tool = 'answer' THEN judge_ms END"),
}
"""Part -> (label, SQL of its milliseconds in one event)."""

PARTS: Final[dict[str, str]] = {
    **{name: label for name, (label, _) in (TURN_PARTS | TOOL_PARTS).items()},
    "tool_rest_ms": "tools: rest",
}
"""Part -> label, in the order in which a turn spends them. The last is what a tool's own parts leave of its total."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Parts of every task that ended, one row each, in the order of task_id and epoch.

    task: its index in the table tasks. parts: (n tasks, n parts) milliseconds, parts in the order of PARTS.
    unexplained: duration less all parts. Both are NaN where the log holds none of the task's calls (LOG_LEVEL kept
    them out).
    """

    task: npt.NDArray[np.int32]
    duration_ms: npt.NDArray[np.float64]
    rounds: npt.NDArray[np.int32]
    parts: npt.NDArray[np.float64]
    unexplained_ms: npt.NDArray[np.float64]


def prepare(run: RunData) -> None:
    """Make the table dropped, of the events that do not count, and sums of the parts in turns and in tools.

    turn_sums and tool_sums have a row for each task and epoch, and by_step one for each step: n events and the sum of
    each part.
    """
    run.execute(
        f"""
        CREATE OR REPLACE TABLE dropped AS
        WITH taken AS (  -- starts and ends of the tasks that were taken more than once
            SELECT task_id, coalesce(epoch, 1) AS epoch, ({IN_TIME}) AS moment, type, resumed_at_step, active_before_ms
            FROM events WHERE type IN ('task_start', 'task_complete') AND task_id IS NOT NULL
            QUALIFY count(*) FILTER (type = 'task_start') OVER (PARTITION BY task_id, coalesce(epoch, 1)) > 1
        ), starts AS (
            SELECT *, coalesce(active_before_ms = 0, coalesce(resumed_at_step, 1) <= 1) AS afresh,
                   lag(type) OVER same AS before, lag(moment) OVER same AS before_moment
            FROM taken WINDOW same AS (PARTITION BY task_id, epoch ORDER BY moment)
            QUALIFY type = 'task_start'
        )
        SELECT DISTINCT e.rowid AS place FROM events e JOIN starts s
          ON e.task_id = s.task_id AND coalesce(e.epoch, 1) = s.epoch AND ({IN_TIME}) < s.moment
         AND (s.afresh  -- nothing of earlier attempts is in the duration
              OR (s.before = 'task_start' AND ({IN_TIME}) > s.before_moment AND e.step >= s.resumed_at_step))
        """
    )
    keep = ""
    if run.rows("SELECT count(*) FROM dropped")[0][0]:
        keep = "AND rowid NOT IN (SELECT place FROM dropped)"
    again = _judged_again(run, keep)
    tool_parts = " + ".join(f"coalesce(sum({name}), 0)" for name in TOOL_PARTS)
    rest = f", sum(duration_total_ms) - ({tool_parts}) AS tool_rest_ms"
    for table, parts, condition, more, others in (
        ("turn_sums", TURN_PARTS, "type = 'llm_call' AND role = 'orchestrator'", "", ""),
        ("tool_sums", TOOL_PARTS, "type = 'tool_call'", again, rest),
    ):
        columns = ", ".join(f"{sql} AS {name}" for name, (_, sql) in parts.items())
        sums = ", ".join(f"sum({name}) AS {name}" for name in parts) + others
        run.execute(
            f"""
            CREATE OR REPLACE TABLE {table} AS
            SELECT task_id, epoch, step, grouping(task_id) = 1 AS by_step, count(*) AS n, {sums} FROM (
                SELECT task_id, coalesce(epoch, 1) AS epoch, step, duration_total_ms, {columns}
                FROM events WHERE {condition} AND task_id IS NOT NULL {keep} {more})
            GROUP BY GROUPING SETS ((task_id, epoch), (step))
            """
        )


def _judged_again(run: RunData, keep: str) -> str:
    """SQL that adds the judgements after a task's last answer to its tool calls; nothing where there is none."""
    taken_again = "SELECT coalesce(sum(n), 0) > (SELECT count(*) FROM tasks) FROM cells WHERE type = 'task_start'"
    if not run.rows(taken_again)[0][0]:
        return ""
    run.execute(
        f"""
        CREATE OR REPLACE TABLE judged_again AS
        WITH answers AS (
            SELECT task_id, coalesce(epoch, 1) AS epoch, max(({IN_TIME})) AS moment FROM events
            WHERE type = 'tool_call' AND tool = 'answer' AND judge_ms IS NOT NULL {keep} GROUP BY ALL)
        SELECT e.task_id, coalesce(e.epoch, 1) AS epoch, e.step, e.duration_ms FROM events e JOIN answers a
          ON e.task_id = a.task_id AND coalesce(e.epoch, 1) = a.epoch AND ({IN_TIME}) > a.moment
        WHERE type = 'judge' AND NOT coalesce(rejudge, false) {keep}
        """
    )
    return (
        "UNION ALL BY NAME SELECT task_id, epoch, step, duration_ms AS duration_total_ms, "
        "duration_ms AS answer_judge_ms FROM judged_again"
    )


def accounts(run: RunData) -> Accounts:
    """The parts of every task that ended (skipped ones apart). Call prepare first."""
    columns = ", ".join(f"CASE WHEN known THEN {_or_zero(name)} END AS {name}" for name in PARTS)
    found = run.arrays(
        f"""
        SELECT f.task, f.duration_ms, f.rounds, turns.n IS NOT NULL OR tools.n IS NOT NULL AS known, {columns}
        FROM final f
        LEFT JOIN turn_sums turns ON turns.task_id = f.task_id AND turns.epoch = f.epoch
        LEFT JOIN tool_sums tools ON tools.task_id = f.task_id AND tools.epoch = f.epoch
        WHERE f.status <> 'skipped' ORDER BY f.task_id, f.epoch
        """
    )
    parts = np.column_stack([found[name].astype(np.float64) for name in PARTS])
    duration = found["duration_ms"].astype(np.float64)
    return Accounts(found["task"], duration, found["rounds"], parts, duration - parts.sum(axis=1))


def accounting_statistics(found: Accounts) -> dict[str, Any]:
    """The share of a task's wall time that no part explains. Negative: parts overlap or clocks differ."""
    counted = ~np.isnan(found.unexplained_ms) & (found.duration_ms > 0)
    share = found.unexplained_ms[counted] / found.duration_ms[counted]
    return {
        "n_tasks": int(found.task.size),
        "n_without_calls": int((~counted).sum()),
        "wall_ms": float(found.duration_ms[counted].sum()),
        "explained_ms": float(found.parts[counted].sum()),
        "unexplained_ms": float(found.unexplained_ms[counted].sum()),
        "unexplained_share": summarise(RankedArray(share.astype(np.float64))),
    }


def time_statistics(run: RunData, found: Accounts) -> dict[str, Any]:
    """Milliseconds by part: over all tasks that ended, and by step over all turns that count."""
    counted = ~np.isnan(found.unexplained_ms)
    totals = dict(zip(PARTS, found.parts[counted].sum(axis=0).tolist(), strict=True))
    totals["unexplained_ms"] = float(found.unexplained_ms[counted].sum())
    whole = float(found.duration_ms[counted].sum())
    columns = ", ".join(_or_zero(name) for name in PARTS)
    steps = run.rows(
        f"""
        SELECT step, coalesce(turns.n, 0), {columns}
        FROM (SELECT * FROM turn_sums WHERE by_step) turns FULL JOIN (SELECT * FROM tool_sums WHERE by_step) tools
        USING (step) WHERE step IS NOT NULL ORDER BY step
        """
    )
    return {
        "labels": PARTS | {"unexplained_ms": "unexplained"},
        "overall_ms": totals,
        "overall_share": {name: value / whole if whole else None for name, value in totals.items()},
        "by_step": [
            {"step": row[0], "n_turns": row[1], "parts_ms": dict(zip(PARTS, row[2:], strict=True))} for row in steps
        ],
    }


def _or_zero(name: str) -> str:
    """A part that no event of the group has took no time; a group without any event is told apart by n."""
    return f"coalesce({'turns' if name in TURN_PARTS else 'tools'}.{name}, 0)"
