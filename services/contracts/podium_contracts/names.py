"""The sets of names: roles, endings, failures, built-in tools. Each is a Literal and a tuple of the same values."""

from collections.abc import Mapping
from typing import Literal, get_args

Role = Literal["orchestrator", "expert", "judge"]
Protocol = str
"""How answers are graded: of PROTOCOLS, or of a benchmark (frames, simpleqa, another package's own)."""
TimingSource = Literal["server", "client"]

TaskStatus = Literal["done", "error", "skipped"]
"""done: the episode ran to an ending of its own. error: infrastructure failed; resume runs it again.
skipped: never started, by a setting (an image question without an expert that can see), or cancelled by a person."""

Ending = Literal["answered", "round_limit", "context_limit", "time_limit", "error", "cancelled", "skipped"]
"""Why an episode stopped. Only `answered` has an answer to grade; the three limits are unanswered questions."""

ToolStatus = Literal["ok", "failed", "invalid"]
"""failed: the tool ran and could not deliver. invalid: the turn named no tool or no model that exists."""

ErrorType = Literal[
    "auth",
    "rate_limit",
    "timeout",
    "connection",
    "server_error",
    "bad_response",
    "context_length",
    "content_filter",
    "unknown_model",
    "bad_request",
    "tool_error",
    "sandbox_error",
    "retrieval_error",
    "judge_error",
    "internal",
]

ControlAct = Literal["pause", "resume", "concurrency", "limit", "cancel", "requeue", "stop"]
"""What a person can do to a run that is on."""

NOT_ATTEMPTED = "not_attempted"
"""The grade of an answer that neither agrees with the reference nor contradicts it: not right, not a mistake."""

ROLES: tuple[Role, ...] = get_args(Role)
CONTROL_ACTS: tuple[ControlAct, ...] = get_args(ControlAct)
TOOLS: tuple[str, ...] = ("search", "enhance_reasoning", "answer")
"""The built-in tools. A run may have others, by entry points and MCP servers; any name stands in events as it is."""
PROTOCOLS: tuple[Protocol, ...] = ("hle", "toolorchestra")
ENDINGS: tuple[Ending, ...] = get_args(Ending)
ERROR_TYPES: tuple[ErrorType, ...] = get_args(ErrorType)
PERMANENT: frozenset[ErrorType] = frozenset(
    {"auth", "unknown_model", "context_length", "content_filter", "bad_request"}
)
"""Failures that the same request would meet again: never retried within a run."""

EXPERTS: Mapping[str, tuple[str, ...]] = {
    "search": ("search-1", "search-2", "search-3"),
    "enhance_reasoning": ("reasoner-1", "reasoner-2", "reasoner-3"),
    "answer": ("answer-1", "answer-2", "answer-3", "answer-4", "answer-math-1", "answer-math-2"),
}
"""The aliases of the experts that each tool may name."""

ALIASES: tuple[str, ...] = tuple(alias for aliases in EXPERTS.values() for alias in aliases)
"""The twelve experts an orchestrator may name; the thirteenth model of a run is the judge."""
