"""Which events the tasks' durations count, and the sums of their parts: the tables that other statistics are handed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.metrics.added_tools import added_parts

_TIMED = "queue_ms IS NOT NULL AND prefill_ms IS NOT NULL AND decode_ms IS NOT NULL"
_WEB = "least(coalesce(web_ms, 0), coalesce(retrieval_ms, 0))"

TURN_PARTS: Final[dict[str, tuple[str, str]]] = {
    "admission_ms": ("admission", "admission_ms"),
    "client_wait_ms": ("client wait", "wait_ms - coalesce(admission_ms, 0)"),
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
REST: Final = "tool_rest_ms"
"""What a tool's own parts leave of its total."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The events that count: in a task's duration_ms is their time.

    Left out is what came before a start afresh, and a turn that a crash cut off and the resume repeated. An attempt
    that ended in an error counts when the next one went on behind it.
    """

    keep: str
    """SQL to add to a condition over the table events; empty where every event counts."""


@dataclass(frozen=True, slots=True)
class PartSums:
    """Names of two tables, with a row for each task and epoch, and one for each step (by_step).

    turns, tools: task_id, epoch, step, by_step, n events and the sum of each of TURN_PARTS or TOOL_PARTS; tools has
    tool_rest_ms besides, what a tool's own parts leave of its total.
    """

    turns: str
    tools: str
    labels: Mapping[str, str]
    """Every part, in the order in which a turn spends them; the last is tool_rest_ms."""


def counted_events(run: RunData) -> Counted:
    """Find the events that do not count."""
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
    n_dropped = run.rows("SELECT count(*) FROM dropped")[0][0]
    return Counted("AND rowid NOT IN (SELECT place FROM dropped)" if n_dropped else "")


def part_sums(run: RunData, counted: Counted) -> PartSums:
    """Sum the parts of the turns and tools that count.

    A judgement is part of the answer that it judges; one that a resume made again stands for itself.
    """
    again = _judged_again(run, counted.keep)
    of_tools = TOOL_PARTS | added_parts(run)
    tool_parts = " + ".join(f'coalesce(sum("{name}"), 0)' for name in of_tools)
    rest = f", sum(duration_total_ms) - ({tool_parts}) AS tool_rest_ms"
    labels = {name: label for name, (label, _) in (TURN_PARTS | of_tools).items()} | {REST: "tools: rest"}
    made = PartSums("turn_sums", "tool_sums", labels)
    for table, parts, condition, more, others in (
        (made.turns, TURN_PARTS, "type = 'llm_call' AND role = 'orchestrator'", "", ""),
        (made.tools, of_tools, "type = 'tool_call'", again, rest),
    ):
        columns = ", ".join(f'{sql} AS "{name}"' for name, (_, sql) in parts.items())
        sums = ", ".join(f'sum("{name}") AS "{name}"' for name in parts) + others
        run.execute(
            f"""
            CREATE OR REPLACE TABLE {table} AS
            SELECT task_id, epoch, step, grouping(task_id) = 1 AS by_step, count(*) AS n, {sums} FROM (
                SELECT task_id, coalesce(epoch, 1) AS epoch, step, duration_total_ms, {columns}
                FROM events WHERE {condition} AND task_id IS NOT NULL {counted.keep} {more})
            GROUP BY GROUPING SETS ((task_id, epoch), (step))
            """
        )
    return made


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
