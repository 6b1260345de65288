"""How messages reach an MCP server: a supervised process's pipes, or HTTP whose answers have a longest size."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, TextIO

import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage

from podium_eval.tools.mcp.servers import Server

Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]
_SUPERVISE: Final = Path(__file__).with_name("supervise.py")


def transport(server: Server, errors: TextIO, connect_s: float) -> AbstractAsyncContextManager[Streams]:
    """errors: takes what a command writes to stderr."""
    spec = server.spec
    if spec.url is not None:
        return _http(server, spec.url, connect_s)
    arguments = ["-I", "-S", str(_SUPERVISE), str(spec.result_bytes), *spec.argv]
    started = StdioServerParameters(command=sys.executable, args=arguments, env=server.environment, cwd=spec.cwd)
    return stdio_client(started.model_copy(update={"encoding_error_handler": "replace"}), errors)


@asynccontextmanager
async def _http(server: Server, url: str, connect_s: float) -> AsyncGenerator[Streams]:
    spec = server.spec
    headers = {**server.headers, "Accept-Encoding": "identity"}
    timeout = httpx2.Timeout(spec.timeout_s, connect=connect_s)
    sized = _Sized(spec.result_bytes)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=sized) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=spec.result_bytes) as (read, write),
    ):
        yield read, write


class _Sized(httpx2.AsyncHTTPTransport):
    """Ends an answer to a call that is longer than `most` bytes; compressed ones, whose size is not known, too."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if request.method != "POST":
            return response
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("the answer is compressed though it was asked not to be", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, self._most, request)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int, request: httpx2.Request) -> None:
        self._stream = stream
        self._most = most
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise httpx2.ReadError("the answer is longer than result_bytes allows", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
