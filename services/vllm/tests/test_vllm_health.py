"""The health check against a real loopback server that answers as vLLM does, or badly."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from podium_vllm.health import Unhealthy, check


@pytest.fixture
def answers() -> dict[str, tuple[int, bytes]]:
    return {
        "/health": (200, b""),
        "/v1/models": (200, json.dumps({"data": [{"id": "orchestrator"}]}).encode()),
    }


@pytest.fixture
def url(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_healthy_with_and_without_v1(url: str) -> None:
    check(url, "orchestrator", 5)
    check(url + "/v1/", "orchestrator", 5)


def test_another_model_is_unhealthy(url: str) -> None:
    with pytest.raises(Unhealthy, match="serves orchestrator, not judge"):
        check(url, "judge", 5)


@pytest.mark.parametrize("answer", [(503, b""), (200, b"<html>"), (200, b"[]")])
def test_a_bad_answer_is_unhealthy(url: str, answers: dict[str, tuple[int, bytes]], answer: tuple[int, bytes]) -> None:
    answers["/v1/models"] = answer
    with pytest.raises(Unhealthy, match="/v1/models"):
        check(url, "orchestrator", 5)


def test_nobody_there(url: str) -> None:
    with pytest.raises(Unhealthy, match="refused"):
        check("http://127.0.0.1:1", "orchestrator", 5)
