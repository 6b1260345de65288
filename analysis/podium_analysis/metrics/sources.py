"""Which rows metrics are taken of: model calls, tool calls, tasks that ended."""

from typing import Final

from podium_analysis.metrics.metric import Family, Source

CALL_STATUS: Final = "CASE WHEN error_type IS NULL THEN 'ok' ELSE error_type END"


def _events(condition: str) -> Family:
    return Family(f"events WHERE {condition}", f"cells WHERE {condition}")


TURNS: Final = _events("type = 'llm_call' AND role = 'orchestrator'")
OTHER_CALLS: Final = _events("type = 'llm_call' AND role <> 'orchestrator'")
TOOL_EVENTS: Final = _events("type = 'tool_call'")
_MADE_BY: Final = "hash(task_id, coalesce(epoch, 1), coalesce(segment, 1), step, tool) AS made_by"
WAITING: Final = Family(
    f"""(
        SELECT any_value(e.kind) AS kind, any_value(e.step) AS step, any_value(e.status) AS status,
               any_value(e.tool) AS tool, any_value(e.provider) AS provider, any_value(e.model) AS model,
               sum(c.wait_ms) AS wait_ms,
               CASE WHEN count(c.queue_ms) > 0 OR any_value(e.retrieval_queue_ms) IS NOT NULL
                    THEN coalesce(sum(c.queue_ms), 0) + coalesce(any_value(e.retrieval_queue_ms), 0) END AS queue_ms
        FROM (
            SELECT rowid AS place, *, {_MADE_BY} FROM events WHERE type = 'tool_call' AND task_id IS NOT NULL
        ) e LEFT JOIN (
            SELECT mono_ms, wait_ms, queue_ms, {_MADE_BY} FROM events WHERE type = 'llm_call' AND role <> 'orchestrator'
        ) c ON c.made_by = e.made_by  -- and not in another attempt at the same step:
           AND c.mono_ms BETWEEN e.mono_ms - e.duration_total_ms - 1 AND e.mono_ms
        GROUP BY e.place ORDER BY e.place
    ) WHERE true""",
    "cells WHERE type = 'tool_call'",
)
"""Tool calls with the waits of the model calls that they made: those of their task, step and tool meanwhile."""
ENDED_TASKS: Final = Family(
    "final WHERE status <> 'skipped'", "(SELECT DISTINCT kind, status FROM final WHERE status <> 'skipped')", "NULL"
)


def calls(name: str, family: Family, condition: str) -> Source:
    """Model calls; those without an error succeeded."""
    return Source(name, family, condition, CALL_STATUS, "ok")


def added_calls(tool: str) -> Source:
    """Calls of a tool that is not built in; its name is one of added_tools'."""
    return _tools(f"{tool} calls", f"tool = '{tool}' AND status <> 'invalid'")


def _tools(name: str, condition: str) -> Source:
    return Source(name, TOOL_EVENTS, condition, "status", "ok")


ORCHESTRATOR = calls("orchestrator calls", TURNS, "true")
TOOL_CALLS = _tools("tool calls", "true")
SEARCHES = _tools("search calls", "tool = 'search' AND status <> 'invalid'")
REASONINGS = _tools("enhance_reasoning calls", "tool = 'enhance_reasoning' AND status <> 'invalid'")
ANSWERS = _tools("answer calls", "tool = 'answer' AND status <> 'invalid'")
JUDGE_CALLS = calls("judge calls", OTHER_CALLS, "role = 'judge' AND NOT coalesce(rejudge, false)")
WAITING_TOOLS = Source("tool calls", WAITING, "true", "status", "ok")
TASKS = Source("tasks", ENDED_TASKS, "true", "status", "done", "NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR")
