"""Which fields of events.jsonl become columns, their SQL types, and what each event must have to be counted."""

from typing import Final

from podium_contracts.names import ROLES

_NUMBERS = (
    "mono_ms",
    "duration_ms",
    "queue_ms",
    "prefill_ms",
    "decode_ms",
    "itl_ms",
    "overhead_ms",
    "wait_ms",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_usd",
    "duration_total_ms",
    "expert_ms",
    "judge_ms",
    "exec_ms",
    "query_ms",
    "retrieval_ms",
    "web_ms",
    "web_searches",
    "web_pages",
    "code_ms",
    "retrieval_queue_ms",
    "retrieval_encode_ms",
    "retrieval_search_ms",
    "confidence",
    "active_before_ms",
)
_COUNTS = (
    "eid",
    "epoch",
    "step",
    "segment",
    "resumed_at_step",
    "rounds",
    "invalid_turns",
    "n_unpriced",
    "n_web_failed",
    "schema_version",
    "concurrency",
    "max_rounds",
    "n_tasks",
)
_TEXTS = (
    "type",
    "task_id",
    "role",
    "tool",
    "alias",
    "provider",
    "model",
    "server",
    "web_error",
    "status",
    "exec_status",
    "error_type",
    "ending",
    "protocol",
    "reason",
)
_FLAGS = ("correct", "rejudge")

COLUMNS: Final[dict[str, str]] = {
    **dict.fromkeys(_TEXTS, "VARCHAR"),
    **dict.fromkeys(_COUNTS, "INTEGER"),
    **dict.fromkeys(_NUMBERS, "DOUBLE"),
    **dict.fromkeys(_FLAGS, "BOOLEAN"),
}
"""Column of the table `events` -> SQL type. A field that a log lacks (an older one, another event's) is NULL there."""

REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "run_start": ("schema_version",),
    "task_start": ("task_id", "mono_ms"),
    "llm_call": ("role", "duration_ms", "mono_ms"),
    "tool_call": ("tool", "status", "duration_ms", "duration_total_ms", "mono_ms"),
    "judge": ("duration_ms", "mono_ms"),
    "limit": (),
    "breaker": (),
    "task_complete": ("task_id", "status", "ending", "rounds", "duration_ms", "mono_ms"),
    "run_end": ("reason",),
}
"""Event type -> fields without which a line is reported as bad and left out."""

CLOSED: Final[dict[str, tuple[str, ...]]] = {"type": tuple(sorted(REQUIRED)), "role": tuple(sorted(ROLES))}
"""Texts that take these values alone. Held as numbers that sort like their texts: nearly every query asks for them, and
a text compared in every row is what it would wait for."""

NUMBERS: Final = _NUMBERS

IN_TIME: Final = "coalesce(segment, 1), coalesce(mono_ms, 0)"
"""SQL to order events by: as they were written. The table itself may have them in any order."""

KIND: Final = (
    "type",
    "role",
    "tool",
    "alias",
    "provider",
    "model",
    "server",
    "status",
    "exec_status",
    "error_type",
    "rejudge",
)
"""What events are counted by: those that have all of these alike are one kind, of which a log has some dozens."""
