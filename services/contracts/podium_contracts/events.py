"""The events of a run, one JSON object a line in events.jsonl.

Durations are milliseconds of a monotonic clock, `ts` is UTC and may step; `mono_ms` counts from the start of the
segment and never goes back. An event is written when the thing it tells of has ended, so it began at
mono_ms - duration (llm_call: wait_ms before that; tool_call: duration_total_ms). None means not known: never zero.
Each line tells whose it is (null where it is no task's); of the other fields those that are known, which makes the log
a quarter shorter: what a line leaves out is null in jq, pandas and DuckDB.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Literal

from podium_contracts.levels import LEVELS, PROFILE, USER_JUDGE
from podium_contracts.names import (
    Ending,
    ErrorType,
    Protocol,
    Role,
    TaskStatus,
    TimingSource,
    Tool,
    ToolStatus,
)

SCHEMA_VERSION: Final = 1
"""Raised when a field changes its meaning or goes. A new optional field does not raise it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries. ts and mono_ms are stamped by the one writer's front when the event is emitted."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = False
    """True: no level setting filters this event out."""

    run_id: str
    task_id: str | None = None
    eid: int | None = None
    """The question's index in the dataset, from 0."""
    epoch: int = 1
    step: int | None = None
    """The orchestrator's turn within the episode, from 1."""
    segment: int = 1
    """Which start of this run wrote the event: a run that was resumed n times has n + 1 segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart(Event):
    """The first line of a segment."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    type: Literal["run_start"] = "run_start"
    schema_version: int = SCHEMA_VERSION
    protocol: Protocol
    concurrency: int
    max_rounds: int
    n_tasks: int
    """Tasks of the whole run, epochs counted."""
    n_finished: int
    """Tasks that earlier segments finished."""
    dataset_sha256: str
    orchestrator_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStart(Event):
    """A task was taken (again, when attempt > 1 or resumed_at_step is set)."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    type: Literal["task_start"] = "task_start"
    attempt: int = 1
    resumed_at_step: int | None = None
    active_before_ms: float | None = None
    """What earlier attempts and segments put into the task's duration_ms; 0 for one that begins afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmCall(Event):
    """One answered or failed call of a model, retries inside it."""

    LEVEL: ClassVar[int] = PROFILE
    type: Literal["llm_call"] = "llm_call"
    role: Role
    tool: Tool | None = None
    """The tool that made the call; None for an orchestrator turn."""
    alias: str | None = None
    provider: str
    model: str
    """The model that answered, by the server's own word where it gave one."""
    server: str | None = None
    """Base address that answered, without credentials."""
    duration_ms: float
    """Wall time of the attempt that counted, from sending to the last byte."""
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    itl_ms: float | None = None
    """Mean time between output tokens."""
    first_token_ms: float | None = None
    """Of a streamed call: from sending to the first token as the client saw it. Not prefill: it holds the network, the
    queue and the tokens that a tool parser kept back."""
    overhead_ms: float | None = None
    """duration_ms less queue, prefill and decode; None unless all three are known."""
    wait_ms: float = 0.0
    """Limiter, breaker and retries before the attempt that counted: limiter_ms + retry_ms."""
    limiter_ms: float = 0.0
    retry_ms: float = 0.0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    timing_source: TimingSource = "client"
    attempts: int = 1
    finish_reason: str | None = None
    cost_usd: float | None = None
    """None: the price of this model is not known."""
    truncated_tokens: int | None = None
    """Prompt tokens cut away to fit the model's context; None when nothing was cut."""
    token_count: Literal["tokenizer", "estimate"] | None = None
    rejudge: bool = False
    """A judge's call of a rejudge: not part of what the run itself cost."""
    error_type: ErrorType | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Event):
    """One turn's tool, whole. duration_total_ms = the sum of its parts and a small rest.

    duration_ms is the tool's own part: of answer the expert's, of search and enhance_reasoning all of it.
    """

    LEVEL: ClassVar[int] = PROFILE
    type: Literal["tool_call"] = "tool_call"
    tool: str
    """search, enhance_reasoning or answer; with status invalid, what the turn named, or '' for nothing."""
    alias: str | None = None
    provider: str | None = None
    model: str | None = None
    duration_ms: float
    duration_total_ms: float
    expert_ms: float | None = None
    """The expert's call with its waits: of search the query writer's (same value as query_ms)."""
    judge_ms: float | None = None
    exec_ms: float | None = None
    """Execution as the client saw it, queueing at the sandbox included."""
    query_ms: float | None = None
    retrieval_ms: float | None = None
    """Search as the client saw it, queueing and web fallback included."""
    web_ms: float | None = None
    web_searches: int | None = None
    """Searches of the web to be paid for: 0 for one whose pages were kept from before or shared with another task."""
    web_pages: int | None = None
    """Pages of the web whose text was extracted, to be paid for."""
    web_error: str | None = None
    """Why the web gave nothing or only snippets though it was wanted: auth, rate_limit, plan_limit, timeout, …"""
    retrieval_queue_ms: float | None = None
    retrieval_encode_ms: float | None = None
    retrieval_search_ms: float | None = None
    retrieval_batch_size: int | None = None
    n_documents: int | None = None
    n_new_documents: int | None = None
    exec_status: str | None = None
    code_ms: float | None = None
    """The program's own time by the sandbox's word: exec_ms without queue and network."""
    cost_usd: float | None = None
    """What was paid by the piece, beside the models' calls: searches, pages, seconds of code. None: nothing that has a
    known price. See n_unpriced."""
    n_unpriced: int = 0
    """Kinds of such pieces that were used and whose price or number is not known."""
    status: ToolStatus
    error_type: ErrorType | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge(Event):
    """A judgement, or the failure to get one (correct None and error_type set)."""

    LEVEL: ClassVar[int] = USER_JUDGE
    type: Literal["judge"] = "judge"
    protocol: Protocol
    provider: str | None = None
    """None when the answer matched exactly and no model was asked."""
    model: str | None = None
    duration_ms: float
    correct: bool | None
    confidence: float | None = None
    """Percent, 0 to 100."""
    confidence_stated: bool | None = None
    """False: the answer stated none and the protocol's default stands in."""
    method: Literal["exact_match", "model"] = "model"
    rejudge: bool = False
    error_type: ErrorType | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Event):
    """A provider's concurrency limit moved."""

    LEVEL: ClassVar[int] = PROFILE
    type: Literal["limit"] = "limit"
    provider: str
    limit: int
    previous: int
    in_flight: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(Event):
    """A service went down, is being probed, or came back."""

    LEVEL: ClassVar[int] = LEVELS["WARNING"]
    type: Literal["breaker"] = "breaker"
    service: str
    state: Literal["closed", "open", "half_open"]
    reason: str
    waiting: int
    open_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComplete(Event):
    """A task's end; duration_ms is active time over all its segments, waiting for limits included."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    type: Literal["task_complete"] = "task_complete"
    status: TaskStatus
    ending: Ending
    correct: bool | None
    """None: ungraded (the judge failed, or the task did)."""
    confidence: float | None = None
    rounds: int
    invalid_turns: int = 0
    duration_ms: float
    cost_usd: float | None = None
    """Sum over model calls and what tools paid by the piece; None when no price is known. See n_unpriced."""
    n_unpriced: int = 0
    """Calls and pieces (see ToolCall) without a known price."""
    error_type: ErrorType | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Event):
    """The last line of a segment that ended in good order."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    type: Literal["run_end"] = "run_end"
    reason: Literal["finished", "interrupted", "auth_failures", "budget", "disk_full", "internal", "trouble"]
    duration_ms: float
    n_done: int
    n_error: int
    n_skipped: int
    n_left: int
    """Tasks not taken or put back: a resume takes them."""
    n_web_failed: int = 0
    """Searches of this segment for which the web failed; see ToolCall.web_error."""


AnyEvent = RunStart | TaskStart | LlmCall | ToolCall | Judge | Limit | Breaker | TaskComplete | RunEnd

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    "run_start": RunStart,
    "task_start": TaskStart,
    "llm_call": LlmCall,
    "tool_call": ToolCall,
    "judge": Judge,
    "limit": Limit,
    "breaker": Breaker,
    "task_complete": TaskComplete,
    "run_end": RunEnd,
}

_FIELDS: dict[type[Event], tuple[str, ...]] = {
    cls: ("type", *(f.name for f in fields(cls) if f.name != "type")) for cls in EVENT_TYPES.values()
}
_WHOSE: Final = frozenset(f.name for f in fields(Event))


def event_to_json(event: Event) -> dict[str, Any]:
    """What every event carries and what is known besides, in a fixed order, `type` first; durations to the microsecond.

    ts, level and mono_ms are the writer's.
    """
    line: dict[str, Any] = {}
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if value is not None:
            line[name] = round(value, 3) if name.endswith("_ms") else value
        elif name in _WHOSE:
            line[name] = None
    return line


class NewerSchema(ValueError):
    """The log was written by a newer Podium than the one reading it."""


def check_schema(version: int) -> None:
    """Refuse a log newer than this code.

    Raises:
        NewerSchema: with both versions and what to do.
    """
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"the log has schema version {version}, this Podium reads up to {SCHEMA_VERSION}: upgrade podium-analysis"
        )
