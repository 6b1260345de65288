"""The service around programs: refusals, clients that leave, restarts, draining, metrics and the log."""

import concurrent.futures
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from podium_sandbox.settings import SandboxSettings
from prometheus_client.parser import text_string_to_metric_families

Start = Callable[..., Any]  # conftest's start_sandbox
WAIT_S = 60.0
SLEEPER = "import time\nprint('begun', flush=True)\ntime.sleep({})\n"


def until(condition: Callable[[], bool]) -> None:
    """Poll what only /health or /proc can tell."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pids: list[int]) -> bool:
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def metric(service: Any, name: str, **labels: str) -> float | None:
    text = service.client.get("/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_a_full_queue_refuses_and_long_waits_end(start_sandbox: Start):
    service = start_sandbox(
        {"SANDBOX_CONCURRENCY": "1", "SANDBOX_QUEUE": "1", "SANDBOX_QUEUE_TIMEOUT_S": "1", "SANDBOX_RETRY_AFTER_S": "7"}
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(service.run, SLEEPER.format(2.5))
        until(lambda: service.health()["running"] == 1)
        second = pool.submit(service.client.post, "/run", json={"code": "print(2)"})
        until(lambda: service.health()["waiting"] == 1)
        begun = time.monotonic()
        third = service.client.post("/run", json={"code": "print(3)"})
        assert time.monotonic() - begun < 1
        assert (third.status_code, third.headers["retry-after"]) == (429, "7")
        assert third.json() == {"detail": "1 programs run and 1 wait"}
        waited = second.result()
        assert (waited.status_code, waited.headers["retry-after"]) == (503, "7")
        assert "SANDBOX_QUEUE_TIMEOUT_S=1" in waited.json()["detail"]
        assert first.result()["status"] == "ok"
    assert metric(service, "podium_sandbox_refused_total", reason="queue_full") == 1
    assert metric(service, "podium_sandbox_refused_total", reason="waited") == 1
    service.assert_undisturbed()


def test_a_client_that_leaves_ends_its_program(start_sandbox: Start):
    service = start_sandbox()
    with httpx2.Client(base_url=service.url, timeout=0.5) as client, pytest.raises(httpx2.ReadTimeout):
        client.post("/run", json={"code": SLEEPER.format(15)})
    until(lambda: service.health()["running"] == 0)
    assert metric(service, "podium_sandbox_refused_total", reason="client_left") == 1
    service.assert_undisturbed()


def test_bad_requests_say_what_is_wrong(start_sandbox: Start):
    service = start_sandbox()
    post = service.client.post
    for body, part in (
        ({}, "code"),
        ({"code": 3}, "code"),
        ({"code": "1", "timeout_s": -1}, "timeout_s"),
        ({"code": "1", "timeout_s": "soon"}, "timeout_s"),
    ):
        response = post("/run", json=body)
        assert response.status_code == 422
        assert part in str(response.json()["detail"])
    assert "SANDBOX_MAX_TIMEOUT_S allows 30" in post("/run", json={"code": "1", "timeout_s": 31}).json()["detail"]
    surrogate = post("/run", content=b'{"code": "x = \'\\ud800\'"}', headers={"content-type": "application/json"})
    assert surrogate.status_code == 422
    long = post("/run", json={"code": "#" * 100_001})
    assert long.status_code == 413
    assert "SANDBOX_CODE_BYTES allows 100000" in long.json()["detail"]
    assert "SANDBOX_CODE_BYTES=100000" in post("/run", json={"code": "#" * 1_000_000}).json()["detail"]
    chunked = post("/run", content=(b"#" * 100_000 for _ in range(100)), headers={"content-type": "application/json"})
    assert chunked.status_code == 413
    assert "SANDBOX_CODE_BYTES=100000" in chunked.json()["detail"]
    for endless in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = b'{"code": "1", "timeout_s": %s}' % endless.encode()
        response = post("/run", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 422
        assert "timeout_s" in response.json()["detail"]
    assert service.run("")["status"] == "ok"
    assert service.run("x = 'a\0b'")["status"] == "error"  # no source may hold a null byte
    service.assert_undisturbed()


def test_the_default_libraries_are_loaded_once_without_threads(start_sandbox: Start):
    default = SandboxSettings.model_fields["preload"].default
    service = start_sandbox({"SANDBOX_PRELOAD": default})
    assert {"numpy", "scipy", "sympy", "pandas", "matplotlib"} <= set(service.health()["versions"])
    (zygote,) = service.zygotes()
    assert len(os.listdir(f"/proc/{zygote}/task")) == 1  # no other thread survives a fork
    answer = service.run(f"import sys\nprint(set({default!r}.split(',')) - set(sys.modules))\n")
    assert answer["stdout"] == "set()\n"


def test_cpu_time_between_two_looks_is_named(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_CPU_S": "0.5", "SANDBOX_WATCH_S": "60", "SANDBOX_PRELOAD": "math"})
    answer = service.run("while True: pass")
    assert (answer["status"], answer["exit_code"]) == ("timeout", None)
    assert "more CPU time than its limit of 0.5 s" in answer["stderr"]


def test_a_lost_scratch_folder_is_an_answer_in_json(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_WALLS": "filters", "SANDBOX_PRELOAD": "math"})
    service.scratch.rename(service.scratch.with_name("elsewhere"))
    response = service.client.post("/run", json={"code": "print(1)"})
    assert response.status_code == 500
    assert response.json()["detail"].startswith("no place for a program: ")


def test_a_killed_zygote_fails_its_runs_and_is_replaced(start_sandbox: Start):
    service = start_sandbox()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(service.client.post, "/run", json={"code": SLEEPER.format(15)})
        until(lambda: service.health()["running"] == 1 and len(service.zygotes()) > 1)
        before = service.zygotes()
        os.kill(before[0], signal.SIGKILL)
        response = run.result()
    assert response.status_code in (500, 503)
    assert "has ended" in response.json()["detail"]
    until(lambda: gone(before))
    until(lambda: service.client.get("/health").status_code == 200)
    assert service.health()["restarts"] == 1
    assert service.run("print(1)")["stdout"] == "1\n"


def test_a_stuck_zygote_is_replaced(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_GRACE_S": "0.5"})
    os.kill(service.zygotes()[0], signal.SIGSTOP)
    response = service.client.post("/run", json={"code": "print(1)"})
    assert response.status_code in (500, 503)
    until(lambda: service.client.get("/health").status_code == 200)
    assert service.health()["restarts"] == 1
    until(lambda: service.client.post("/run", json={"code": "print(1)"}).status_code == 200)


def test_nothing_survives_a_killed_service(start_sandbox: Start):
    for walls in ("auto", "filters"):
        service = start_sandbox({"SANDBOX_WALLS": walls})
        with concurrent.futures.ThreadPoolExecutor() as pool:
            run = pool.submit(service.client.post, "/run", json={"code": SLEEPER.format(15)})
            until(lambda service=service: service.health()["running"] == 1 and len(service.zygotes()) > 1)
            pids = service.zygotes()
            service.process.kill()
            with pytest.raises(httpx2.HTTPError):
                run.result()
        until(lambda pids=pids: gone(pids))
        service.end()


def test_sigterm_lets_programs_finish(start_sandbox: Start):
    service = start_sandbox()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(service.run, "import time\ntime.sleep(1)\nprint('finished')\n")
        until(lambda: service.health()["running"] == 1)
        service.process.send_signal(signal.SIGTERM)
        assert run.result()["stdout"] == "finished\n"
    pids = service.zygotes()
    assert service.process.wait(WAIT_S) == 0
    assert gone(pids)
    assert [path.name for path in service.scratch.iterdir()] == ["root"]


def half_a_request(service: Any) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", httpx2.URL(service.url).port), timeout=WAIT_S)
    connection.sendall(
        b'POST /run HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"co'
    )
    return connection


def test_programs_that_outlast_the_drain_are_answered_in_json(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_DRAIN_S": "1", "SANDBOX_CONCURRENCY": "1", "SANDBOX_RETRY_AFTER_S": "7"})
    with concurrent.futures.ThreadPoolExecutor() as pool, half_a_request(service) as half:
        running = pool.submit(httpx2.post, f"{service.url}/run", json={"code": SLEEPER.format(20)}, timeout=WAIT_S)
        until(lambda: service.health()["running"] == 1)
        waiting = pool.submit(httpx2.post, f"{service.url}/run", json={"code": "print(1)"}, timeout=WAIT_S)
        until(lambda: service.health()["waiting"] == 1)
        begun = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        for answer in (running.result(), waiting.result()):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
            assert answer.json() == {"detail": "the service is stopping: SANDBOX_DRAIN_S=1 is over"}
        assert half.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert service.process.wait(WAIT_S) == 0
        assert 1 <= time.monotonic() - begun < 10
    assert [path.name for path in service.scratch.iterdir()] == ["root"]


def test_a_body_that_does_not_arrive_is_refused(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_BODY_TIMEOUT_S": "0.3"})
    with half_a_request(service) as half:
        answer = b""
        while not answer.endswith(b"}"):
            piece = half.recv(4096)
            assert piece
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"SANDBOX_BODY_TIMEOUT_S=0.3" in answer
    assert service.run("import time\ntime.sleep(1)\nprint(1)")["stdout"] == "1\n"  # a program's time is not the body's


def test_each_run_is_one_log_line_without_the_program(start_sandbox: Start):
    service = start_sandbox()
    service.run("print('a-private-word')")
    entry = service.log(lambda line: line.get("message") == "run")
    assert entry["status"] == "ok"
    assert entry["exit_code"] == 0
    assert {"wait_ms", "startup_ms", "duration_ms", "cpu_ms", "max_rss_bytes", "output_bytes", "truncated"} <= set(
        entry
    )
    assert "a-private-word" not in "".join(service.lines)
    assert metric(service, "podium_sandbox_runs_total", status="ok") == 1
    assert metric(service, "podium_sandbox_run_seconds_count", status="ok") == 1


def test_debug_logs_the_program(start_sandbox: Start):
    service = start_sandbox({"SANDBOX_LOG_LEVEL": "DEBUG"})
    service.run("print('a-private-word')")
    entry = service.log(lambda line: line.get("message") == "program")
    assert entry["code"] == "print('a-private-word')"
