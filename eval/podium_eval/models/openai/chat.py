"""A Chat over AsyncOpenAI: limit, address, attempts, timings and failures of one configured model."""

import asyncio
from dataclasses import replace

import httpx2
from openai import OpenAIError
from tenacity import RetryCallState

from podium_eval.clock import since_ms
from podium_eval.costs.prices import TokenPrice
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, ChatResult
from podium_eval.models.openai.attempt import Call, Spent, chat_result, exchange
from podium_eval.models.openai.endpoints import Endpoints
from podium_eval.models.openai.fallback import Fallback
from podium_eval.models.openai.refusal import Refusal, classify
from podium_eval.models.openai.request import render_body
from podium_eval.models.openai.target import RetryLimits, Role, Target
from podium_eval.models.truncation import Fitting
from podium_eval.telemetry.trace_context import next_traceparent
from podium_eval.transport.auth_streak import AuthStreak
from podium_eval.transport.concurrency_limit import AdaptiveLimit, Slot
from podium_eval.transport.load_balancer import Address
from podium_eval.transport.pool import AnswerTooLong
from podium_eval.transport.retry import attempted


class OpenAIChat:
    """One model at one provider or at several addresses of one's own."""

    def __init__(
        self,
        target: Target,
        endpoints: Endpoints,
        role: Role,
        *,
        limit: AdaptiveLimit,
        fitting: Fitting,
        auth: AuthStreak,
        retry: RetryLimits,
    ) -> None:
        self._target = target
        self._endpoints = endpoints
        self._role = role
        self._limit = limit
        self._fitting = fitting
        self._auth = auth
        self._retry = retry
        self._clock = retry.clock
        self._fallback = Fallback(f"{target.provider}/{target.model}", target.quirks, role.timing)

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
        return self._endpoints.balance.addresses

    async def learn(self) -> None:
        """Ask a server of one's own for its context length, so that context_tokens is known before the first call."""
        await self._fitting.learn()

    async def complete(self, request: ChatRequest) -> ChatResult:
        """See Chat.complete. duration_ms is the attempt that counted; limiter_ms holds the breaker's waits too."""
        began = self._clock.mono()
        try:
            return await self._complete(request, stream=self._fallback.streams)
        except Failure as failure:
            streaming = self._fallback.without_streaming(failure)
            if not streaming and not self._fallback.without_schema(failure, request):
                raise
            again = await self._complete(request, stream=not streaming and self._fallback.streams)
            if streaming:
                self._fallback.whole_answers(failure)
            spent_ms = since_ms(self._clock, began) - again.duration_ms - again.limiter_ms
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
        trace = next_traceparent() if self._role.traced else None
        call, spent = Call(content, stream, fitted, request.address, trace), Spent(self._clock.mono())
        try:
            return await attempted(
                lambda: self._attempt(call, spent),
                again=lambda error: isinstance(error, Failure) and not error.permanent,
                stop=lambda state: self._give_up(state, spent, wait_if_down=request.wait_if_down),
                pause=self._retry.pause_s,
                clock=self._clock,
            )
        except Failure as failure:
            failure.attempts = max(spent.attempts, 1)
            failure.limiter_ms = spent.limiter_ms
            elapsed = since_ms(self._clock, spent.began)
            failure.retry_ms = max(0.0, elapsed - failure.duration_ms - spent.limiter_ms)
            failure.provider, failure.model = self._target.provider, self._target.model
            raise

    async def _attempt(self, call: Call, spent: Spent) -> ChatResult:
        if self._auth.stopped is not None:
            raise Failure("auth", self._auth.stopped)
        # The address first: a call that waits for one that is down must not hold a slot that the provider's other
        # models could use.
        address, waited_ms = await self._endpoints.balance.acquire(call.address)
        spent.limiter_ms += waited_ms
        try:
            slot = await self._slot(address)
            spent.limiter_ms += slot.waited_ms
            try:
                return await self._send(address, slot, call, spent)
            finally:
                self._limit.release()
        finally:
            self._endpoints.balance.release(address)

    async def _slot(self, address: Address) -> Slot:
        try:
            return await self._limit.acquire()
        except asyncio.CancelledError:
            address.breaker.abandoned()
            raise

    async def _send(self, address: Address, slot: Slot, call: Call, spent: Spent) -> ChatResult:
        trying = address.breaker.state != "closed"
        spent.attempts += 1
        began = self._clock.mono()
        role = self._role
        try:
            client = self._endpoints.clients[address.url]
            if trying and self._endpoints.probe_s is not None:
                await self._endpoints.probe(client)
                address.breaker.succeeded()
                began = self._clock.mono()
            received = await exchange(
                client, call, timeout_s=role.timeout_s, may_be_empty=role.may_be_empty, clock=self._clock
            )
        except asyncio.CancelledError:
            address.breaker.abandoned()
            raise
        except (OpenAIError, AnswerTooLong, httpx2.RequestError, TimeoutError) as error:
            refusal = classify(error)
            if refusal is None:
                raise
            if not (refusal.silent and trying):
                # A call that tried an address known to be down found nothing new: it does not use up an attempt.
                spent.counted += 1
            raise self._refused(refusal, address, slot, spent, began) from error
        except Failure as failure:
            failure.duration_ms = since_ms(self._clock, began)
            spent.counted += 1
            if failure.error_type == "connection":
                address.breaker.failed(failure.message)
            else:
                address.breaker.succeeded()
            raise
        address.breaker.succeeded()
        self._limit.succeeded()
        self._auth.accepted(self._target.variable)
        self._fallback.timed(by_server=received.answer.times is not None)
        return chat_result(self._target, address.url, received, call.fitted, spent)

    def _refused(self, refusal: Refusal, address: Address, slot: Slot, spent: Spent, began: float) -> Failure:
        target = self._target
        if refusal.silent:
            address.breaker.failed(refusal.message)
            spent.down_since = spent.down_since or self._clock.mono()
        else:
            address.breaker.succeeded()
            spent.down_since = None
        if refusal.overload:
            wish = refusal.retry_after_s
            lockout = wish is not None and wish > self._retry.retry_after_longest_s
            held_s = None if wish is None else min(wish, self._retry.lockout_longest_s)
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
            duration_ms=since_ms(self._clock, began),
        )

    def _give_up(self, state: RetryCallState, spent: Spent, *, wait_if_down: bool) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        wish = failure.retry_after_s if isinstance(failure, Failure) else None
        locked_out = wish is not None and wish > self._retry.retry_after_longest_s
        silent = isinstance(failure, Failure) and failure.error_type in ("connection", "timeout")
        if not wait_if_down and (silent or locked_out):
            return True
        down = spent.down_since
        if down is not None and self._clock.mono() - down > self._retry.breaker_wait_s:
            return True
        # No attempt was made at all: the wait for a service that is down was already as long as it may be.
        return spent.attempts == 0 or spent.counted >= self._retry.attempts
