"""The CPU stack in real containers: gated start, crashes in the middle of a run, resume, analysis, exit codes, walls.

One stack serves the whole module; images are built once. Runs lie in a folder of this machine, to be read here.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]
SERVICES = ("vllm", "retrieval", "sandbox")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass(frozen=True)
class Stack:
    """One compose project on the CPU files."""

    project: str
    runs: Path
    environment: dict[str, str]

    def compose(self, *argv: str, timeout: float = 900, **variables: str) -> subprocess.CompletedProcess[str]:
        files = ["-f", "docker-compose.yml", "-f", "docker-compose.cpu.yml"]
        return subprocess.run(
            ["docker", "compose", "--env-file", os.devnull, "-p", self.project, *files, *argv],
            cwd=ROOT,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def inspect(self, service: str) -> dict[str, Any]:
        found = self.compose("ps", "-aq", service, timeout=60).stdout.split()
        assert found, f"no container of {service}"
        return json.loads(subprocess.check_output(["docker", "inspect", found[-1]], timeout=60))[0]

    def kill(self, service: str) -> None:
        """kill -9 the service's own process, below the container's init."""
        init = self.inspect(service)["State"]["Pid"]
        children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
        assert children, f"{service} has no process"
        os.kill(int(children[0]), signal.SIGKILL)

    def events(self, run_id: str) -> list[dict[str, Any]]:
        log = self.runs / run_id / "events.jsonl"
        if not log.exists():
            return []
        return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def wait_until(condition: Callable[[], Any], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s:.0f} s"
        time.sleep(0.25)


def moment(text: str) -> float:
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    runs = tmp_path_factory.mktemp("runs")
    runs.chmod(0o777)  # eval's user in the container is not ours
    for parent in runs.parents[:2]:
        parent.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_HOST")} | {
        "RUNS_VOLUME": str(runs),
        "ORCHESTRATOR_PORT": str(free_port()),
        "RETRIEVAL_PORT": str(free_port()),
    }
    made = Stack(f"{os.environ.get('COMPOSE_PROJECT_NAME', 'podium')}-test-{os.getpid()}", runs, environment)
    built = made.compose("--profile", "analysis", "build", timeout=1700)
    assert built.returncode == 0, built.stdout[-4000:]
    try:
        yield made
    finally:
        made.compose("--profile", "analysis", "down", "-v", "--remove-orphans", "-t", "5", timeout=180)


def finished(events: list[dict[str, Any]]) -> list[str]:
    return [e["task_id"] for e in events if e["type"] == "task_complete"]


def test_a_run_survives_kill_9_of_every_process(stack: Stack) -> None:
    """Cold start, a crash of each service while tasks are in flight, a crash of eval, a resume, the report."""
    chosen = {"RUN_ID": "crashes", "LIMIT": "4"}
    started = stack.compose("up", "-d", "eval", **chosen)
    assert started.returncode == 0, started.stdout[-4000:]

    eval_began = moment(stack.inspect("eval")["State"]["StartedAt"])
    for service in SERVICES:
        checks = stack.inspect(service)["State"]["Health"]["Log"]
        first_healthy = min(moment(check["End"]) for check in checks if check["ExitCode"] == 0)
        assert first_healthy <= eval_began, f"eval started before {service} was healthy"

    calls = lambda: [e for e in stack.events("crashes") if e["type"] == "llm_call"]  # noqa: E731
    wait_until(calls, 300, "a first call")
    for service in SERVICES:
        stack.kill(service)
    wait_until(
        lambda: all(stack.inspect(s)["State"].get("Health", {}).get("Status") == "healthy" for s in SERVICES),
        300,
        "services healthy again",
    )
    assert [stack.inspect(service)["RestartCount"] for service in SERVICES] == [1, 1, 1]

    wait_until(lambda: finished(stack.events("crashes")), 600, "a first finished task")
    stack.kill("eval")
    wait_until(lambda: not stack.inspect("eval")["State"]["Running"], 30, "eval's end")
    assert stack.inspect("eval")["State"]["ExitCode"] == 137
    before = finished(stack.events("crashes"))

    resumed = stack.compose("up", "--no-deps", "--exit-code-from", "eval", "eval", **chosen)
    assert resumed.returncode == 0, resumed.stdout[-4000:]
    done = [e for e in stack.events("crashes") if e["type"] == "task_complete"]
    assert sorted({e["task_id"] for e in done}) == sorted(e["task_id"] for e in done), "a task was finished twice"
    assert len(done) == 4
    assert {e["status"] for e in done} == {"done"}
    assert set(before) <= set(finished(stack.events("crashes")))

    reported = stack.compose("run", "--rm", "analysis", RUN_ID="crashes")
    assert reported.returncode == 0, reported.stdout[-4000:]
    analysis = stack.runs / "crashes" / "analysis"
    assert (analysis / "report.html").stat().st_size > 10_000
    assert json.loads((analysis / "stats.json").read_text())


def test_the_sandboxs_container_lets_nothing_out(stack: Stack) -> None:
    """From a program in the sandbox: no other service, no secret, no file of the host, no lasting write."""
    program = (
        "import os, socket\n"
        "def reach(host, port):\n"
        "    try:\n"
        "        socket.create_connection((host, port), 3).close()\n"
        "        return 'reached'\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "def write(path):\n"
        "    try:\n"
        "        open(path, 'w').write('x')\n"
        "        return 'written'\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "print([reach('vllm', 1406), reach('retrieval', 1401), reach('eval', 80), reach('1.1.1.1', 53)])\n"
        "print([write('/x'), write('/usr/x'), write('/opt/x')])\n"
        "print(sorted(k for k in os.environ if 'KEY' in k or 'SANDBOX' in k))\n"
    )
    asked = (
        "import json, sys, urllib.request as r\n"
        "request = r.Request('http://sandbox:1402/run', json.dumps({'code': sys.argv[1], 'timeout_s': 30}).encode(),"
        " {'Content-Type': 'application/json'})\n"
        "print(r.urlopen(request, timeout=60).read().decode())\n"
    )
    started = stack.compose("up", "-d", "--wait", "sandbox")
    assert started.returncode == 0, started.stdout[-4000:]
    answer = stack.compose("run", "--rm", "--no-deps", "--entrypoint", "python", "eval", "-c", asked, program)
    assert answer.returncode == 0, answer.stdout
    outcome = json.loads(answer.stdout.splitlines()[-1])
    assert outcome["status"] == "ok", outcome
    reached, written, secrets = outcome["stdout"].splitlines()
    assert "'reached'" not in reached
    assert "'written'" not in written
    assert secrets == "[]"

    host = stack.inspect("sandbox")["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["PidsLimit"] == 1024
    assert host["Memory"] == host["MemorySwap"] == 8 << 30
    assert stack.inspect("sandbox")["Config"]["User"] not in ("", "0", "root")


def test_a_wrong_index_dir_stops_with_its_message(stack: Stack, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    # Ports of its own: the first stack's services may still be up.
    own = {"RESTARTS": "1", "ORCHESTRATOR_PORT": str(free_port()), "RETRIEVAL_PORT": str(free_port())}
    other = Stack(stack.project + "-wrong", stack.runs, stack.environment | own)
    try:
        ended = other.compose("up", "--exit-code-from", "eval", "eval", INDEX_DIR=str(tmp_path))
        assert ended.returncode != 0
        said = other.compose("logs", "--no-log-prefix", "settings").stdout
        assert "INDEX_DIR" in said, ended.stderr[-2000:]
        assert "eval.index" in said
        for service in ("eval", "vllm", "retrieval"):
            assert other.inspect(service)["State"]["Status"] == "created", f"{service} must not have started"
    finally:
        other.compose("--profile", "analysis", "down", "-v", "--remove-orphans", "-t", "2", timeout=180)
