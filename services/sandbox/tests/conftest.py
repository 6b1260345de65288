"""A sandbox as a real process for the tests, in each kind of isolation that this machine allows."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from podium_sandbox.isolation import libc

SMALL = {
    "SANDBOX_HOST": "127.0.0.1",
    "SANDBOX_PORT": "0",
    "SANDBOX_CONCURRENCY": "4",
    "SANDBOX_TIMEOUT_S": "30",
    "SANDBOX_MAX_TIMEOUT_S": "30",
    "SANDBOX_CPU_S": "10",
    "SANDBOX_MEMORY_BYTES": str(384 << 20),
    "SANDBOX_PROCESSES": "16",
    "SANDBOX_FILE_BYTES": str(4 << 20),
    "SANDBOX_SCRATCH_BYTES": str(8 << 20),
    "SANDBOX_OUTPUT_BYTES": "4096",
    "SANDBOX_OUTPUT_KILL_BYTES": str(2 << 20),
    "SANDBOX_CODE_BYTES": "100000",
    "SANDBOX_WATCH_S": "0.05",
    "SANDBOX_PRELOAD": "numpy",
    "OPENAI_API_KEY": "sk-do-not-leak",
}
LIBRARIES = {"SANDBOX_PRELOAD": "numpy,scipy.special,scipy.integrate,sympy,pandas,matplotlib.pyplot"}
WAIT_S = 60.0
IMAGE = "podium-sandbox-test"


def drop_all_capabilities() -> None:
    """As in a container that drops them all: root may then do no more than anyone."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; exec then grants none


class Sandbox:
    """A sandbox under test: its address, and what it must not leave behind."""

    url: str
    client: httpx2.Client
    scratch: Path
    pids: list[int]
    """Numbers of its processes as programs would see them."""

    def connect(self, url: str) -> None:
        self.url = url
        self.client = httpx2.Client(base_url=url, timeout=WAIT_S)

    def run(self, code: str, timeout_s: float | None = None) -> dict[str, Any]:
        response = self.client.post("/run", json={"code": code, "timeout_s": timeout_s})
        assert response.status_code == 200, response.text
        return response.json()

    def health(self) -> dict[str, Any]:
        response = self.client.get("/health")
        assert response.status_code == 200, response.text
        return response.json()

    def zygotes(self) -> list[int]:
        """Process ids of this sandbox's zygote and of all that were forked from it."""
        mark = str(self.scratch / "root").encode()
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"podium_sandbox.process.zygote" in command and mark in command:
                    found.append(int(entry.name))
        return sorted(found)

    def files(self) -> list[str]:
        """All paths below the folder of scratch folders."""
        return sorted(str(path.relative_to(self.scratch)) for path in self.scratch.rglob("*"))

    def assert_undisturbed(self) -> None:
        """Healthy, nothing running, the same zygote alone, and no file left."""
        health = self.health()
        assert health["running"] == health["waiting"] == health["restarts"] == 0
        assert len(self.zygotes()) == 1
        assert self.files() == ["root"]


class Service(Sandbox):
    """A sandbox as a process of this machine, with its log lines."""

    def __init__(
        self,
        scratch: Path,
        settings: dict[str, str],
        before: Callable[[], None] | None = None,
    ) -> None:
        self.scratch = scratch
        environment = {"PATH": os.environ["PATH"], **SMALL, "SANDBOX_SCRATCH_DIR": str(scratch), **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "podium_sandbox", "serve"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        line = self.log(lambda entry: "Uvicorn running on" in str(entry.get("message")))
        self.connect(next(word for word in line["message"].split() if word.startswith("http://")))
        self.pids = [self.process.pid, *self.zygotes()]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self.lines.append("")
            self._news.notify_all()

    def log(self, matches: Callable[[dict[str, Any]], bool], after: int = 0) -> dict[str, Any]:
        """The first log entry from index `after` on that matches; waits for it."""
        deadline = time.monotonic() + WAIT_S
        at = after
        with self._news:
            while True:
                while at < len(self.lines):
                    assert self.lines[at] != "", "the service ended:\n" + "".join(self.lines)
                    try:
                        entry = json.loads(self.lines[at])
                    except ValueError:
                        entry = {}
                    at += 1
                    if matches(entry):
                        return entry
                left = deadline - time.monotonic()
                assert left > 0, "no such line in:\n" + "".join(self.lines)
                self._news.wait(left)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop it, if it still runs, and close what the test holds of it. Returns the exit status."""
        self.client.close()
        self.process.send_signal(number)
        status = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


class Container(Sandbox):
    """The sandbox's image, confined as docker-compose.yml confines it."""

    scratch = Path("/tmp/podium-sandbox")

    def __init__(self) -> None:
        root = Path(__file__).parents[3]
        self._docker("build", "-q", "-f", str(root / "services/sandbox/Dockerfile"), "-t", IMAGE, str(root))
        confined = ("--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
        limits = ("--tmpfs", "/tmp:mode=1777,size=512m", "--pids-limit", "256", "--memory", "3g")
        address = ("SANDBOX_HOST", "SANDBOX_PORT")
        settings = [f"--env={name}={value}" for name, value in (SMALL | LIBRARIES).items() if name not in address]
        self._id = self._docker("run", "-d", *confined, *limits, *settings, "-p", "127.0.0.1:0:1402", IMAGE)
        port = self._docker("port", self._id, "1402/tcp").rpartition(":")[2]
        self.connect(f"http://127.0.0.1:{port}")
        self.pids = list(range(1, 40))
        deadline = time.monotonic() + WAIT_S
        while not self._answers():
            if time.monotonic() > deadline:
                log = self._docker("logs", self._id)
                self.end()
                raise AssertionError(log)
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx2.HTTPError:
            return False

    @staticmethod
    def _docker(*arguments: str) -> str:
        result = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def zygotes(self) -> list[int]:
        lines = self._docker("top", self._id, "-eo", "pid,args").splitlines()
        return [int(line.split()[0]) for line in lines if "podium_sandbox.process.zygote" in line]

    def files(self) -> list[str]:
        found = self._docker("exec", self._id, "find", str(self.scratch), "-mindepth", "1", "-printf", "%P\n")
        return sorted(found.split())

    def end(self) -> None:
        self.client.close()
        self._docker("rm", "-f", self._id)


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts sandboxes with settings of the test's own; ends those that still run."""
    started: list[Service] = []

    def start(settings: dict[str, str] | None = None, before: Callable[[], None] | None = None) -> Service:
        scratch = tmp_path / f"scratch-{len(started)}"
        scratch.mkdir()
        service = Service(scratch, settings or {}, before)
        started.append(service)
        return service

    yield start
    for service in started:
        service.end()


OTHER_USER = 1_800_000_000
CAP_SYS_PTRACE, CAP_SYS_ADMIN = 19, 21


def closed_folder() -> Path | None:
    """The outermost folder above our interpreter that others cannot enter."""
    above = Path(sys.base_prefix).resolve().parents
    return next((folder for folder in reversed(above) if not folder.stat().st_mode & 0o001), None)


def open_interpreter() -> None:
    """In a mount namespace of our own, let every user reach the interpreter, which may lie in root's home."""
    if (closed := closed_folder()) is None:
        return
    base = Path(sys.base_prefix).resolve()
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
    held = os.open(base, os.O_PATH)
    libc.mount("tmpfs", str(closed), "tmpfs", 0, "size=1m,mode=755")
    base.mkdir(parents=True)
    libc.mount(f"/proc/self/fd/{held}", str(base), None, libc.MS_BIND)
    os.close(held)


def become_another_user() -> None:
    open_interpreter()
    os.setgroups([])
    os.setresgid(OTHER_USER, OTHER_USER, OTHER_USER)
    os.setresuid(OTHER_USER, OTHER_USER, OTHER_USER)


def become_root_of_a_container() -> None:
    """Root that may become other users, but neither trace processes nor make namespaces."""
    open_interpreter()
    for capability in (CAP_SYS_PTRACE, CAP_SYS_ADMIN):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.fixture
def interpreter_is_closed() -> bool:
    """Whether only root can reach our interpreter."""
    return os.geteuid() == 0 and closed_folder() is not None


@pytest.fixture(
    scope="session",
    params=["auto", "filters", "own user", "another user", pytest.param("container", marks=pytest.mark.docker)],
)
def shared_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """One sandbox for each kind of isolation, shared by the tests of a worker. As root `auto` has root's namespaces."""
    if request.param == "container":
        if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
            pytest.skip("no Docker engine answers")
        container = Container()
        yield container
        container.end()
        return
    with tempfile.TemporaryDirectory(prefix="podium-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        scratch = folder / "scratch"
        scratch.mkdir()
        if request.param == "auto":
            service = Service(scratch, LIBRARIES)
        elif request.param == "filters":
            service = Service(scratch, {"SANDBOX_WALLS": "filters"}, drop_all_capabilities)
        elif os.geteuid() != 0:
            pytest.skip("the tests run as a user without rights: auto covers it")
        elif request.param == "own user":
            service = Service(scratch, {"SANDBOX_WALLS": "filters"}, become_root_of_a_container)
        else:
            os.chown(scratch, OTHER_USER, OTHER_USER)
            service = Service(scratch, {}, become_another_user)
        yield service
        service.end()


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A shared sandbox that must be undisturbed by whatever the test made it run."""
    yield shared_sandbox
    shared_sandbox.assert_undisturbed()
