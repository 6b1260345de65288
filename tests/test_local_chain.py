"""podium-local on the embedded default: real vLLM, FAISS and sandbox as processes, a few questions, one command."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from podium_vllm.embedded import build
from podium_vllm.health import Unhealthy, check

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]


def free_ports(n: int) -> list[int]:
    listeners = [socket.socket() for _ in range(n)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def local(root: Path, *options: str, timeout: float = 1400, **variables: str) -> subprocess.CompletedProcess[str]:
    """podium-local run --embedded in `root`, on ports of its own, with this clone's cached model and index."""
    passed = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")}
    vllm, retrieval, sandbox = free_ports(3)
    environment = passed | {
        "ORCHESTRATOR_URL": f"http://127.0.0.1:{vllm}/v1",
        "RETRIEVAL_URL": f"http://127.0.0.1:{retrieval}",
        "SANDBOX_URL": f"http://127.0.0.1:{sandbox}",
        "LOCAL_STATE_DIR": str(ROOT / ".podium"),
    }
    return subprocess.run(
        [sys.executable, "-m", "podium_local", "run", "--embedded", *options],
        env=environment | variables,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that podium-local takes for a clone, with a .env of its own and never the developer's."""
    root = tmp_path_factory.mktemp("clone")
    (root / "services").symlink_to(ROOT / "services")
    return root


@pytest.fixture(scope="module")
def second_server(root: Path) -> Iterator[str]:
    """A second real vLLM, which serves its model as `second`; its base address."""
    (port,) = free_ports(1)
    model = ROOT / ".podium" / "models" / "smollm2-135m"
    build(model)
    settings = dict(dotenv_values(ROOT / "services" / "vllm" / "embedded.env"))
    environment = {k: v for k, v in settings.items() if v and k.startswith("SERVE_")} | {
        "SERVE_MODEL": str(model),
        "SERVE_NAME": "second",
        "SERVE_PORT": str(port),
    }
    with (root / "second.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "podium_vllm", "serve"],
            env={k: v for k, v in os.environ.items() if not k.startswith("SERVE_")} | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 600
        while True:
            try:
                check(f"http://127.0.0.1:{port}", "second", 5)
                break
            except Unhealthy:
                assert server.poll() is None, (root / "second.log").read_text()[-3000:]
                assert time.monotonic() < deadline, "the second vLLM did not come up"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture(scope="module")
def run(root: Path, second_server: str) -> Path:
    """Four questions; with a warm orchestrator every tool is all but certain to be used."""
    (root / ".env").write_text(f"EXPERT_SEARCH_1=vllm/second@{second_server}\n")
    done = local(root, "--run-id", "chain", "--limit", "4")
    assert done.returncode == 0, done.stdout[-6000:]
    return root / "runs" / "chain"


def environ_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, (run / "events.jsonl").read_text().splitlines()) if e["type"] == kind]


def test_every_task_finishes_once_and_none_as_an_error(run: Path) -> None:
    done = events(run, "task_complete")
    assert len({e["task_id"] for e in done}) == len(done) == 4
    assert {e["status"] for e in done} == {"done"}
    assert events(run, "run_end")[-1]["reason"] == "finished"


def test_orchestrator_turns_are_timed_by_the_server(run: Path) -> None:
    turns = [e for e in events(run, "llm_call") if e["role"] == "orchestrator"]
    assert len(turns) >= 4
    for turn in turns:
        assert turn["timing_source"] == "server"
        assert turn["model"] == "orchestrator"
        assert min(turn["queue_ms"], turn["prefill_ms"], turn["decode_ms"]) >= 0
        assert turn["prefill_ms"] > 0
        assert turn["decode_ms"] > 0
        assert turn["queue_ms"] + turn["prefill_ms"] + turn["decode_ms"] <= turn["duration_ms"] + 50
        assert turn["prompt_tokens"] > 100


def test_every_tool_did_its_work(run: Path) -> None:
    calls = [e for e in events(run, "tool_call") if e["status"] == "ok"]
    used = Counter(e["tool"] for e in calls)
    searches = [e for e in calls if e["tool"] == "search"]
    assert any(e["n_documents"] for e in searches), used
    assert any(e["retrieval_encode_ms"] is not None for e in searches)
    programs = [e for e in calls if e["tool"] == "enhance_reasoning"]
    assert any(e["exec_ms"] is not None and e["exec_status"] for e in programs), used
    graded = [e for e in events(run, "judge") if e["correct"] is not None]
    assert graded, used


def test_the_report_is_written_and_nothing_is_left_running(run: Path) -> None:
    analysis = run / "analysis"
    assert (analysis / "report.html").stat().st_size > 10_000
    assert json.loads((analysis / "stats.json").read_text())
    assert list(analysis.glob("*_linear.png"))
    assert {p.name for p in (run / "services").iterdir()} == {"vllm.log", "retrieval.log", "sandbox.log", "live.log"}
    mark = f"RUNS_DIR={run.parent}".encode()
    left = [p.parent.name for p in Path("/proc").glob("[0-9]*/environ") if mark in environ_of(p)]
    assert not left


def test_one_line_in_env_sends_an_expert_to_another_server(run: Path, second_server: str) -> None:
    calls = [e for e in events(run, "llm_call") if e["role"] == "expert" and "error_type" not in e]
    there = [e for e in calls if e["alias"] == "search-1"]
    assert there, Counter(e["alias"] for e in calls)
    assert {(e["provider"], e["model"], e["server"]) for e in there} == {("vllm", "second", second_server)}
    others = {(e["model"], e["server"]) for e in calls if e["alias"] != "search-1"}
    assert len(others) == 1
    assert ("second", second_server) not in others


def test_a_finished_run_started_again_asks_nothing_more(root: Path, run: Path) -> None:
    before = len(events(run, "llm_call"))
    again = local(root, "--run-id", "chain", "--limit", "4", "--no-check")
    assert again.returncode == 0, again.stdout[-4000:]
    assert len(events(run, "task_complete")) == 4
    assert len(events(run, "llm_call")) == before


def test_a_service_that_cannot_start_ends_the_command(root: Path, run: Path) -> None:
    done = local(root, "--run-id", "broken", timeout=300, EMBEDDING_MODEL="/no/such/model")
    assert done.returncode == 3, done.stdout[-3000:]
    assert "retrieval ended with status 2" in done.stdout
    assert "/no/such/model" in done.stdout
    assert not (root / "runs" / "broken" / "events.jsonl").exists()
