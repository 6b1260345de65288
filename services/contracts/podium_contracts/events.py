"""The events of a run, one JSON object a line in events.jsonl.

Durations are milliseconds of a monotonic clock, `ts` is UTC and may step; `mono_ms` counts from the start of the
segment and never goes back. An event is written when what it describes has ended, so that began at
mono_ms - duration (llm_call: wait_ms before that; tool_call: duration_total_ms). None means not known: never zero.
Each line has its task's fields (null where it is no task's) and of the others those that are known, which makes the log
a quarter shorter: what a line leaves out is null in jq, pandas and DuckDB.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from podium_contracts.call_events import Judge as Judge
from podium_contracts.call_events import LlmCall as LlmCall
from podium_contracts.call_events import ToolCall as ToolCall
from podium_contracts.event import LOG_ONLY
from podium_contracts.event import Event as Event
from podium_contracts.event import Stamp as Stamp
from podium_contracts.levels import LEVELS, PROFILE
from podium_contracts.names import ControlAct, Ending, ErrorType, Protocol, TaskStatus

SCHEMA_VERSION: Final = 1
"""Raised when a field changes its meaning or goes. A new optional field does not raise it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart(Event):
    """The first line of a segment."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    NEEDS: ClassVar[tuple[str, ...]] = ("schema_version",)
    type: Literal["run_start"] = "run_start"
    schema_version: int = SCHEMA_VERSION
    protocol: Protocol
    concurrency: int
    max_rounds: int
    n_tasks: int
    """Tasks of the whole run, epochs counted."""
    n_finished: Annotated[int, LOG_ONLY]
    """Tasks that earlier segments finished."""
    dataset_sha256: Annotated[str, LOG_ONLY]
    orchestrator_model: Annotated[str, LOG_ONLY]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStart(Event):
    """A task was taken (again, when attempt > 1 or resumed_at_step is set)."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    NEEDS: ClassVar[tuple[str, ...]] = ("task_id", "mono_ms")
    type: Literal["task_start"] = "task_start"
    attempt: Annotated[int, LOG_ONLY] = 1
    resumed_at_step: int | None = None
    active_before_ms: float | None = None
    """What earlier attempts and segments put into the task's duration_ms; 0 for one that begins afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Event):
    """A provider's concurrency limit moved, or the provider takes no calls for a long while."""

    LEVEL: ClassVar[int] = PROFILE
    type: Literal["limit"] = "limit"
    provider: str
    limit: Annotated[int, LOG_ONLY]
    previous: Annotated[int, LOG_ONLY]
    in_flight: Annotated[int, LOG_ONLY]
    reason: str
    locked_out_ms: float | None = None
    """How long no call is sent, when the provider's Retry-After is a lockout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(Event):
    """A service went down, is being probed, or came back."""

    LEVEL: ClassVar[int] = LEVELS["WARNING"]
    type: Literal["breaker"] = "breaker"
    service: Annotated[str, LOG_ONLY]
    state: Annotated[Literal["closed", "open", "half_open"], LOG_ONLY]
    reason: str
    waiting: Annotated[int, LOG_ONLY]
    open_ms: Annotated[float | None, LOG_ONLY] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Event):
    """A person's control of the run (podium-eval ctl, or the live page)."""

    LEVEL: ClassVar[int] = LEVELS["WARNING"]
    type: Literal["control"] = "control"
    act: ControlAct
    """The step of a task in flight that was cancelled or requeued."""
    source: Annotated[Literal["shell", "page"], LOG_ONLY]
    value: Annotated[int | None, LOG_ONLY] = None
    """Of concurrency and limit: what it is now."""
    previous: Annotated[int | None, LOG_ONLY] = None
    """And what it was."""
    provider: Annotated[str | None, LOG_ONLY] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComplete(Event):
    """A task's end; duration_ms is active time over all its segments, waiting for limits included."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    NEEDS: ClassVar[tuple[str, ...]] = ("task_id", "status", "ending", "rounds", "duration_ms", "mono_ms")
    type: Literal["task_complete"] = "task_complete"
    status: TaskStatus
    ending: Ending
    correct: bool | None
    """None: ungraded (the judge failed, or the task did)."""
    grade: str | None = None
    """Where the protocol has more grades than two: correct, incorrect or not_attempted."""
    confidence: float | None = None
    rounds: int
    invalid_turns: int = 0
    duration_ms: float
    cost_usd: float | None = None
    """Sum over model calls and what tools paid by the piece; None when no price is known. See n_unpriced."""
    n_unpriced: int = 0
    """Calls and pieces (see ToolCall) without a known price."""
    category: str | None = None
    subject: str | None = None
    answer_type: str | None = None
    verified_class: str | None = None
    """How well the dataset's makers checked the question: certified, revised, uncertain or a word of their own."""
    kinds: str | None = None
    """What kinds the benchmark counts the question among (FRAMES: its reasoning types), joined by " | "."""
    has_image: bool | None = None
    """Of the question, as these five; older logs have them in the task's record alone."""
    error_type: ErrorType | None = None
    error_message: Annotated[str | None, LOG_ONLY] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Event):
    """The last line of a segment that ended in good order."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = True
    NEEDS: ClassVar[tuple[str, ...]] = ("reason",)
    type: Literal["run_end"] = "run_end"
    reason: Literal[
        "finished", "interrupted", "auth_failures", "budget", "disk_full", "internal", "trouble", "half_width"
    ]
    duration_ms: float
    n_done: Annotated[int, LOG_ONLY]
    n_error: Annotated[int, LOG_ONLY]
    n_skipped: Annotated[int, LOG_ONLY]
    n_left: Annotated[int, LOG_ONLY]
    """Tasks not taken or put back: a resume takes them."""
    n_web_failed: int = 0
    """Searches of this segment for which the web failed; see ToolCall.web_error."""


AnyEvent = RunStart | TaskStart | LlmCall | ToolCall | Judge | Limit | Breaker | Control | TaskComplete | RunEnd

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    "run_start": RunStart,
    "task_start": TaskStart,
    "llm_call": LlmCall,
    "tool_call": ToolCall,
    "judge": Judge,
    "limit": Limit,
    "breaker": Breaker,
    "control": Control,
    "task_complete": TaskComplete,
    "run_end": RunEnd,
}

_FIELDS: dict[type[Event], tuple[str, ...]] = {
    cls: ("type", *(f.name for f in fields(cls) if f.name != "type")) for cls in EVENT_TYPES.values()
}
_WHOSE: Final = frozenset(f.name for f in fields(Event))


def _rounded(ms: Any) -> Any:
    """To a microsecond; of an object each of its numbers."""
    if isinstance(ms, dict):
        return {part: round(duration, 3) for part, duration in cast("dict[str, float]", ms).items()}
    return round(ms, 3)


def event_to_json(event: Event) -> dict[str, Any]:
    """What every event carries and what is known besides, in a fixed order, `type` first; durations to the microsecond.

    ts, level and mono_ms are the writer's.
    """
    line: dict[str, Any] = {}
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if value is not None:
            line[name] = _rounded(value) if name.endswith("_ms") else value
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
