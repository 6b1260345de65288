"""The events of calls: of a model, of a tool, of a judge."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from podium_contracts.event import LOG_ONLY, QUANTITY, Event
from podium_contracts.levels import PROFILE, USER_JUDGE
from podium_contracts.names import ErrorType, Protocol, Role, TimingSource, ToolStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmCall(Event):
    """One answered or failed call of a model, retries inside it."""

    LEVEL: ClassVar[int] = PROFILE
    NEEDS: ClassVar[tuple[str, ...]] = ("role", "duration_ms", "mono_ms")
    type: Literal["llm_call"] = "llm_call"
    role: Role
    tool: str | None = None
    """The tool that made the call; None for an orchestrator turn."""
    alias: str | None = None
    provider: str
    model: str
    """The model that answered, as its server names it where it does."""
    server: str | None = None
    """Base address that answered, without credentials."""
    duration_ms: float
    """Wall time of the attempt that counted, from sending to the last byte."""
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    itl_ms: float | None = None
    """Mean time between output tokens."""
    first_token_ms: Annotated[float | None, LOG_ONLY] = None
    """Of a streamed call: from sending to the first token as the client saw it. Not prefill: it holds the network, the
    queue and the tokens that a tool parser kept back."""
    overhead_ms: float | None = None
    """duration_ms less queue, prefill and decode; None unless all three are known."""
    wait_ms: float = 0.0
    """Limiter, breaker and retries before the attempt that counted: limiter_ms + retry_ms."""
    limiter_ms: Annotated[float, LOG_ONLY] = 0.0
    admission_ms: float | None = None
    """Of limiter_ms: how long the order of turns held the turn back; None where no order rules."""
    retry_ms: Annotated[float, LOG_ONLY] = 0.0
    prompt_tokens: Annotated[int | None, QUANTITY] = None
    cached_tokens: Annotated[int | None, QUANTITY] = None
    completion_tokens: Annotated[int | None, QUANTITY] = None
    reasoning_tokens: Annotated[int | None, QUANTITY] = None
    timing_source: Annotated[TimingSource, LOG_ONLY] = "client"
    attempts: Annotated[int, LOG_ONLY] = 1
    finish_reason: Annotated[str | None, LOG_ONLY] = None
    cost_usd: float | None = None
    """None: the price of this model is not known."""
    truncated_tokens: Annotated[int | None, LOG_ONLY] = None
    """Prompt tokens cut away to fit the model's context; None when nothing was cut."""
    token_count: Annotated[Literal["tokenizer", "estimate"] | None, LOG_ONLY] = None
    rejudge: bool = False
    """A judge's call of a rejudge: not part of what the run itself cost."""
    error_type: ErrorType | None = None
    error_message: Annotated[str | None, LOG_ONLY] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Event):
    """One turn's tool, whole. duration_total_ms = the sum of its parts and a small rest.

    duration_ms is the tool's own part: of answer the expert's, of search and enhance_reasoning all of it.
    """

    LEVEL: ClassVar[int] = PROFILE
    NEEDS: ClassVar[tuple[str, ...]] = ("tool", "status", "duration_ms", "duration_total_ms", "mono_ms")
    type: Literal["tool_call"] = "tool_call"
    tool: str
    """A built-in or an added tool; with status invalid, what the turn named, or '' for nothing."""
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
    web_searches: Annotated[int | None, QUANTITY] = None
    """Searches of the web to be paid for: 0 for one whose pages were kept from before or shared with another task."""
    web_pages: Annotated[int | None, QUANTITY] = None
    """Pages of the web whose text was extracted, to be paid for."""
    web_error: str | None = None
    """Why the web gave nothing or only snippets though it was wanted: auth, rate_limit, plan_limit, timeout, …"""
    screened_mirror: int | None = None
    """Web pages that nobody saw because their address is a known copy's; None: not screened, or the web not asked."""
    screened_question: int | None = None
    """The same because their text holds the question."""
    screened_answer: int | None = None
    """The same because they hold the question's words and the answer in any order."""
    screened_query: Literal["shortened", "refused"] | None = None
    """How a web query that quoted the question was changed; None: it was not."""
    retrieval_queue_ms: float | None = None
    retrieval_encode_ms: float | None = None
    retrieval_search_ms: float | None = None
    retrieval_batch_size: Annotated[int | None, LOG_ONLY] = None
    n_documents: Annotated[int | None, LOG_ONLY] = None
    n_new_documents: Annotated[int | None, LOG_ONLY] = None
    exec_status: str | None = None
    code_ms: float | None = None
    """The program's own time by the sandbox's word: exec_ms without queue and network."""
    parts_ms: dict[str, float] | None = None
    """Of an added tool: its timed parts by their own names, beside those above."""
    cost_usd: float | None = None
    """What was paid by the piece, beside the models' calls: searches, pages, seconds of code, an added
    tool's call. None: nothing that has a known price. See n_unpriced."""
    n_unpriced: int = 0
    """Kinds of such pieces that were used and whose price or number is not known."""
    status: ToolStatus
    error_type: ErrorType | None = None
    error_message: Annotated[str | None, LOG_ONLY] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge(Event):
    """A judgement, or the failure to get one (correct None and error_type set)."""

    LEVEL: ClassVar[int] = USER_JUDGE
    NEEDS: ClassVar[tuple[str, ...]] = ("duration_ms", "mono_ms")
    type: Literal["judge"] = "judge"
    protocol: Protocol
    provider: str | None = None
    """None when the answer matched exactly and no model was asked."""
    model: str | None = None
    duration_ms: float
    correct: bool | None
    grade: str | None = None
    """Where the protocol has more grades than two: correct, incorrect or not_attempted."""
    confidence: float | None = None
    """Percent, 0 to 100."""
    confidence_stated: Annotated[bool | None, LOG_ONLY] = None
    """False: the answer stated none and the protocol's default stands in."""
    method: Annotated[Literal["exact_match", "model"], LOG_ONLY] = "model"
    rejudge: bool = False
    error_type: ErrorType | None = None
    error_message: Annotated[str | None, LOG_ONLY] = None
