"""Every metric: its name (its unit last), where its values come from, and what counts as a success."""

from collections.abc import Iterator
from typing import Final

from podium_contracts.event import Use, event_fields
from podium_contracts.events import LlmCall, ToolCall

from podium_analysis.metrics.metric import Metric
from podium_analysis.metrics.sources import (
    ANSWERS,
    JUDGE_CALLS,
    ORCHESTRATOR,
    OTHER_CALLS,
    REASONINGS,
    SEARCHES,
    TASKS,
    TOOL_CALLS,
    WAITING_TOOLS,
    calls,
)


def _expert(tool: str) -> Metric:
    return Metric(
        f"{tool}_expert_call_ms",
        f"Expert call of {tool}",
        "ms",
        calls(f"expert calls of {tool}", OTHER_CALLS, f"role = 'expert' AND tool = '{tool}'"),
        "duration_ms",
        f"the attempt of the expert's call that counted, in {tool}; limiter and retries are not in it",
    )


_CHOSEN: Final[tuple[Metric, ...]] = (
    Metric(
        "tool_call_ms",
        "Tool calls",
        "ms",
        TOOL_CALLS,
        "duration_ms",
        "wall time of all tools' calls; of answer the expert's part",
    ),
    Metric("search_ms", "search", "ms", SEARCHES, "duration_ms", "wall time of search: query, retrieval and web"),
    Metric(
        "enhance_reasoning_ms",
        "enhance_reasoning",
        "ms",
        REASONINGS,
        "duration_ms",
        "wall time of enhance_reasoning: expert and execution",
    ),
    Metric("answer_ms", "answer: expert", "ms", ANSWERS, "duration_ms", "the expert's part of answer, waits included"),
    Metric("answer_judge_ms", "answer: judge", "ms", ANSWERS, "judge_ms", "the judge's part of answer"),
    Metric("answer_total_ms", "answer: total", "ms", ANSWERS, "duration_total_ms", "answer whole: expert and judge"),
    Metric(
        "enhance_reasoning_exec_ms",
        "Program execution",
        "ms",
        REASONINGS,
        "exec_ms",
        "execution as the client saw it, queueing at the sandbox included",
    ),
    Metric(
        "orchestrator_queue_ms", "Orchestrator: queue", "ms", ORCHESTRATOR, "queue_ms", "waiting in vLLM's scheduler"
    ),
    Metric(
        "orchestrator_prefill_ms",
        "Orchestrator: prefill",
        "ms",
        ORCHESTRATOR,
        "prefill_ms",
        "from scheduling to the first token, by the server's own clock",
    ),
    Metric(
        "orchestrator_decode_ms", "Orchestrator: decode", "ms", ORCHESTRATOR, "decode_ms", "from first to last token"
    ),
    Metric(
        "orchestrator_itl_ms", "Orchestrator: inter-token", "ms", ORCHESTRATOR, "itl_ms", "mean time between tokens"
    ),
    Metric(
        "orchestrator_overhead_ms",
        "Orchestrator: overhead",
        "ms",
        ORCHESTRATOR,
        "overhead_ms",
        "the call's wall time less queue, prefill and decode",
    ),
    Metric(
        "orchestrator_wait_ms",
        "Orchestrator: client wait",
        "ms",
        ORCHESTRATOR,
        "wait_ms",
        "limiter, breaker and retries before the attempt that counted",
    ),
    Metric(
        "orchestrator_call_ms",
        "Orchestrator: whole call",
        "ms",
        ORCHESTRATOR,
        "duration_ms",
        "wall time of the attempt that counted",
    ),
    Metric(
        "orchestrator_prompt_tokens",
        "Orchestrator: prompt",
        "tokens",
        ORCHESTRATOR,
        "prompt_tokens",
        "prompt tokens of a turn, cached ones included",
    ),
    Metric(
        "orchestrator_cached_tokens",
        "Orchestrator: cached prompt",
        "tokens",
        ORCHESTRATOR,
        "cached_tokens",
        "prompt tokens that the prefix cache held",
    ),
    Metric(
        "orchestrator_completion_tokens",
        "Orchestrator: completion",
        "tokens",
        ORCHESTRATOR,
        "completion_tokens",
        "tokens that a turn wrote",
    ),
    Metric(
        "orchestrator_total_tokens",
        "Orchestrator: prompt and completion",
        "tokens",
        ORCHESTRATOR,
        "prompt_tokens + completion_tokens",
        "prompt and completion tokens of a turn",
    ),
    Metric("task_duration_ms", "Task: duration", "ms", TASKS, "duration_ms", "active wall time of a task"),
    Metric("task_cost_usd", "Task: cost", "usd", TASKS, "cost_usd", "cost of a task's calls with a known price"),
    Metric("task_rounds", "Task: rounds", "rounds", TASKS, "rounds", "orchestrator turns of a task"),
    Metric(
        "retrieval_ms",
        "Retrieval",
        "ms",
        SEARCHES,
        "retrieval_ms",
        "search as the client saw it, queueing and web fallback included",
    ),
    Metric(
        "retrieval_queue_ms",
        "Retrieval: queue",
        "ms",
        SEARCHES,
        "retrieval_queue_ms",
        "waiting for a batch, by the service's own clock",
    ),
    Metric(
        "retrieval_encode_ms",
        "Retrieval: encode",
        "ms",
        SEARCHES,
        "retrieval_encode_ms",
        "encoding of the batch that held the query",
    ),
    Metric(
        "retrieval_search_ms",
        "Retrieval: search",
        "ms",
        SEARCHES,
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
        JUDGE_CALLS,
        "duration_ms",
        "the attempt of the judge's call that counted",
    ),
    Metric(
        "expert_queue_ms",
        "Experts: queue",
        "ms",
        calls("expert calls", OTHER_CALLS, "role = 'expert'"),
        "queue_ms",
        "queueing in the expert's server; missing where it reports none",
    ),
    Metric(
        "judge_queue_ms",
        "Judge: queue",
        "ms",
        JUDGE_CALLS,
        "queue_ms",
        "queueing in the judge's server; missing where it reports none",
    ),
    Metric(
        "tool_wait_ms",
        "Tools: client wait",
        "ms",
        WAITING_TOOLS,
        "wait_ms",
        "limiter, breaker and retries of the model calls that a tool call made; missing where it made none",
    ),
    Metric(
        "tool_queue_ms",
        "Tools: queue",
        "ms",
        WAITING_TOOLS,
        "queue_ms",
        "queueing of a tool call's requests at model servers and retrieval, where they report it",
    ),
)


def _of_fields() -> Iterator[Metric]:
    """A metric for every duration of a turn or a tool call that none of _CHOSEN takes as it is."""
    for cls, source, prefix in ((LlmCall, ORCHESTRATOR, "orchestrator_"), (ToolCall, TOOL_CALLS, "")):
        taken = {metric.value for metric in _CHOSEN if metric.source.family == source.family}
        for field in event_fields(cls):
            if (
                field.unit == "ms"
                and field.sort == "number"
                and field.use is not Use.LOG_ONLY
                and field.name not in taken
            ):
                yield Metric(
                    f"{prefix}{field.name}",
                    f"{'Orchestrator' if prefix else 'Tools'}: {field.name.removesuffix('_ms').replace('_', ' ')}",
                    "ms",
                    source,
                    field.name,
                    f"{cls.__name__}.{field.name} in docs/events.md; calls without that part count as missing",
                )


METRICS: Final[tuple[Metric, ...]] = (*_CHOSEN, *_of_fields())
