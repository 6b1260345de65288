"""Readiness checks against a real HTTP server on the loopback."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from podium_local import health
from podium_local.health import answers, serves_model
from podium_local.service import NotReady

MODELS = json.dumps({"data": [{"id": "one"}, {"id": "two"}]})


PAGES = {"/health": (200, "ok"), "/failing": (503, "the worker is dead"), "/v1/models": (200, MODELS)}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = PAGES.get(self.path, (200, "{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_ready_service_passes(address: str) -> None:
    await answers(f"{address}/health")()
    await serves_model(f"{address}/v1/", "two")()


async def test_a_failing_service_is_quoted(address: str) -> None:
    with pytest.raises(NotReady, match="/failing: 503 the worker is dead"):
        await answers(f"{address}/failing")()


async def test_another_model_is_named(address: str) -> None:
    with pytest.raises(NotReady, match="serves one, two, not three"):
        await serves_model(f"{address}/v1", "three")()
    with pytest.raises(NotReady, match="answered no list of models"):
        await serves_model(address, "three")()


async def test_nobody_there_is_told_in_one_phrase() -> None:
    with pytest.raises(NotReady, match=r"^http://127\.0\.0\.1:9/health: \[Errno \d+\] Connection refused$"):
        await answers("http://127.0.0.1:9/health")()
    with pytest.raises(NotReady, match="No connection adapters"):
        await answers("127.0.0.1:9/health")()


async def test_silence_meets_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REQUEST_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotReady, match="timed out"):
        await answers(f"http://127.0.0.1:{silent.getsockname()[1]}/health")()
