"""Runs as the eval writes them, and the service over them: its application, or a process of its own."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from podium_live.api.app import create_app
from podium_live.settings import LiveSettings

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("podium_run_maker", ROOT / "analysis/tests/conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_MAKER = importlib.util.module_from_spec(_SPEC)
sys.modules["podium_run_maker"] = _MAKER
_SPEC.loader.exec_module(_MAKER)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def make_run(runs: Path) -> Callable[..., Path]:
    """make_run(name, **options of RunMaker) writes a run that has ended."""

    def make(name: str = "run", **options: Any) -> Path:
        return _MAKER.RunMaker(runs / name, **options).write()

    return make


@pytest.fixture
async def asked(runs: Path) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """asked(**settings): a client of an application over `runs`."""
    clients: list[httpx.AsyncClient] = []
    made: list[Any] = []

    def client(host: str = "127.0.0.1:1480", **settings: Any) -> httpx.AsyncClient:
        app = create_app(LiveSettings(runs_dir=runs, _env_file=None, **settings))
        made.append(app.state.parts.made)
        transport = httpx.ASGITransport(app)
        clients.append(httpx.AsyncClient(transport=transport, base_url=f"http://{host}"))
        return clients[-1]

    yield client
    for one in clients:
        await one.aclose()
    for one in made:
        one.close()


class Service:
    """`podium-live serve` as a process of its own."""

    def __init__(self, runs: Path, port: int = 0, **variables: str) -> None:
        self.runs = runs
        self.port = port or _free_port()
        self.variables = variables
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Service":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "podium_live", "serve", "--runs-dir", str(self.runs), "--port", str(self.port)],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.runs), **self.variables},
            cwd=self.runs,
        )
        for _ in range(600):
            try:
                httpx.get(f"{self.address}/health", timeout=5)
            except httpx.TransportError:
                assert self.process.poll() is None, "podium-live ended"
                _pause(0.05)
            else:
                return self
        raise AssertionError("podium-live does not answer")

    def snapshot(self, path: str) -> dict[str, Any]:
        """The newest message of a stream."""
        with httpx.stream("GET", f"{self.address}/stream/{path}", timeout=20) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    return json.loads(line[6:])
        raise AssertionError("the stream ended")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _pause(seconds: float) -> None:
    import time

    time.sleep(seconds)


@pytest.fixture
def service(runs: Path) -> Iterator[Callable[..., Service]]:
    """service(**variables) starts one over `runs`."""
    made: list[Service] = []

    def start(**variables: str) -> Service:
        made.append(Service(runs, **variables))
        return made[-1].start()

    yield start
    for one in made:
        one.kill()
