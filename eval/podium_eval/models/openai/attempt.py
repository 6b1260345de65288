"""One HTTP exchange of a chat call: the body sent, the answer read whole or as a stream, its times."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from openai import APIStatusError, AsyncOpenAI, AsyncStream

from podium_eval.clock import Clock, since_ms
from podium_eval.models.chat import ChatResult
from podium_eval.models.openai.refusal import ran_out
from podium_eval.models.openai.response import Answer, Usage, parse_answer
from podium_eval.models.openai.stream import StreamedAnswer, sse_data
from podium_eval.models.openai.target import Target
from podium_eval.models.truncation import Fitted

_PATH: Final = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Call:
    """What each attempt of one call sends. stream: whether its answer is streamed. address: the only one to ask.
    traceparent: the trace context that its server gets."""

    content: bytes
    stream: bool
    fitted: Fitted
    address: str | None = None
    traceparent: str | None = None

    def options(self, timeout_s: float) -> Any:
        """AsyncOpenAI's options of one request."""
        options: dict[str, Any] = {"timeout": timeout_s}
        if self.traceparent is not None:
            options["headers"] = {"traceparent": self.traceparent}
        return options


@dataclass(slots=True)
class Spent:
    """What one call has used up so far. counted: attempts that count against the limit of attempts."""

    began: float
    limiter_ms: float = 0.0
    attempts: int = 0
    counted: int = 0
    down_since: float | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """An answer with its times. began: by the clock's mono; first_ms: until the first token, where streamed."""

    answer: Answer
    began: float
    duration_ms: float
    first_ms: float | None


async def exchange(client: AsyncOpenAI, call: Call, *, timeout_s: float, may_be_empty: bool, clock: Clock) -> Received:
    """Send one call and read its answer.

    Raises:
        OpenAIError, httpx2.RequestError, AnswerTooLong, TimeoutError: for classify.
        Failure: the answer cannot be read.
    """
    began = clock.mono()
    read = _streamed if call.stream else _whole
    answer, first_ms = await read(client, call, timeout_s, may_be_empty, clock)
    return Received(answer, began, since_ms(clock, began), first_ms)


async def _whole(
    client: AsyncOpenAI, call: Call, timeout_s: float, may_be_empty: bool, clock: Clock
) -> tuple[Answer, float | None]:
    # post() with bytes ready-made: building and reading AsyncOpenAI's typed models takes longer than all the rest.
    content, options = call.content, call.options(timeout_s)
    try:
        response = await client.post(_PATH, cast_to=httpx2.Response, content=content, options=options)
    except APIStatusError as error:
        if not ran_out(error):
            raise
        return Answer("", None, (), "length", None, Usage(), None), None
    return parse_answer(response.content, may_be_empty=may_be_empty), None


async def _streamed(
    client: AsyncOpenAI, call: Call, timeout_s: float, may_be_empty: bool, clock: Clock
) -> tuple[Answer, float | None]:
    began = clock.mono()
    content, options = call.content, call.options(timeout_s)
    response: Any = await client.post(
        _PATH, cast_to=httpx2.Response, content=content, options=options, stream=True, stream_cls=AsyncStream[Any]
    )
    if "json" in response.headers.get("content-type", ""):
        # A server without streaming sends the answer whole: the answer counts, and no first token was seen.
        whole = await response.aread()
        await response.aclose()
        return parse_answer(whole, may_be_empty=may_be_empty), None
    gathered = StreamedAnswer()
    first_ms: float | None = None
    chunks: AsyncIterator[bytes] = response.aiter_bytes()
    try:
        async for data in sse_data(chunks):
            if gathered.add(data) and first_ms is None:
                first_ms = since_ms(clock, began)
    finally:
        await response.aclose()
    return gathered.result(may_be_empty=may_be_empty), first_ms


def chat_result(target: Target, server: str, received: Received, fitted: Fitted, spent: Spent) -> ChatResult:
    """The answer with what the whole call cost in time, attempts and dollars."""
    answer, price = received.answer, target.price
    times, usage = answer.times, answer.usage
    return ChatResult(
        text=answer.text,
        reasoning=answer.reasoning,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        provider=target.provider,
        model=answer.model or target.model,
        server=server,
        duration_ms=received.duration_ms,
        limiter_ms=spent.limiter_ms,
        retry_ms=max(0.0, (received.began - spent.began) * 1000 - spent.limiter_ms),
        attempts=spent.attempts,
        queue_ms=times.queue_ms if times else None,
        prefill_ms=times.prefill_ms if times else None,
        decode_ms=times.decode_ms if times else None,
        itl_ms=times.itl_ms if times else None,
        first_token_ms=received.first_ms,
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cached,
        completion_tokens=usage.completion,
        reasoning_tokens=usage.reasoning,
        timing_source="server" if times else "client",
        cost_usd=price.cost(usage.prompt, usage.cached, usage.completion) if price else None,
        truncated_tokens=fitted.cut_tokens,
        token_count=fitted.method,
    )
