"""Every way a run stops before its end, and that the same command then finishes it."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from harness.chain import EXPERTS, call, numbered, questions, server
from harness.process import LIMIT_S, Eval, assert_whole
from loopback.openai_server import Rule


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_one_signal_lets_the_turns_in_flight_end(number: signal.Signals, tmp_path: Path) -> None:
    ids = numbered(30)
    async with server(latency_s=0.2) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=5)
        await run.start()
        await stub.arrived(12)
        run.signal(number)
        assert await run.ended() == 1
        end = run.events()[-1]
        assert (end["type"], end["reason"]) == ("run_end", "interrupted")
        assert end["n_left"] > 0
        # What was in flight was finished, not dropped: every turn that was asked is in a checkpoint or a record.
        asked = len([e for e in run.events("llm_call") if e["role"] == "orchestrator"])
        assert len(run.events("tool_call")) == asked
        stub.latency_s = 0.0
        assert await run.run() == 0, run.said
        calls = [e for e in run.events("llm_call") if e["role"] == "orchestrator"]
        assert len(calls) == 3 * len(ids), "a finished turn was asked again"
    assert_whole(run, ids)


async def test_nohup_is_left_in_force(tmp_path: Path) -> None:
    ids = numbered(6)
    ignoring = (
        "import runpy, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "runpy.run_module('podium_eval', run_name='__main__', alter_sys=True)\n"
    )
    async with server(latency_s=0.05) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=2)
        await run.start(source=ignoring)
        await stub.arrived(6)
        run.signal(signal.SIGHUP)
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)


async def test_a_terminal_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    ids = numbered(12)
    async with server(latency_s=0.02) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=2)
        read, write = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "podium_eval", "run"), stdout=write, stderr=write, env=run.environment, cwd=tmp_path
        )
        os.close(write)
        await stub.arrived(6)
        os.close(read)
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0
    assert_whole(run, ids)


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    ids = numbered(6)
    async with server(latency_s=120.0) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), grace_s=100)
        await run.start()
        await stub.arrived(6)
        began = time.monotonic()
        run.signal(signal.SIGINT)
        await run.says("again to stop now")
        run.signal(signal.SIGINT)
        assert await run.ended() == 1
        assert time.monotonic() - began < 20
        assert "again to stop now" not in run.said.splitlines()[-1]
        assert run.events()[-1]["reason"] == "interrupted"
        stub.latency_s = 0.0
        assert await run.run() == 0, run.said
    assert_whole(run, ids)


async def test_the_grace_period_ends(tmp_path: Path) -> None:
    ids = numbered(2)
    async with server(latency_s=120.0) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), grace_s=0.2)
        await run.start()
        await stub.arrived(2)
        run.signal(signal.SIGTERM)
        assert await run.ended() == 1
        stub.latency_s = 0.0
        assert await run.run() == 0, run.said
    assert_whole(run, ids)


async def test_a_file_size_limit_stops_the_run_clearly(tmp_path: Path) -> None:
    ids = numbered(60)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        assert await run.run(file_limit=60_000) == 1, run.said
        assert "the disk is full" in run.said
        assert "run the same command again" in run.said
        assert 0 < len(run.records()) < len(ids)
        assert run.folder.events.stat().st_size <= 60_000
        run.events()  # every line is whole
        assert await run.run() == 0, run.said
    assert_whole(run, ids)


IN_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=700k tmpfs "$RUNS_DIR"
set +e
"$PYTHON" -m podium_eval run; echo "first $?"
"$PYTHON" - <<'CHECK'
import json, os
lines = open(os.environ["RUNS_DIR"] + "/run/events.jsonl", "rb").read().split(b"\\n")
assert lines.pop() == b"", "half a line stayed"
[json.loads(line) for line in lines]
CHECK
echo "whole $?"
mount -o remount,size=64m "$RUNS_DIR"
"$PYTHON" -m podium_eval run; echo "second $?"
cp -a "$RUNS_DIR/run" "$KEPT"
"""


async def test_a_full_disk_stops_the_run_resumably(tmp_path: Path) -> None:
    """A real file system of 700 kB, in a mount namespace of its own."""
    probe = await asyncio.create_subprocess_exec(
        "unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await probe.wait() != 0:
        pytest.skip("this kernel allows no mount namespace to this user")
    ids = numbered(80)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        run.runs.mkdir()
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", IN_A_SMALL_DISK),
            env={
                **run.environment,
                "PATH": os.environ["PATH"],
                "PYTHON": sys.executable,
                "KEPT": str(tmp_path / "kept"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 120)
    said = out.decode()
    assert "first 1" in said, said
    assert "the disk is full" in said
    assert "whole 0" in said
    assert "second 0" in said, said
    (tmp_path / "kept").rename(run.folder.path)
    assert_whole(run, ids)


async def test_a_wall_time_limit_ends_a_task_by_name(tmp_path: Path) -> None:
    async with server(latency_s=120.0) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["slow"]), task_timeout_s=0.3)
        assert await run.run() == 1, run.said
    record = run.records()["slow"]
    assert (record.status, record.ending, record.correct) == ("done", "time_limit", False)
    assert record.judgements[0].method == "unanswered"


async def test_the_turn_limit_ends_a_task_by_name(tmp_path: Path) -> None:
    async with server(script=[Rule([call("search", "search-1")], contains=("Call one tool now",)), *EXPERTS]) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["round"]), max_rounds=4)
        assert await run.run() == 1, run.said
    record = run.records()["round"]
    assert (record.status, record.ending, record.correct, record.rounds) == ("done", "round_limit", False, 4)


async def test_tasks_wait_for_lost_services_to_return(tmp_path: Path) -> None:
    ids = numbered(12)
    async with server() as stub, server() as services:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ids),
            retrieval_url=services.address,
            sandbox_url=services.address,
            concurrency=4,
            heartbeat_s=0.2,
        )
        port = services.port
        await services.stop()
        await run.start()
        await stub.arrived(8)
        await run.says("[BREAKER] retrieval is open")
        await run.says("; retrieval is down (")
        async with server(port=port):
            assert await run.ended() == 0
    assert_whole(run, ids)
    states = [(event["service"], event["state"]) for event in run.events("breaker")]
    assert ("retrieval", "open") in states
    assert states[-1][1] == "closed"


async def test_a_resume_repairs_tasks_of_a_lost_orchestrator(tmp_path: Path) -> None:
    ids = numbered(3)
    async with server() as stub, server() as orchestrator:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ids),
            orchestrator_url=f"{orchestrator.address}/v1",
            breaker_wait_s=0.5,
        )
        port = orchestrator.port
        await orchestrator.stop()
        assert await run.run() == 1, run.said
        assert {record.error_type for record in run.records().values()} == {"connection"}
        async with server(port=port):
            assert await run.run() == 0, run.said
    assert_whole(run, ids)


async def test_ids_of_any_kind_stay_inside_the_folder_and_apart(tmp_path: Path) -> None:
    ids = ["../../etc/passwd", "x" * 300, "Größe/ß·猫\u202e", "Case", "case", ".", "a b\tc", "CON", "-rf"]
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        before = set(os.listdir(tmp_path))
        assert await run.run() == 0, run.said
        assert set(os.listdir(tmp_path)) - before == {"runs"}
    assert_whole(run, ids)
    names = [path.name for path in run.folder.tasks.iterdir()]
    assert len({name.lower() for name in names}) == len(ids)


async def test_epochs_ask_each_question_so_often(tmp_path: Path) -> None:
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a", "b"]), epochs=3)
        assert await run.run() == 0, run.said
    completed = sorted((event["task_id"], event["epoch"]) for event in run.events("task_complete"))
    assert completed == [(id_, epoch) for id_ in ("a", "b") for epoch in (1, 2, 3)]
    assert len(list(run.folder.tasks.iterdir())) == 6


async def test_another_dataset_under_the_same_run_id_is_refused(tmp_path: Path) -> None:
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run() == 0, run.said
        assert await run.run("--dataset", str(questions(tmp_path / "other.jsonl", ["a", "b"]))) == 2
    assert "another value of the dataset" in run.said


async def test_only_errors_are_retried_where_that_is_asked(tmp_path: Path) -> None:
    ids = numbered(4)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        assert await run.run("--limit", "2") == 0, run.said
        record = run.records()["q0001"]
        record.status, record.error_type, record.correct = "error", "timeout", None
        (run.folder.tasks / f"{record.key}.json").write_text(json.dumps(record.to_json()))
        await run.run("--retry-errors")
        assert sorted(run.records()) == ids[:2]
        assert run.records()["q0001"].status == "done"
        assert run.records()["q0001"].attempts == 2
