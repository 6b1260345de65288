"""A run that is steered while it runs: nothing is lost, nothing is done twice, each act is an event."""

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole
from loopback.openai_server import Fault
from podium_contracts.control import SOCKET_NAME
from podium_eval.control.acts import Refused, Request, Status
from podium_eval.control.client import ask
from podium_eval.control.server import serve


async def asked(run: Eval, act: str, **fields: object) -> str:
    """What the run says that it did."""
    reply = await asyncio.to_thread(ask, run.folder.path, Request(act=act, **fields), 20.0)  # type: ignore[arg-type]
    return reply.done or ""


async def status(run: Eval) -> Status:
    now = (await asyncio.to_thread(ask, run.folder.path, Request("status"), 20.0)).status
    assert now is not None
    return now


async def test_pause_resume_and_concurrency_lose_nothing(tmp_path: Path) -> None:
    ids = numbered(24)
    async with server(latency_s=0.1) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        await run.start()
        await stub.arrived(4)
        assert "in flight go on" in await asked(run, "pause")
        while (now := await status(run)).in_flight:
            continue
        assert now.paused
        calls = len(run.events("llm_call"))
        assert await asked(run, "concurrency", n=9) == "9 tasks at once, before 4"
        assert len(run.events("llm_call")) == calls, "a paused run asked something"
        await asked(run, "resume")
        while len((await status(run)).in_flight) < 9:
            continue
        assert await asked(run, "concurrency", n=1) == "1 tasks at once, before 9"
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    acts = [(event["act"], event.get("value"), event.get("previous")) for event in run.events("control")]
    assert acts == [
        ("pause", None, None),
        ("concurrency", 9, 4),
        ("resume", None, None),
        ("concurrency", 1, 9),
    ]
    assert not (run.folder.path / SOCKET_NAME).exists()


async def test_a_cancelled_task_is_skipped_for_good(tmp_path: Path) -> None:
    ids = numbered(3)
    async with server(latency_s=30) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=3)
        await run.start()
        await stub.arrived(3)
        assert "skipped" in await asked(run, "cancel", task=ids[0])
        await run.says(f"id={ids[0]} status=skipped")
        with pytest.raises(Refused, match="is not in flight"):
            await asked(run, "cancel", task=ids[0])
        with pytest.raises(Refused, match="is no task of this run"):
            await asked(run, "cancel", task="nobody")
        await asked(run, "stop")
        await run.kill()
        stub.latency_s = 0.0
        assert await run.run() == 0, run.said
    records = run.records()
    assert {name: (one.status, one.ending) for name, one in records.items()} == {
        ids[0]: ("skipped", "cancelled"),
        ids[1]: ("done", "answered"),
        ids[2]: ("done", "answered"),
    }


async def test_a_requeued_task_keeps_its_turns(tmp_path: Path) -> None:
    ids = numbered(2)
    async with server(latency_s=0.0) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=1)
        stub.latency_s = 0.3
        await run.start()
        await stub.arrived(4)  # the first task: two turns are whole, or nearly
        assert "behind all others" in await asked(run, "requeue", task=ids[0])
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    starts = [(event["task_id"], event.get("resumed_at_step")) for event in run.events("task_start")]
    assert [name for name, _ in starts] == [ids[0], ids[1], ids[0]]
    assert starts[2][1] is not None
    assert starts[2][1] > 1


async def test_a_failed_task_runs_again_at_once(tmp_path: Path) -> None:
    ids = numbered(2)
    async with server(latency_s=0.0) as stub, server(latency_s=0.0) as experts:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), experts=experts.address, concurrency=1)
        experts.fault = Fault("status", status=401)
        await run.start(env={"AUTH_FAILURES": "100"})
        await run.says(f"id={ids[0]} status=error")
        experts.fault, stub.latency_s = None, 0.3  # the second is on its way still
        assert "runs again" in await asked(run, "requeue", task=ids[0])
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    assert [event["attempt"] for event in run.events("task_start") if event["task_id"] == ids[0]] == [1, 2]


async def test_a_failed_task_that_runs_again_is_requeued_once(tmp_path: Path) -> None:
    ids = numbered(1)
    async with server(latency_s=0.0) as stub, server(latency_s=0.0) as experts:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), experts=experts.address, concurrency=2)
        experts.fault = Fault("status", status=401)
        assert await run.run(env={"AUTH_FAILURES": "100"}) == 1
        experts.fault, stub.latency_s, asked_before = None, 0.5, stub.stats.chat_requests
        await run.start()
        await stub.arrived(asked_before + 1)
        assert "with its finished turns" in await asked(run, "requeue", task=ids[0])
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)


async def test_a_limit_moves_by_name(tmp_path: Path) -> None:
    ids = numbered(6)
    async with server(latency_s=0.2) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        await run.start()
        await stub.arrived(1)
        with pytest.raises(Refused, match="there are orchestrator"):
            await asked(run, "limit", provider="nobody", n=2)
        done = await asked(run, "limit", provider="orchestrator", n=2)
        assert done == "at most 2 calls at once to orchestrator, before 4"
        stub.latency_s = 0.0
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    assert [event["limit"] for event in run.events("limit")] == [2]


async def test_the_socket_is_the_user_s_alone_and_takes_anything(tmp_path: Path) -> None:
    async def perform(request: Request) -> object:
        raise AssertionError(request)

    deep = tmp_path / ("long-" * 20) / ("name-" * 20)
    deep.mkdir(parents=True)
    async with serve(deep, perform):  # type: ignore[arg-type]
        assert stat.S_IMODE(os.stat(deep / SOCKET_NAME).st_mode) == 0o600
        lines = [b"\xff\n", b"[]\n", b'{"act":"fly"}\n', b'{"act":"limit","n":1}\n', b'{"act":"concurrency","n":0}\n']
        for line in [*lines, b"x" * 200_000 + b"\n"]:
            reply = await asyncio.to_thread(told, deep, line)
            assert set(json.loads(reply)) == {"refused"}
    with pytest.raises(Refused, match="is not on"):
        ask(deep, Request("status"), 1.0)


def told(folder: Path, line: bytes) -> bytes:
    from podium_eval.control.server import socket_address

    with socket.socket(socket.AF_UNIX) as talk, socket_address(folder) as address:
        talk.settimeout(10)
        talk.connect(address)
        talk.sendall(line)
        with talk.makefile("rb") as answers:
            return answers.readline()
