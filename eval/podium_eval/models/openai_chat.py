# pyright: reportPrivateUsage=false
"""A Chat over AsyncOpenAI: limit, address, attempts, timings and failures of one configured model."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx2
from openai import APIStatusError, AsyncOpenAI, AsyncStream, OpenAIError
from tenacity import RetryCallState

from podium_eval.costs.prices import TokenPrice
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, ChatResult
from podium_eval.models.fallback import Fallback, Timing
from podium_eval.models.providers import Quirks
from podium_eval.models.refusal import Refusal, classify, ran_out
from podium_eval.models.request import render_body
from podium_eval.models.response import Answer, Usage, parse_answer
from podium_eval.models.stream import StreamedAnswer, sse_data
from podium_eval.models.truncation import Fitted, Fitting
from podium_eval.transport.auth_streak import AuthStreak
from podium_eval.transport.concurrency_limit import AdaptiveLimit, Slot
from podium_eval.transport.load_balancer import Address, Balance
from podium_eval.transport.pool import AnswerTooLong
from podium_eval.transport.retry import attempted

_PATH: Final = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one call is tried; the settings of the same names explain each."""

    timeout_s: float
    attempts: int
    retry_first_s: float
    retry_longest_s: float
    retry_after_longest_s: float
    lockout_longest_s: float
    breaker_wait_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """What a Chat talks to. variable: the setting that holds its key. hint: added when its model's name is refused."""

    provider: str
    model: str
    variable: str
    quirks: Quirks
    price: TokenPrice | None
    hint: str = ""


@dataclass(slots=True)
class _Spent:
    """What one call has used up so far. counted: attempts that count against the limit of attempts."""

    began: float = field(default_factory=time.perf_counter)
    limiter_ms: float = 0.0
    attempts: int = 0
    counted: int = 0
    down_since: float | None = None
    failed_ms: float = 0.0


class OpenAIChat:
    """One model at one provider or at several addresses of one's own.

    clients: an AsyncOpenAI for each address of `balance`, by url. timing: whether calls are streamed to be timed;
    `auto` streams once an answer has come without the server's own timings. may_be_empty: an answer without a word
    counts as one (an orchestrator's turn) instead of being asked for again. probe_address: asks an address that was
    down whether it is back, raising as the client does while it is not; None: the next call itself finds out.
    """

    def __init__(
        self,
        target: Target,
        *,
        clients: dict[str, AsyncOpenAI],
        balance: Balance,
        limit: AdaptiveLimit,
        fitting: Fitting,
        auth: AuthStreak,
        patience: Patience,
        timing: Timing = "server",
        may_be_empty: bool = False,
        probe_address: Callable[[AsyncOpenAI], Awaitable[object]] | None = None,
    ) -> None:
        self._target = target
        self._clients = clients
        self._balance = balance
        self._limit = limit
        self._fitting = fitting
        self._auth = auth
        self._patience = patience
        self._may_be_empty = may_be_empty
        self._probe_address = probe_address
        self._fallback = Fallback(f"{target.provider}/{target.model}", target.quirks, timing)

    @property
    def provider(self) -> str:
        return self._target.provider

    @property
    def model(self) -> str:
        return self._target.model

    @property
    def vision(self) -> bool:
        return self._target.quirks.vision

    @property
    def context_tokens(self) -> int | None:
        """Known from the table, or from the server once it was asked."""
        return self._fitting.context_tokens

    @property
    def price(self) -> TokenPrice | None:
        return self._target.price

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(place.url for place in self.places)

    @property
    def places(self) -> tuple[Address, ...]:
        """The addresses with their breakers."""
        return self._balance.addresses

    async def learn(self) -> None:
        """Ask a server of one's own for its context length, so that context_tokens is known before the first call."""
        await self._fitting.learn()

    async def complete(self, request: ChatRequest) -> ChatResult:
        """See Chat.complete. duration_ms is the attempt that counted; limiter_ms holds the breaker's waits too."""
        began = time.perf_counter()
        try:
            return await self._complete(request, stream=self._fallback.streams)
        except Failure as failure:
            streaming = self._fallback.without_streaming(failure)
            if not streaming and not self._fallback.without_schema(failure, request):
                raise
            again = await self._complete(request, stream=not streaming and self._fallback.streams)
            if streaming:
                self._fallback.whole_answers(failure)
            spent_ms = (time.perf_counter() - began) * 1000 - again.duration_ms - again.limiter_ms
            return replace(again, attempts=again.attempts + failure.attempts, retry_ms=max(0.0, spent_ms))

    async def _complete(self, request: ChatRequest, *, stream: bool) -> ChatResult:
        fitted = await self._fitting.fit(request)
        content = render_body(
            request,
            self._fallback.quirks,
            model=self._target.model,
            user=fitted.user,
            max_tokens=fitted.max_tokens,
            stream=stream,
        )
        spent = _Spent()
        try:
            return await attempted(
                lambda: self._attempt(content, stream, fitted, spent, request.address),
                again=lambda error: isinstance(error, Failure) and not error.permanent,
                stop=lambda state: self._give_up(state, spent, wait_if_down=request.wait_if_down),
                pause=self._pause,
            )
        except Failure as failure:
            failure.attempts = max(spent.attempts, 1)
            failure.limiter_ms = spent.limiter_ms
            elapsed = (time.perf_counter() - spent.began) * 1000
            failure.retry_ms = max(0.0, elapsed - failure.duration_ms - spent.limiter_ms)
            failure.provider, failure.model = self._target.provider, self._target.model
            raise

    async def _attempt(
        self, content: bytes, stream: bool, fitted: Fitted, spent: _Spent, only: str | None
    ) -> ChatResult:
        if self._auth.stopped is not None:
            raise Failure("auth", self._auth.stopped)
        # The address first: a call that waits for one that is down must not hold a slot that the provider's other
        # models could use.
        address, waited_ms = await self._balance.acquire(only)
        spent.limiter_ms += waited_ms
        try:
            slot = await self._slot(address)
            spent.limiter_ms += slot.waited_ms
            try:
                return await self._send(address, slot, content, stream, fitted, spent)
            finally:
                self._limit.release()
        finally:
            self._balance.release(address)

    async def _slot(self, address: Address) -> Slot:
        try:
            return await self._limit.acquire()
        except asyncio.CancelledError:
            address.breaker.abandoned()
            raise

    async def _send(
        self, address: Address, slot: Slot, content: bytes, stream: bool, fitted: Fitted, spent: _Spent
    ) -> ChatResult:
        trying = address.breaker.state != "closed"
        spent.attempts += 1
        began = time.perf_counter()
        first_ms: float | None = None
        try:
            client = self._clients[address.url]
            if trying and self._probe_address is not None:
                # A whole answer may take minutes; that the server is back shows in its list of models at once.
                await self._probe_address(client)
                address.breaker.succeeded()
                began = time.perf_counter()
            if stream:
                answer, first_ms = await self._streamed(client, content, began)
            else:
                answer = await self._whole(client, content)
        except asyncio.CancelledError:
            address.breaker.abandoned()
            raise
        except (OpenAIError, AnswerTooLong, httpx2.RequestError, TimeoutError) as error:
            refusal = classify(error)
            if refusal is None:
                raise
            raise self._refused(refusal, address, slot, trying, spent, began) from error
        except Failure as failure:
            failure.duration_ms = (time.perf_counter() - began) * 1000
            spent.counted += 1
            if failure.error_type == "connection":
                address.breaker.failed(failure.message)
            else:
                address.breaker.succeeded()
            raise
        duration_ms = (time.perf_counter() - began) * 1000
        address.breaker.succeeded()
        self._limit.succeeded()
        self._auth.accepted(self._target.variable)
        self._fallback.timed(by_server=answer.times is not None)
        return self._result(answer, address, fitted, spent, began, duration_ms, first_ms)

    async def _whole(self, client: AsyncOpenAI, content: bytes) -> Answer:
        # post() with bytes ready-made: building and reading AsyncOpenAI's typed models takes longer than all the rest.
        options: Any = {"timeout": self._patience.timeout_s}
        try:
            response = await client.post(_PATH, cast_to=httpx2.Response, content=content, options=options)
        except APIStatusError as error:
            if not ran_out(error):
                raise
            return Answer("", None, (), "length", None, Usage(), None)
        return parse_answer(response.content, may_be_empty=self._may_be_empty)

    async def _streamed(self, client: AsyncOpenAI, content: bytes, began: float) -> tuple[Answer, float | None]:
        options: Any = {"timeout": self._patience.timeout_s}
        response: Any = await client.post(
            _PATH, cast_to=httpx2.Response, content=content, options=options, stream=True, stream_cls=AsyncStream[Any]
        )
        if "json" in response.headers.get("content-type", ""):
            # A server that knows no streaming answers whole: the answer counts, and no first token was seen.
            whole = await response.aread()
            await response.aclose()
            return parse_answer(whole, may_be_empty=self._may_be_empty), None
        gathered = StreamedAnswer()
        first_ms: float | None = None
        chunks: AsyncIterator[bytes] = response.aiter_bytes()
        try:
            async for data in sse_data(chunks):
                if gathered.add(data) and first_ms is None:
                    first_ms = (time.perf_counter() - began) * 1000
        finally:
            await response.aclose()
        return gathered.result(may_be_empty=self._may_be_empty), first_ms

    def _refused(
        self, refusal: Refusal, address: Address, slot: Slot, trying: bool, spent: _Spent, began: float
    ) -> Failure:
        target = self._target
        if refusal.silent:
            address.breaker.failed(refusal.message)
            spent.down_since = spent.down_since or time.monotonic()
        else:
            address.breaker.succeeded()
            spent.down_since = None
        # A call that tried an address known to be down found nothing new: it does not use up an attempt.
        if not (refusal.silent and trying):
            spent.counted += 1
        if refusal.overload:
            wish = refusal.retry_after_s
            lockout = wish is not None and wish > self._patience.retry_after_longest_s
            held_s = None if wish is None else min(wish, self._patience.lockout_longest_s)
            self._limit.overloaded(slot, refusal.message, held_s, lockout=lockout)
        message = refusal.message
        if refusal.error_type == "auth":
            self._auth.refused(target.provider, target.variable, message)
            message = f"{target.variable}: {message}"
        elif refusal.error_type == "unknown_model" and target.hint:
            message = f"{message} ({target.hint})"
        return Failure(
            refusal.error_type,
            f"{target.provider}/{target.model} at {address.url}: {message}",
            retry_after_s=refusal.retry_after_s,
            duration_ms=(time.perf_counter() - began) * 1000,
        )

    def _give_up(self, state: RetryCallState, spent: _Spent, *, wait_if_down: bool) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        wish = failure.retry_after_s if isinstance(failure, Failure) else None
        locked_out = wish is not None and wish > self._patience.retry_after_longest_s
        silent = isinstance(failure, Failure) and failure.error_type in ("connection", "timeout")
        if not wait_if_down and (silent or locked_out):
            return True
        down = spent.down_since
        if down is not None and time.monotonic() - down > self._patience.breaker_wait_s:
            return True
        # No attempt was made at all: the wait for a service that is down was already as long as it may be.
        return spent.attempts == 0 or spent.counted >= self._patience.attempts

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, Failure) and failure.retry_after_s is not None:
            # The limit holds everybody back for an overload's Retry-After; other refusals wait here.
            held = failure.error_type in ("rate_limit", "server_error")
            return 0.0 if held else min(failure.retry_after_s, self._patience.lockout_longest_s)
        highest = min(self._patience.retry_first_s * 2 ** (state.attempt_number - 1), self._patience.retry_longest_s)
        return random.uniform(highest / 2, highest)

    def _result(
        self,
        answer: Answer,
        address: Address,
        fitted: Fitted,
        spent: _Spent,
        began: float,
        duration_ms: float,
        first_ms: float | None,
    ) -> ChatResult:
        times, usage, price = answer.times, answer.usage, self._target.price
        return ChatResult(
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            provider=self._target.provider,
            model=answer.model or self._target.model,
            server=address.url,
            duration_ms=duration_ms,
            limiter_ms=spent.limiter_ms,
            retry_ms=max(0.0, (began - spent.began) * 1000 - spent.limiter_ms),
            attempts=spent.attempts,
            queue_ms=times.queue_ms if times else None,
            prefill_ms=times.prefill_ms if times else None,
            decode_ms=times.decode_ms if times else None,
            itl_ms=times.itl_ms if times else None,
            first_token_ms=first_ms,
            prompt_tokens=usage.prompt,
            cached_tokens=usage.cached,
            completion_tokens=usage.completion,
            reasoning_tokens=usage.reasoning,
            timing_source="server" if times else "client",
            cost_usd=price.cost(usage.prompt, usage.cached, usage.completion) if price else None,
            truncated_tokens=fitted.cut_tokens,
            token_count=fitted.method,
        )
