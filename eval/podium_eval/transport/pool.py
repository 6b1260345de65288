# pyright: reportUnknownMemberType=false, reportPrivateUsage=false
"""One pool of connections under every client of a run: AsyncOpenAI for models, plain requests for our own services.

PooledTransport is an httpx2 transport over aiohttp. It is there for what the stock one does not do: a refused or reset
connection is told from a timeout, a call has one total deadline, an answer's body has a limit, and all clients of a run
share one bound of open sockets. It is no faster: of the CPU time that Podium's calls save (docs/providers.md), nearly
all is skipping AsyncOpenAI's typed answers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import httpx2
from aiohttp import ClientTimeout

KEEPALIVE_S: Final = 4.0
"""Shorter than the 5 s after which uvicorn closes an idle connection, so that no request meets one being closed."""


class AnswerTooLong(Exception):
    """The body of an answer exceeds what the settings allow."""


class _Connector(aiohttp.TCPConnector):
    """Keeps idle connections within `limit` too, all hosts together: aiohttp's own limit counts only those in use."""

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 (aiohttp's name)
        idle = sum(len(kept) for kept in self._conns.values())
        while idle and idle + len(self._acquired) > self._limit:
            key = min((key for key, kept in self._conns.items() if kept), key=lambda key: self._conns[key][0][1])
            protocol, _ = self._conns[key].popleft()
            if not self._conns[key]:
                del self._conns[key]
            protocol.close()
            idle -= 1
        return await super()._create_connection(req, traces, timeout)


class HttpPool:
    """At most `connections` sockets, idle ones included. Made where settings are wired, opened by its first use."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The shared session; only inside a running event loop. Reads no proxy and no netrc from the environment."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=self._connections, keepalive_timeout=KEEPALIVE_S),
                timeout=ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=1 << 18,
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


class PooledTransport(httpx2.AsyncBaseTransport):
    """Sends through the pool. A request's read timeout bounds the call as a whole, to its last byte.

    Closing it closes no connection: the pool belongs to the run.
    """

    def __init__(self, pool: HttpPool, *, connect_s: float, body_limit: int, proxy: str | None = None) -> None:
        self._pool = pool
        self._connect_s = connect_s
        self._body_limit = body_limit
        self._proxy = proxy

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, its body unread.

        Raises:
            httpx2.ConnectError, ReadError, ConnectTimeout, ReadTimeout: as httpx itself would; reading the body too.
            AnswerTooLong: while the body is read; the connection is then closed, not drained.
        """
        seconds = request.extensions.get("timeout", {}).get("read")
        try:
            response = await self._pool.session.request(
                request.method,
                str(request.url),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=ClientTimeout(total=seconds, sock_connect=self._connect_s),
                proxy=self._proxy,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _as_httpx(error, request) from error
        # The body arrives decompressed, so its encoding and length no longer describe it.
        headers = [
            (name, value)
            for name, value in response.raw_headers
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx2.Response(response.status, headers=headers, stream=_Body(response, self._body_limit))


class PooledClient(httpx2.AsyncClient):
    """The http_client of one AsyncOpenAI.

    headers, and a call's own traceparent, are all that is sent beside the body's type: what the openai package reads
    from the environment (organization, project, custom headers) stays out.
    """

    def __init__(self, transport: PooledTransport, headers: Mapping[str, str]) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._fixed = dict(headers)
        self._urls: dict[str, httpx2.URL] = {}

    def build_request(self, method: str, url: httpx2.URL | str, **options: Any) -> httpx2.Request:
        """A request with the fixed headers alone: those that AsyncOpenAI adds are left out."""
        text = str(url)
        known = self._urls.get(text)
        if known is None:
            known = self._urls[text] = httpx2.URL(text)
        timeout = options.get("timeout")
        seconds = timeout.read if isinstance(timeout, httpx2.Timeout) else timeout
        trace = dict[str, str](options.get("headers") or ()).get("traceparent")
        headers = self._fixed if trace is None else {**self._fixed, "traceparent": trace}
        return httpx2.Request(
            method,
            known,
            headers=headers,
            content=options.get("content"),
            extensions={"timeout": {"read": seconds if isinstance(seconds, int | float) else None}},
        )


class _Body(httpx2.AsyncByteStream):
    """An answer's body within the limit."""

    def __init__(self, response: aiohttp.ClientResponse, limit: int) -> None:
        self._response = response
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if (self._response.content_length or 0) > self._limit:
            raise AnswerTooLong(_too_long(self._limit))
        size = 0
        try:
            async for chunk in self._response.content.iter_any():
                size += len(chunk)
                if size > self._limit:
                    raise AnswerTooLong(_too_long(self._limit))
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _as_httpx(error, None) from error

    async def aclose(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _too_long(limit: int) -> str:
    return f"the answer is longer than {limit} bytes (MODEL_BODY_LIMIT)"


def _as_httpx(error: Exception, request: httpx2.Request | None) -> httpx2.RequestError:
    """The httpx exception that openai knows, with the first one's words."""
    message = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx2.ConnectTimeout(message, request=request)
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return httpx2.ConnectError(f"the proxy of MODEL_PROXY: {message}", request=request)
    if isinstance(error, aiohttp.ClientConnectorError):
        return httpx2.ConnectError(message, request=request)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return httpx2.ReadTimeout(message, request=request)
    if isinstance(error, aiohttp.InvalidURL):
        return httpx2.UnsupportedProtocol(message, request=request)
    return httpx2.ReadError(message, request=request)
