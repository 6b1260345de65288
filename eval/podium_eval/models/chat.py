"""A chat model as the episode sees it: what it is asked, what it returns, and the log fields of a call.

A failure that is expected of a model is raised as `Failure`, which has a name from podium_contracts; anything else is
a bug and ends the episode as `internal`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from podium_contracts.names import Role, TimingSource

from podium_eval.errors import Failure


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One function tool as the model sees it: `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """One tool call of a model, `arguments` still the model's own string (it may be no JSON)."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Form:
    """The form an answer is held to where the server can (vLLM structured outputs, OpenAI's json_schema).

    Exactly one of the two. Servers that cannot are asked in words by the prompt alone.
    """

    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    name: str = "answer"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One model call. Which model, server, key and quirks are the Chat's own."""

    user: str
    system: str | None = None
    image: str | None = None
    """data: URL or https URL of the question's image, for models that can see."""
    tools: Sequence[ToolSpec] = ()
    tool_choice: Literal["auto", "required", "none"] = "auto"
    temperature: float | None = None
    max_tokens: int | None = None
    form: Form | None = None
    priority: int | None = None
    """Lower is served first; sent only where the model's row has `priority`."""
    address: str | None = None
    """The only address to ask, of those that the model has; None: the least busy one."""
    program: str | None = None
    """Under which a router in front of the server knows the task."""
    wait_if_down: bool = True
    """False: a server that gives no answer is the failure at once, for a check that names what it met."""
    keep_user_end: bool = True
    """When `user` exceeds the model's context it loses its beginning, and its end stays (False: the reverse)."""


@dataclass(frozen=True, slots=True)
class ChatResult:
    """What came back, and every millisecond and token of it; None where the server did not report it."""

    text: str
    reasoning: str | None
    tool_calls: tuple[ToolInvocation, ...]
    finish_reason: str | None
    provider: str
    model: str
    server: str | None
    duration_ms: float
    limiter_ms: float
    retry_ms: float
    attempts: int
    admission_ms: float | None = None
    """Of limiter_ms: what the order of turns held the call back; None where no order rules."""
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    itl_ms: float | None = None
    first_token_ms: float | None = None
    """Of a streamed call: from sending to the first token as the client saw it, which is not prefill."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    timing_source: TimingSource = "client"
    cost_usd: float | None = None
    truncated_tokens: int | None = None
    token_count: Literal["tokenizer", "estimate"] | None = None

    @property
    def wait_ms(self) -> float:
        """Limiter and retries before the attempt that counted."""
        return self.limiter_ms + self.retry_ms

    @property
    def overhead_ms(self) -> float | None:
        """duration less queue, prefill and decode; None unless all three are known."""
        if self.queue_ms is None or self.prefill_ms is None or self.decode_ms is None:
            return None
        return self.duration_ms - self.queue_ms - self.prefill_ms - self.decode_ms


class Chat(Protocol):
    """One configured model: an expert, the judge, the orchestrator, or a router over several of them."""

    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def vision(self) -> bool: ...
    @property
    def context_tokens(self) -> int | None: ...

    async def complete(self, request: ChatRequest) -> ChatResult:
        """Ask once, retries inside.

        Raises:
            Failure: with a name, after the retries that the settings allow.
        """
        ...


class TokenCounter(Protocol):
    """Counts and cuts text for one model. `exact` is False when it is an estimate that errs on the long side."""

    @property
    def exact(self) -> bool: ...

    def count(self, text: str) -> int: ...

    def keep_end(self, text: str, limit: int) -> tuple[str, int]:
        """The longest end of `text` within `limit` tokens, and how many tokens were cut (0: nothing)."""
        ...


def call_fields(result: ChatResult, *, role: Role, tool: str | None, alias: str | None) -> dict[str, Any]:
    """The llm_call fields of a result, for LlmCall(**ids, **call_fields(…))."""
    return {
        "role": role,
        "tool": tool,
        "alias": alias,
        "provider": result.provider,
        "model": result.model,
        "server": result.server,
        "duration_ms": result.duration_ms,
        "queue_ms": result.queue_ms,
        "prefill_ms": result.prefill_ms,
        "decode_ms": result.decode_ms,
        "itl_ms": result.itl_ms,
        "first_token_ms": result.first_token_ms,
        "overhead_ms": result.overhead_ms,
        "wait_ms": result.wait_ms,
        "limiter_ms": result.limiter_ms,
        "admission_ms": result.admission_ms,
        "retry_ms": result.retry_ms,
        "prompt_tokens": result.prompt_tokens,
        "cached_tokens": result.cached_tokens,
        "completion_tokens": result.completion_tokens,
        "reasoning_tokens": result.reasoning_tokens,
        "timing_source": result.timing_source,
        "attempts": result.attempts,
        "finish_reason": result.finish_reason,
        "cost_usd": result.cost_usd,
        "truncated_tokens": result.truncated_tokens,
        "token_count": result.token_count,
    }


def failed_fields(failure: Failure, chat: Chat, *, role: Role, tool: str | None, alias: str | None) -> dict[str, Any]:
    """The llm_call fields of a call that failed, for LlmCall(**ids, **failed_fields(…))."""
    return {
        "role": role,
        "tool": tool,
        "alias": alias,
        "provider": failure.provider or chat.provider,
        "model": failure.model or chat.model,
        "duration_ms": failure.duration_ms,
        "wait_ms": failure.limiter_ms + failure.retry_ms,
        "limiter_ms": failure.limiter_ms,
        "admission_ms": failure.admission_ms,
        "retry_ms": failure.retry_ms,
        "attempts": failure.attempts,
        "error_type": failure.error_type,
        "error_message": failure.message,
    }
