"""POST /retrieve as plain ASGI: body in, bytes out, nothing between that costs."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import orjson
from podium_contracts import search as wire
from podium_contracts.search import SearchRequest, SearchTiming
from starlette.types import Receive, Scope, Send

from podium_retrieval.api.request import RequestReader
from podium_retrieval.errors import ClientLeft, Refusal
from podium_retrieval.metrics import Metrics
from podium_retrieval.service import Answer, SearchService

_LOG = logging.getLogger(__name__)
_JSON: Final = (b"content-type", b"application/json")


_SHUTTING_DOWN: Final = Refusal("shutting_down", "the service is stopping", retry_after_s=1.0)


class RetrieveEndpoint:
    """Validates, asks the service, writes the answer in the chosen shape. Every failure has a type and a status."""

    def __init__(
        self,
        service: SearchService,
        metrics: Metrics,
        reader: RequestReader,
        max_body_bytes: int,
        shape: Literal["list", "search-r1"],
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._reader = reader
        self._max_body_bytes = max_body_bytes
        self._shape = shape
        self._reading: set[asyncio.Timeout] = set()
        self._asking: set[asyncio.Future[object]] = set()
        self._draining = False

    def drain(self, drain_s: float) -> None:
        """No body is waited for from now on, and after drain_s no search: what is left is refused as shutting_down."""
        self._draining = True
        loop = asyncio.get_running_loop()
        for limit in self._reading:
            limit.reschedule(loop.time())
        loop.call_later(drain_s, self._give_up)

    def _give_up(self) -> None:
        for left in tuple(self._asking):
            left.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = time.monotonic()
        try:
            body = await self._body(scope, receive)
            request = self._reader.read(body)
            left: asyncio.Task[object] = asyncio.ensure_future(_disconnect(receive))
            self._asking.add(left)
            try:
                answer = await self._search(request, left)
            except ClientLeft:
                if self._draining and left.cancelled():
                    raise _SHUTTING_DOWN from None
                raise
            finally:
                self._asking.discard(left)
                left.cancel()
        except ClientLeft:
            self._metrics.requests.labels("left").inc()
            return
        except Refusal as refusal:
            self._metrics.requests.labels(refusal.type).inc()
            await _send(send, refusal.status, _error(refusal.type, refusal.message), _refusal_headers(refusal))
            return
        except Exception:  # noqa: BLE001  a bug: the client is told, and the log has the trace
            _LOG.exception("POST /retrieve failed")
            self._metrics.requests.labels("internal").inc()
            await _send(send, 500, _error("internal", "an unexpected failure; see the service's log"), [])
            return
        self._metrics.requests.labels("ok").inc()
        self._metrics.duration.observe(time.monotonic() - started)
        if answer.timing.queue_ms is not None:
            self._metrics.queue_time.observe(answer.timing.queue_ms / 1e3)
        await _send(send, 200, self._write(answer), _timing_headers(answer.timing))

    async def _search(self, request: SearchRequest, left: "asyncio.Future[object]") -> Answer:
        """What the service finds; a query without text finds nothing, and is not asked."""
        asked = [at for at, query in enumerate(request.queries) if query.strip()]
        if len(asked) == len(request.queries) > 0:
            return await self._service.search(request, left)
        documents: list[Sequence[bytes]] = [()] * len(request.queries)
        if not asked:
            return Answer(documents, SearchTiming())
        answer = await self._service.search(replace(request, queries=tuple(request.queries[at] for at in asked)), left)
        for at, found in zip(asked, answer.documents, strict=True):
            documents[at] = found
        return Answer(documents, answer.timing)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_body_bytes:
                raise self._too_large()
        try:
            async with asyncio.timeout(0.0 if self._draining else self._service.deadline_s) as limit:
                self._reading.add(limit)
                try:
                    return await self._whole(receive)
                finally:
                    self._reading.discard(limit)
        except TimeoutError:
            if self._draining:
                raise _SHUTTING_DOWN from None
            raise Refusal("deadline", f"the body did not arrive within {self._service.deadline_s:g} s") from None

    async def _whole(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._max_body_bytes:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal("body_too_large", f"the body exceeds {self._max_body_bytes} bytes")

    def _write(self, answer: Answer) -> bytes:
        rows = b",".join(b"[" + b",".join(documents) + b"]" for documents in answer.documents)
        return b"[" + rows + b"]" if self._shape == "list" else b'{"result":[' + rows + b"]}"


async def _disconnect(receive: Receive) -> object:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return None


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


def _error(type: str, message: str) -> bytes:
    return orjson.dumps({"error": {"type": type, "message": message}})


def _refusal_headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    if refusal.retry_after_s is None:
        return []
    return [(b"retry-after", str(max(1, round(refusal.retry_after_s))).encode())]


def _timing_headers(timing: SearchTiming) -> list[tuple[bytes, bytes]]:
    values: list[tuple[str, float | int | str | None]] = [
        (wire.QUEUE_MS_HEADER, timing.queue_ms),
        (wire.ENCODE_MS_HEADER, timing.encode_ms),
        (wire.SEARCH_MS_HEADER, timing.search_ms),
        (wire.WEB_MS_HEADER, timing.web_ms),
        (wire.WEB_SEARCHES_HEADER, timing.web_searches),
        (wire.WEB_PAGES_HEADER, timing.web_pages),
        (wire.WEB_ERROR_HEADER, timing.web_error),
        (wire.SCREENED_HEADER, timing.screened.to_header() if timing.screened else None),
        (wire.BATCH_SIZE_HEADER, timing.batch_size),
    ]
    return [
        (name.lower().encode(), (f"{value:.3f}" if isinstance(value, float) else str(value)).encode())
        for name, value in values
        if value is not None
    ]
