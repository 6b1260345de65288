"""Every metric: its name (its unit last), where its values come from, and what counts as a success."""

from collections.abc import Iterator
from typing import Final

from podium_contracts.event import Use, event_fields
from podium_contracts.events import LlmCall, ToolCall

from podium_analysis.metrics.metric import Family, Metric, Source

_CALL_STATUS: Final = "CASE WHEN error_type IS NULL THEN 'ok' ELSE error_type END"


def _events(condition: str) -> Family:
    return Family(f"events WHERE {condition}", f"cells WHERE {condition}")


_TURNS: Final = _events("type = 'llm_call' AND role = 'orchestrator'")
_OTHER_CALLS: Final = _events("type = 'llm_call' AND role <> 'orchestrator'")
_TOOL_EVENTS: Final = _events("type = 'tool_call'")
_ENDED_TASKS: Final = Family(
    "final WHERE status <> 'skipped'", "(SELECT DISTINCT kind, status FROM final WHERE status <> 'skipped')", "NULL"
)


def _calls(name: str, family: Family, condition: str) -> Source:
    return Source(name, family, condition, _CALL_STATUS, "ok")


def _tools(name: str, condition: str) -> Source:
    return Source(name, _TOOL_EVENTS, condition, "status", "ok")


_ORCHESTRATOR = _calls("orchestrator calls", _TURNS, "true")
_TOOL_CALLS = _tools("tool calls", "true")
_SEARCHES = _tools("search calls", "tool = 'search' AND status <> 'invalid'")
_REASONINGS = _tools("enhance_reasoning calls", "tool = 'enhance_reasoning' AND status <> 'invalid'")
_ANSWERS = _tools("answer calls", "tool = 'answer' AND status <> 'invalid'")
_TASKS = Source("tasks", _ENDED_TASKS, "true", "status", "done", "NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR")


def _expert(tool: str) -> Metric:
    return Metric(
        f"{tool}_expert_call_ms",
        f"Expert call of {tool}",
        "ms",
        _calls(f"expert calls of {tool}", _OTHER_CALLS, f"role = 'expert' AND tool = '{tool}'"),
        "duration_ms",
        f"the attempt of the expert's call that counted, in {tool}; limiter and retries are not in it",
    )


_CHOSEN: Final[tuple[Metric, ...]] = (
    Metric(
        "tool_call_ms",
        "Tool calls",
        "ms",
        _TOOL_CALLS,
        "duration_ms",
        "wall time of all tools' calls; of answer the expert's part",
    ),
    Metric("search_ms", "search", "ms", _SEARCHES, "duration_ms", "wall time of search: query, retrieval and web"),
    Metric(
        "enhance_reasoning_ms",
        "enhance_reasoning",
        "ms",
        _REASONINGS,
        "duration_ms",
        "wall time of enhance_reasoning: expert and execution",
    ),
    Metric("answer_ms", "answer: expert", "ms", _ANSWERS, "duration_ms", "the expert's part of answer, waits included"),
    Metric("answer_judge_ms", "answer: judge", "ms", _ANSWERS, "judge_ms", "the judge's part of answer"),
    Metric("answer_total_ms", "answer: total", "ms", _ANSWERS, "duration_total_ms", "answer whole: expert and judge"),
    Metric(
        "enhance_reasoning_exec_ms",
        "Program execution",
        "ms",
        _REASONINGS,
        "exec_ms",
        "execution as the client saw it, queueing at the sandbox included",
    ),
    Metric(
        "orchestrator_queue_ms", "Orchestrator: queue", "ms", _ORCHESTRATOR, "queue_ms", "waiting in vLLM's scheduler"
    ),
    Metric(
        "orchestrator_prefill_ms",
        "Orchestrator: prefill",
        "ms",
        _ORCHESTRATOR,
        "prefill_ms",
        "from scheduling to the first token, by the server's own clock",
    ),
    Metric(
        "orchestrator_decode_ms", "Orchestrator: decode", "ms", _ORCHESTRATOR, "decode_ms", "from first to last token"
    ),
    Metric(
        "orchestrator_itl_ms", "Orchestrator: inter-token", "ms", _ORCHESTRATOR, "itl_ms", "mean time between tokens"
    ),
    Metric(
        "orchestrator_overhead_ms",
        "Orchestrator: overhead",
        "ms",
        _ORCHESTRATOR,
        "overhead_ms",
        "the call's wall time less queue, prefill and decode",
    ),
    Metric(
        "orchestrator_wait_ms",
        "Orchestrator: client wait",
        "ms",
        _ORCHESTRATOR,
        "wait_ms",
        "limiter, breaker and retries before the attempt that counted",
    ),
    Metric(
        "orchestrator_call_ms",
        "Orchestrator: whole call",
        "ms",
        _ORCHESTRATOR,
        "duration_ms",
        "wall time of the attempt that counted",
    ),
    Metric(
        "orchestrator_prompt_tokens",
        "Orchestrator: prompt",
        "tokens",
        _ORCHESTRATOR,
        "prompt_tokens",
        "prompt tokens of a turn, cached ones included",
    ),
    Metric(
        "orchestrator_cached_tokens",
        "Orchestrator: cached prompt",
        "tokens",
        _ORCHESTRATOR,
        "cached_tokens",
        "prompt tokens that the prefix cache held",
    ),
    Metric(
        "orchestrator_completion_tokens",
        "Orchestrator: completion",
        "tokens",
        _ORCHESTRATOR,
        "completion_tokens",
        "tokens that a turn wrote",
    ),
    Metric(
        "orchestrator_total_tokens",
        "Orchestrator: prompt and completion",
        "tokens",
        _ORCHESTRATOR,
        "prompt_tokens + completion_tokens",
        "prompt and completion tokens of a turn",
    ),
    Metric("task_duration_ms", "Task: duration", "ms", _TASKS, "duration_ms", "active wall time of a task"),
    Metric("task_cost_usd", "Task: cost", "usd", _TASKS, "cost_usd", "cost of a task's calls with a known price"),
    Metric("task_rounds", "Task: rounds", "rounds", _TASKS, "rounds", "orchestrator turns of a task"),
    Metric(
        "retrieval_ms",
        "Retrieval",
        "ms",
        _SEARCHES,
        "retrieval_ms",
        "search as the client saw it, queueing and web fallback included",
    ),
    Metric(
        "retrieval_queue_ms",
        "Retrieval: queue",
        "ms",
        _SEARCHES,
        "retrieval_queue_ms",
        "waiting for a batch, by the service's own clock",
    ),
    Metric(
        "retrieval_encode_ms",
        "Retrieval: encode",
        "ms",
        _SEARCHES,
        "retrieval_encode_ms",
        "encoding of the batch that held the query",
    ),
    Metric(
        "retrieval_search_ms",
        "Retrieval: search",
        "ms",
        _SEARCHES,
        "retrieval_search_ms",
        "index search of the batch that held the query",
    ),
    _expert("search"),
    _expert("enhance_reasoning"),
    _expert("answer"),
    Metric(
        "judge_call_ms",
        "Judge call",
        "ms",
        _calls("judge calls", _OTHER_CALLS, "role = 'judge' AND NOT coalesce(rejudge, false)"),
        "duration_ms",
        "the attempt of the judge's call that counted",
    ),
)


def _of_fields() -> Iterator[Metric]:
    """A metric for every duration of a turn or a tool call that none of _CHOSEN takes as it is."""
    for cls, source, prefix in ((LlmCall, _ORCHESTRATOR, "orchestrator_"), (ToolCall, _TOOL_CALLS, "")):
        taken = {metric.value for metric in _CHOSEN if metric.source.family == source.family}
        for field in event_fields(cls):
            if field.unit == "ms" and field.use is not Use.LOG_ONLY and field.name not in taken:
                yield Metric(
                    f"{prefix}{field.name}",
                    f"{'Orchestrator' if prefix else 'Tools'}: {field.name.removesuffix('_ms').replace('_', ' ')}",
                    "ms",
                    source,
                    field.name,
                    f"{cls.__name__}.{field.name} in docs/events.md; calls without that part count as missing",
                )


METRICS: Final[tuple[Metric, ...]] = (*_CHOSEN, *_of_fields())
