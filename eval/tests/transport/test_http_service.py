import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from loopback.openai_server import http
from loopback.recording import RecordingSink
from podium_contracts.search import SearchRequest
from podium_eval.errors import Failure
from podium_eval.settings.read import read_settings
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits

TRY_S = 60.0


class Service:
    """An HTTP server that answers only while `open` is set."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.open = asyncio.Event()
        self.asked = asyncio.Semaphore(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.asked.release()
        await self.open.wait()
        writer.write(http(200, self.body, headers="connection: close\r\n"))
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            host, port = server.sockets[0].getsockname()
            yield f"http://{host}:{port}"
        finally:
            self.open.set()
            server.close()


@pytest.mark.parametrize("kind", ["retrieval", "sandbox"])
async def test_a_cancelled_try_lets_the_next_caller_try(kind: str) -> None:
    ran = b'{"status":"ok","exit_code":0,"stdout":"","stderr":"","duration_ms":1}'
    service = Service(b"[[]]" if kind == "retrieval" else ran)
    gate = Breaker(kind, RecordingSink(), {"run_id": "r"}, BreakerLimits(threshold=1, first_s=0.01, try_s=TRY_S))
    async with service.listening() as address, aiohttp.ClientSession() as session:
        settings = read_settings({"retrieval_url": address, "sandbox_url": address}, None)

        async def ask() -> Any:
            if kind == "retrieval":
                return await RetrievalClient(session, settings, gate).search(SearchRequest(("q",), 3))
            return await SandboxClient(session, settings, gate).run("print(1)", 5.0)

        gate.failed("it was down")
        first = asyncio.create_task(ask())
        await service.asked.acquire()
        assert gate.state == "half_open"
        assert gate.try_in_s > TRY_S / 2, "others are held back while one tries"
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        began = time.monotonic()
        service.open.set()
        assert await ask()
        assert time.monotonic() - began < TRY_S / 4
        assert gate.state == "closed"


async def test_attempts_and_time_of_a_failed_call_are_told() -> None:
    gate = Breaker("retrieval", RecordingSink(), {"run_id": "r"}, BreakerLimits(threshold=9, first_s=0.01))
    async with aiohttp.ClientSession() as session:
        settings = read_settings({"retrieval_url": "http://127.0.0.1:9", "retrieval_attempts": "2"}, None)
        with pytest.raises(Failure) as caught:
            await RetrievalClient(session, settings, gate).search(SearchRequest(("q",), 3))
    assert (caught.value.error_type, caught.value.attempts, caught.value.provider) == ("connection", 2, "retrieval")
    assert caught.value.duration_ms > 0
