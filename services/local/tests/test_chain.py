"""podium-local as a command: order, exit statuses, signals and leftovers. The parts below it are small real processes
that stand in for vLLM, retrieval, sandbox, eval and analysis; the chain with the real ones is in tests/ at the root."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
def server(port):
    open(os.environ["RUNS_DIR_FOR_TEST"] + "/pids", "a").write(f"{os.getpid()}\\n")
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"data": [{"id": "orchestrator"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args): pass
    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""
PARTS = {
    "podium_vllm": "from stand_in import server\nimport os\nserver(os.environ['SERVE_PORT'])\n",
    "podium_retrieval": "from stand_in import server\nimport os\nserver(os.environ['RETRIEVAL_PORT'])\n",
    "podium_sandbox": "from stand_in import server\nimport os\nserver(os.environ['SANDBOX_PORT'])\n",
    "podium_live": "from stand_in import server\nimport os\nserver(os.environ['LIVE_PORT'])\n",
    "podium_eval": """
import json, os, signal, sys, time, urllib.request
folder = os.path.join(os.environ["RUNS_DIR"], os.environ["RUN_ID"])
os.makedirs(folder, exist_ok=True)
def end(number, frame):
    open(os.path.join(folder, "signal"), "w").write(str(number))
    sys.exit(1)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
urllib.request.urlopen(os.environ["ORCHESTRATOR_URL"] + "/models", timeout=5)
open(os.path.join(folder, "pid.part"), "w").write(str(os.getpid()))
os.rename(os.path.join(folder, "pid.part"), os.path.join(folder, "pid"))
json.dump(sys.argv[1:], open(os.path.join(folder, "options"), "w"))
if os.environ.get("EVAL_WAITS"):
    time.sleep(600)
sys.exit(int(os.environ.get("EVAL_STATUS", "0")))
""",
    "podium_analysis": """
import os, sys
folder = os.path.join(os.environ["RUNS_DIR"], sys.argv[-1], "analysis")
os.makedirs(folder, exist_ok=True)
open(os.path.join(folder, "report.html"), "w").write("report")
sys.exit(int(os.environ.get("ANALYSIS_STATUS", "0")))
""",
}


class Local:
    """podium-local in a folder of its own, with the stand-ins in front of the real packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_folder = folder / "runs" / "r"
        packages = folder / "packages"
        for name, program in PARTS.items():
            (packages / name).mkdir(parents=True)
            (packages / name / "__init__.py").touch()
            (packages / name / "__main__.py").write_text(program)
        (packages / "stand_in.py").write_text(SERVER)
        self.ports = self._free_ports()
        self.environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")} | {
            "PYTHONPATH": str(packages),
            "ORCHESTRATOR_URL": f"http://127.0.0.1:{self.ports[0]}/v1",
            "RETRIEVAL_URL": f"http://127.0.0.1:{self.ports[1]}",
            "SANDBOX_URL": f"http://127.0.0.1:{self.ports[2]}",
            "SANDBOX_DIR": str(folder),
            "LIVE_PORT": str(self.ports[3]),
            "RUNS_DIR_FOR_TEST": str(folder),
            "LOCAL_STOP_TIMEOUT_S": "2",
            "LOCAL_START_TIMEOUT_S": "60",
        }
        # The sandbox gets only its own variables: its stand-in needs one of another name.
        sandbox = packages / "podium_sandbox" / "__main__.py"
        sandbox.write_text(
            "import os\nos.environ['RUNS_DIR_FOR_TEST'] = os.environ['SANDBOX_DIR']\n" + sandbox.read_text()
        )

    @staticmethod
    def _free_ports() -> list[int]:
        listeners = [socket.socket() for _ in range(4)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        ports = [listener.getsockname()[1] for listener in listeners]
        for listener in listeners:
            listener.close()
        return ports

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "podium_local", "run", "--run-id", "r", *options],
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for_eval(self) -> None:
        wait_until((self.run_folder / "pid").exists, "eval's start")

    def left(self) -> list[int]:
        """Processes of the chain that are still alive."""
        pids = [int(line) for line in (self.folder / "pids").read_text().split()]
        if (self.run_folder / "pid").exists():
            pids.append(int((self.run_folder / "pid").read_text()))
        return [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Any, what: str, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in time"
        time.sleep(0.02)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    made = Local(tmp_path)
    yield made
    for pid in made.left() if (tmp_path / "pids").exists() else []:
        os.kill(pid, signal.SIGKILL)


def test_services_then_eval_then_analysis_and_nothing_left(local: Local) -> None:
    process = local.start("--limit", "3", EVAL_STATUS="1")
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 1, out
    assert json.loads((local.run_folder / "options").read_text()) == ["run", "--limit", "3"]
    assert f"report: {local.run_folder / 'analysis' / 'report.html'}" in out
    assert {p.name for p in (local.run_folder / "services").iterdir()} == {
        *("vllm.log", "retrieval.log", "sandbox.log", "live.log"),
    }
    assert local.left() == []


@pytest.mark.parametrize(
    ("eval_status", "analysis_status", "status", "analysed"),
    [("0", "0", 0, True), ("0", "2", 2, True), ("2", "0", 2, False)],
)
def test_the_exit_status(local: Local, eval_status: str, analysis_status: str, status: int, analysed: bool) -> None:
    process = local.start(EVAL_STATUS=eval_status, ANALYSIS_STATUS=analysis_status)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == status, out
    assert (local.run_folder / "analysis").exists() is analysed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_eval_in_order_and_the_rest(local: Local, number: signal.Signals) -> None:
    process = local.start(EVAL_WAITS="1")
    local.wait_for_eval()
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (local.run_folder / "signal").read_text() == str(int(number))
    assert process.returncode == 1, out
    assert "podium-analysis report --run r" in out
    assert not (local.run_folder / "analysis").exists()
    assert local.left() == []


def test_a_signal_while_services_start_ends_everything(local: Local) -> None:
    # Retrieval never answers: its port is where nothing of it listens.
    process = local.start(RETRIEVAL_URL="http://127.0.0.1:1")
    wait_until(lambda: (local.folder / "pids").exists(), "a first service")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert local.left() == []


def test_kill_9_of_podium_local_leaves_nothing(local: Local) -> None:
    process = local.start(EVAL_WAITS="1")
    local.wait_for_eval()
    wait_until(lambda: len(local.left()) == 5, "the live page beside the four others")
    process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: local.left() == [], "the end of everything")


def test_a_service_that_dies_mid_run_comes_back(local: Local) -> None:
    process = local.start(EVAL_WAITS="1")
    local.wait_for_eval()
    first = [int(line) for line in (local.folder / "pids").read_text().split()]
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: len((local.folder / "pids").read_text().split()) == 4, "the service's return")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "died with status 137, started again (1 of 20)" in out
    assert local.left() == []


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_the_live_page_stands_beside_eval(local: Local) -> None:
    process = local.start(EVAL_WAITS="1")
    local.wait_for_eval()
    wait_until(lambda: answers(local.ports[3]), "the live page")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert f"live page: http://127.0.0.1:{local.ports[3]}/runs/r" in output
    assert local.left() == []


def test_no_live_page_where_told_or_taken(local: Local) -> None:
    process = local.start("--no-live")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, "live page" in output) == (0, False)
    with socket.create_server(("127.0.0.1", local.ports[3])):
        process = local.start()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"no live page: http://127.0.0.1:{local.ports[3]} is taken" in output


def test_bad_settings_are_named_with_status_2(local: Local) -> None:
    for variables, said in (
        ({"LOCAL_START_TIMEOUT_S": "soon"}, "LOCAL_START_TIMEOUT_S"),
        ({"LOCAL_REUSE": "vlm"}, "LOCAL_REUSE"),
        ({"SANDBOX_URL": "http://sandbox"}, "SANDBOX_URL"),
    ):
        process = local.start(**variables)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 2, out
        assert said in out
        assert "Traceback" not in out
