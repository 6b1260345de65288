"""Services start, are waited for, come back when they die, and are gone at the end."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from podium_local.health import answers, serves_model
from podium_local.service import NotReady, ServiceFailed, ServiceSpec
from podium_local.stack import Stack

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": "orchestrator"}], "pid": os.getpid()}).encode()
        self.send_response(int(sys.argv[2]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
print("a line for the log", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def spec(name: str, port: int | None = None, *, program: str = SERVER, status: int = 200) -> ServiceSpec:
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    return ServiceSpec(
        name=name,
        url=url,
        argv=(sys.executable, "-c", program, str(port), str(status)),
        environment=dict(os.environ),
        healthy=answers(url),
    )


class Recorder:
    """What the stack said, and a way to wait for a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._said = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.lines.append(text)
        self._said.set()

    async def wait_for(self, text: str) -> str:
        async with asyncio.timeout(30):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                self._said.clear()
                await self._said.wait()


def stack(start, logs: Path, say, *, reuse=(), start_timeout_s: float = 30, restarts: int = 3) -> Stack:
    return Stack(
        start, reuse, logs=logs, start_timeout_s=start_timeout_s, stop_timeout_s=0.5, restarts=restarts, say=say
    )


async def server_pid(url: str) -> int:
    import json
    import urllib.request

    def get() -> int:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.load(response)["pid"]

    return await asyncio.to_thread(get)


async def test_all_are_healthy_inside_and_gone_after(tmp_path: Path) -> None:
    services = [spec("one"), spec("two")]
    say = Recorder()
    async with stack(services, tmp_path, say):
        for service in services:
            await service.healthy()
    for service in services:
        with pytest.raises(NotReady):
            await service.healthy()
    assert "a line for the log" in (tmp_path / "one.log").read_text()
    assert any(line.startswith("two: healthy") for line in say.lines)


async def test_a_service_that_dies_at_start_stops_the_others(tmp_path: Path) -> None:
    good = spec("good")
    bad = spec("bad", program="print('INDEX_DIR is not set'); raise SystemExit(2)")
    with pytest.raises(ServiceFailed, match="bad ended with status 2") as failure:
        async with stack([good, bad], tmp_path, Recorder()):
            pytest.fail("entered without its services")
    assert "INDEX_DIR is not set" in str(failure.value)
    with pytest.raises(NotReady):
        await good.healthy()


async def test_a_service_that_never_gets_healthy_ends_the_wait(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceFailed, match=r"(?s)LOCAL_START_TIMEOUT_S.*503"):
        async with stack([spec("slow", status=503)], tmp_path, Recorder(), start_timeout_s=1.5):
            pytest.fail("entered without its service")
    assert time.monotonic() - began < 10


async def test_kill_9_brings_it_back(tmp_path: Path) -> None:
    service, say = spec("one"), Recorder()
    async with stack([service], tmp_path, say) as running:
        watch = asyncio.create_task(running.watch())
        first = await server_pid(service.url)
        os.kill(first, signal.SIGKILL)
        await say.wait_for("one: healthy again")
        assert await server_pid(service.url) != first
        watch.cancel()


async def test_one_that_dies_too_often_is_given_up(tmp_path: Path) -> None:
    service, say = spec("one"), Recorder()
    async with stack([service], tmp_path, say, restarts=1) as running:
        watch = asyncio.create_task(running.watch())
        os.kill(await server_pid(service.url), signal.SIGKILL)
        await say.wait_for("one: healthy again")
        os.kill(await server_pid(service.url), signal.SIGKILL)
        with pytest.raises(ServiceFailed, match="died 2 times"):
            await asyncio.wait_for(watch, 30)


async def test_a_reused_service_is_neither_started_nor_stopped(tmp_path: Path) -> None:
    mine, reused = spec("mine"), spec("reused")
    async with stack([reused], tmp_path / "other", Recorder()):
        async with stack([mine], tmp_path, Recorder(), reuse=[reused]):
            await mine.healthy()
        await reused.healthy()
    assert not (tmp_path / "reused.log").exists()
    with pytest.raises(ServiceFailed, match=r"reused is to be reused at .* not healthy"):
        async with stack([mine], tmp_path, Recorder(), reuse=[reused]):
            pytest.fail("entered without its service")


async def test_an_address_that_is_taken_is_refused(tmp_path: Path) -> None:
    service = spec("one")
    async with stack([service], tmp_path, Recorder()):
        with pytest.raises(ServiceFailed, match=r"http://127\.0\.0\.1:\d+ is taken by process \d+ \(.*--ports auto"):
            async with stack([service], tmp_path, Recorder()):
                pytest.fail("started beside a stranger")
        await service.healthy()


async def test_a_model_of_another_name_is_not_ready(tmp_path: Path) -> None:
    service = spec("one")
    async with stack([service], tmp_path, Recorder()):
        await serves_model(service.url, "orchestrator")()
        with pytest.raises(NotReady, match="serves orchestrator, not judge"):
            await serves_model(service.url, "judge")()
