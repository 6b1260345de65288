"""A finished task as tasks/<key>.json holds it: all that the report shows and a rejudge needs."""

import hashlib
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from podium_contracts.names import Ending, ErrorType, Protocol, TaskStatus, ToolStatus
from podium_contracts.text.surrogates import lossless_bytes

RECORD_VERSION: Final = 1

KINDS: Final = " | "
"""Between the kinds of a question where they are one text."""

REJUDGE_LOG: Final = "rejudge.jsonl"
"""In the run's folder: the events of its rejudges, apart from the run's own in events.jsonl."""

_UNSAFE = re.compile(r"[^a-z0-9-]+")


def task_key(task_id: str, epoch: int = 1) -> str:
    """A file name for any id: at most 61 characters of [a-z0-9._-], different for ids that differ at all.

    The readable part is for people; the hash over the exact id and epoch keeps ids apart that differ only in case,
    in what was cut, or in what a file name cannot hold.
    """
    readable = _UNSAFE.sub("-", task_id.lower()).strip("-")[:32] or "task"
    digest = hashlib.sha256(lossless_bytes(f"{epoch}\0{task_id}")).hexdigest()[:16]
    return f"{readable}.{epoch}.{digest}"


@dataclass(slots=True, kw_only=True)
class Turn:
    """One orchestrator turn and what its tool brought. Durations are the events'; this is the content.

    orchestrator, experts and judge carry prompts only where a debugging setting asked for them.
    """

    step: int
    tool: str
    alias: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    content: str | None = None
    """The orchestrator's text beside the call."""
    reasoning: str | None = None
    status: ToolStatus
    error_type: ErrorType | None = None
    error_message: str | None = None
    provider: str | None = None
    model: str | None = None
    query: str | None = None
    documents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """New documents of this turn: id, title, contents, score, source, url."""
    code: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    exec_status: str | None = None
    exit_code: int | None = None
    response: str | None = None
    """The expert's full text."""
    result: str | None = None
    """What an added tool brought, as the orchestrator is shown it."""
    orchestrator_ms: float | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    wait_ms: float | None = None
    tool_ms: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class Judgement:
    """One grading of the saved answer. The first is the run's own; rejudging appends."""

    protocol: Protocol
    provider: str | None = None
    model: str | None = None
    method: str
    """exact_match, model, majority (of several judges: votes), or unanswered."""
    correct: bool | None
    grade: str | None = None
    """Where the protocol has more grades than two: correct, incorrect or not_attempted."""
    extracted_answer: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    confidence_stated: bool | None = None
    prompt_hash: str | None = None
    ts: str
    judge: str | None = None
    """provider/model as configured; `model` is the server's own word. None when no model was asked."""
    duration_ms: float | None = None
    cost_usd: float | None = None
    error_type: ErrorType | None = None
    error_message: str | None = None
    tied: bool = False
    """Equal votes for right and wrong: no majority for right, so not correct."""
    votes: list["Judgement"] = field(default_factory=list["Judgement"])
    """Of a majority: each judge's own judgement."""

    @property
    def by_judge(self) -> list["Judgement"]:
        """The votes of a majority; else itself."""
        return self.votes or [self]


@dataclass(slots=True, kw_only=True)
class TaskRecord:
    """tasks/<key>.json."""

    record_version: int = RECORD_VERSION
    run_id: str
    key: str
    task_id: str
    epoch: int = 1
    eid: int
    question: str
    gold_answer: str
    answer_type: str | None = None
    category: str | None = None
    subject: str | None = None
    verified_class: str | None = None
    kinds: list[str] = field(default_factory=list[str])
    """The benchmark's kinds of this question, such as FRAMES' reasoning types."""
    has_image: bool = False
    status: TaskStatus
    ending: Ending
    correct: bool | None
    confidence: float | None = None
    answer: str | None = None
    """The extracted answer; None when there is none."""
    answer_text: str | None = None
    """The answering expert's full text."""
    answer_alias: str | None = None
    answer_model: str | None = None
    judgements: list[Judgement] = field(default_factory=list[Judgement])
    turns: list[Turn] = field(default_factory=list[Turn])
    rounds: int
    invalid_turns: int = 0
    attempts: int = 1
    segment: int = 1
    started_ts: str
    finished_ts: str
    duration_ms: float
    cost_usd: float | None = None
    n_unpriced: int = 0
    error_type: ErrorType | None = None
    error_message: str | None = None
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for json.dumps."""
        return asdict(self)


def record_from_json(raw: dict[str, Any]) -> TaskRecord:
    """The inverse of to_json; unknown fields of a newer minor version are dropped.

    Raises:
        ValueError: a newer record version, or a field that must be there is not.
    """
    version = raw.get("record_version")
    if not isinstance(version, int) or version > RECORD_VERSION:
        raise ValueError(f"record version {version!r}; this Podium reads up to {RECORD_VERSION}")
    try:
        known = {k: v for k, v in raw.items() if k in TaskRecord.__dataclass_fields__}
        known["turns"] = [
            Turn(**{k: v for k, v in t.items() if k in Turn.__dataclass_fields__}) for t in raw.get("turns", [])
        ]
        known["judgements"] = [_judgement(j) for j in raw.get("judgements", [])]
        return TaskRecord(**known)
    except TypeError as error:
        raise ValueError(f"task record {raw.get('key')!r}: {error}") from error


def _judgement(raw: dict[str, Any]) -> Judgement:
    known = {k: v for k, v in raw.items() if k in Judgement.__dataclass_fields__}
    known["votes"] = [_judgement(vote) for vote in raw.get("votes", [])]
    return Judgement(**known)
