"""One JSON service of our own over a shared HTTP session: attempts, time limits, and a gate for when it is down."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson
from podium_contracts.names import ErrorType
from podium_contracts.retry_after import retry_after_s
from tenacity import RetryCallState, stop_after_attempt

from podium_eval.clock import Clock, since_ms
from podium_eval.errors import Failure, Unavailable
from podium_eval.transport.error_body import said
from podium_eval.transport.retry import attempted


class Gate(Protocol):
    """What keeps callers away from a service that is down (see circuit_breaker.py)."""

    async def wait(self) -> float:
        """Return at once while the service is up, else when it is back: the milliseconds waited.

        Raises:
            Failure: it stayed down for longer than the settings allow.
        """
        ...

    def succeeded(self) -> None:
        """The service answered."""
        ...

    def failed(self, reason: str) -> None:
        """The service could not be reached."""
        ...

    def abandoned(self) -> None:
        """The caller was cancelled before it knew: another one may try."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """The path of a service, its name in messages, and the error type of what it refuses."""

    name: str
    url: str
    failure: ErrorType


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """attempts: of one call. body_limit: bytes of an answer. backoff_s: the first pause, doubling to backoff_max_s."""

    attempts: int
    connect_timeout_s: float
    body_limit: int = 64 << 20
    backoff_s: float = 0.5
    backoff_max_s: float = 15.0


class HttpService:
    """POSTs JSON to one path.

    A refused or cut connection, or a timeout, closes the gate, which then holds every caller until the service is
    back. A connection's failure, 429, 503 and other 5xx are tried again up to `attempts` times, after Retry-After where
    it is given.
    """

    def __init__(
        self, session: aiohttp.ClientSession, service: Service, gate: Gate, limits: ServiceLimits, clock: Clock
    ) -> None:
        self._session = session
        self._url = service.url
        self._name = service.name
        self._failure: ErrorType = service.failure
        self._gate = gate
        self._limits = limits
        self._clock = clock

    async def post(self, body: Mapping[str, Any], timeout_s: float) -> tuple[Any, Mapping[str, str]]:
        """The parsed answer and its headers.

        Raises:
            Failure: the service's own error type, timeout, connection, rate_limit or bad_response; attempts and
                duration_ms cover everything that was tried.
        """
        began = self._clock.mono()
        data = orjson.dumps(body)
        attempts = 0

        async def attempt() -> tuple[Any, Mapping[str, str]]:
            nonlocal attempts
            attempts += 1
            await self._gate.wait()
            return await self._tell_gate(data, timeout_s)

        try:
            return await attempted(
                attempt,
                again=_worth_retrying,
                stop=stop_after_attempt(self._limits.attempts),
                pause=self._wait,
                clock=self._clock,
            )
        except Failure as failure:
            failure.attempts = attempts
            failure.duration_ms = since_ms(self._clock, began)
            failure.provider = self._name
            raise

    async def _tell_gate(self, data: bytes, timeout_s: float) -> tuple[Any, Mapping[str, str]]:
        try:
            answer = await self._once(data, timeout_s)
        except asyncio.CancelledError:
            self._gate.abandoned()
            raise
        except Failure as failure:
            if failure.error_type in ("connection", "timeout"):
                self._gate.failed(failure.message)
            else:
                self._gate.succeeded()
            raise
        self._gate.succeeded()
        return answer

    def _wait(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        retry_after_s = failure.retry_after_s if isinstance(failure, Failure) else None
        backoff_s = self._limits.backoff_s * 2 ** (state.attempt_number - 1)
        return min(backoff_s if retry_after_s is None else retry_after_s, self._limits.backoff_max_s)

    async def _once(self, data: bytes, timeout_s: float) -> tuple[Any, Mapping[str, str]]:
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self._limits.connect_timeout_s)
        try:
            async with self._session.post(
                self._url, data=data, headers={"Content-Type": "application/json"}, timeout=timeout
            ) as response:
                raw = await _read(response, self._limits.body_limit)
                if response.status >= 400:
                    raise self._refused(response, raw)
                headers = response.headers
        except aiohttp.ConnectionTimeoutError as error:
            raise Failure("connection", f"{self._name} at {self._url} took no connection: {error}") from error
        except TimeoutError as error:
            raise Failure("timeout", f"{self._name} did not answer within {timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise Failure("connection", f"{self._name} cut its answer short: {error}") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise Failure("connection", f"{self._name} at {self._url} cannot be reached: {error}") from error
        except aiohttp.ClientError as error:
            raise Failure(self._failure, f"{self._name}: {error}") from error
        try:
            return orjson.loads(raw), headers
        except ValueError as error:
            raise Failure(self._failure, f"{self._name} answered something that is no JSON: {error}") from error

    def _refused(self, response: aiohttp.ClientResponse, raw: bytes) -> Failure:
        shown = said(raw)[:300]
        message = f"{self._name} answered {response.status}: {shown}"
        kind: ErrorType = "rate_limit" if response.status == 429 else self._failure
        wish = retry_after_s(response.headers)
        if response.status in (408, 429) or response.status >= 500:
            return _Passing(kind, message, retry_after_s=wish)
        return Failure(kind, message, retry_after_s=wish)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise Failure("bad_response", f"the answer of {response.url} is longer than {limit} bytes")
    return b"".join(parts)


class _Passing(Failure):
    """A refusal that the same request may not meet again."""


def _worth_retrying(error: BaseException) -> bool:
    if isinstance(error, Unavailable):
        return False
    return isinstance(error, _Passing) or (isinstance(error, Failure) and error.error_type == "connection")
