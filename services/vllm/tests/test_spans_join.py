"""vLLM itself, on the CPU, sends its span of a request below the caller's."""

import asyncio
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from loopback.otlp_receiver import receiver
from podium_contracts.otel.ids import traceparent
from podium_vllm.embedded import build

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
TRACE, SPAN = 0xABCDEF0123456789ABCDEF0123456789, 0x0123456789ABCDEF


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


async def until(condition: Callable[[], bool], process: asyncio.subprocess.Process, log: Path) -> None:
    """Poll: neither vLLM's health nor a collector's spans can be awaited."""
    async with asyncio.timeout(600):
        while not await asyncio.to_thread(condition):
            assert process.returncode is None, await asyncio.to_thread(log.read_text)
            await asyncio.sleep(0.2)


async def test_vllm_s_own_span_is_a_child_of_the_call(tmp_path: Path) -> None:
    build(tmp_path / "model")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = tmp_path / "vllm.log"
    async with receiver() as collector, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        own = {
            "SERVE_MODEL": str(tmp_path / "model"),
            "SERVE_PORT": str(port),
            "SERVE_MAX_MODEL_LEN": "512",
            "SERVE_ENFORCE_EAGER": "true",
            "SERVE_CPU_KV_CACHE_GB": "1",
            "SERVE_OTLP_ENDPOINT": collector.endpoint,
        }
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "podium_vllm", "serve"),
                env={**os.environ, **own},
                stdout=out,
                stderr=out,
            )
        try:
            await until(lambda: answers(port), process, log)
            body = {"model": "orchestrator", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
            headers = {"traceparent": traceparent(TRACE, SPAN)}
            async with session.post("/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
            joined = f"{TRACE:032x}"
            await until(lambda: any(span.trace == joined for span in collector.spans), process, log)
        finally:
            process.terminate()
            await process.wait()
    (span,) = [span for span in collector.spans if span.trace == joined]
    assert span.parent == f"{SPAN:016x}"
    assert span.resource["service.name"] == "vllm"
    assert span.attributes["gen_ai.usage.completion_tokens"] == 4
    assert span.attributes["gen_ai.latency.time_in_queue"] >= 0
