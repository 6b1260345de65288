"""kill -9 of podium-eval at any moment costs only the turns in flight."""

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole

KILLS = 20


async def test_kill_9_at_20_random_moments_loses_nothing(tmp_path: Path) -> None:
    ids = numbered(240)
    moments = random.Random(20261122)
    async with server(latency_s=0.05) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=8)
        finished: set[str] = set()
        interrupted = 0
        for _ in range(KILLS):
            await run.start()
            await run.began()
            await asyncio.sleep(moments.uniform(0.0, 0.5))
            await run.kill()
            now = set(run.records())
            assert finished <= now, "a finished task is gone"
            finished = now
            interrupted += any(run.folder.checkpoints.iterdir())
        assert 0 < len(finished) < len(ids), "the kills came too early or too late to mean anything"
        assert interrupted > 0
        assert await run.run() == 0, run.said
        assert_whole(run, ids)
    starts = [event for event in run.events("task_start") if event.get("resumed_at_step")]
    assert starts, "no task went on behind its checkpoint"
    # One that was killed before its first line was on the disk has none: no event is without its segment's first line.
    segments = [event["segment"] for event in run.events("run_start")]
    assert segments == sorted({event["segment"] for event in run.events()})
    assert segments[-1] == KILLS + 1
    # A turn that a checkpoint holds is not asked again: each (task, step) has one tool call, but for turns that were
    # in flight at a kill.
    calls = Counter((event["task_id"], event["step"]) for event in run.events("tool_call"))
    assert set(calls) == {(id_, step) for id_ in ids for step in (1, 2, 3)}
    assert sum(count - 1 for count in calls.values()) <= KILLS * 8


async def test_kill_9_while_it_starts_loses_nothing(tmp_path: Path) -> None:
    ids = numbered(24)
    moments = random.Random(20261123)
    async with server(latency_s=0.02) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        began = asyncio.get_running_loop().time()
        await run.start()
        await stub.arrived(30)
        start_s = asyncio.get_running_loop().time() - began
        await run.kill()
        finished = set(run.records())
        for _ in range(10):
            await run.start()
            # A process that dies in its imports proves little: the last half of the start is where files are opened.
            await asyncio.sleep(start_s * moments.uniform(0.5, 1.0))
            await run.kill()
            assert finished <= set(run.records()), "a finished task is gone"
            finished = set(run.records())
        assert await run.run() == 0, run.said
    assert_whole(run, ids)


async def test_a_torn_last_line_is_cut_away_and_said(tmp_path: Path) -> None:
    ids = numbered(3)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        assert await run.run() == 0, run.said
        with run.folder.events.open("ab") as file:
            file.write(b'{"type":"llm_call","run_id":"ru')
        assert await run.run() == 0, run.said
        assert "unfinished last line" in run.said
        assert_whole(run, ids)


async def test_a_record_whose_event_was_lost_is_told_of_again(tmp_path: Path) -> None:
    ids = numbered(4)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        assert await run.run() == 0, run.said
        lines = run.folder.events.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not (b'"task_complete"' in line and b'"q0002"' in line)]
        run.folder.events.write_bytes(b"".join(kept))
        assert await run.run() == 0, run.said
        assert_whole(run, ids)
        assert stub.stats.chat_requests == 4 * 6
        assert [event["type"] for event in run.events()[-3:]] == ["run_start", "task_complete", "run_end"]


async def test_a_second_runner_on_the_same_run_is_refused(tmp_path: Path) -> None:
    ids = numbered(2)
    async with server(latency_s=0.3) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        await run.start()
        await run.began()
        run.signal(signal.SIGSTOP)
        second = Eval(tmp_path, stub.address, tmp_path / "q.jsonl")
        assert await second.run() == 2
        run.signal(signal.SIGCONT)
        assert "run run is on already (pid " in second.said
        assert await run.ended() == 0
        assert_whole(run, ids)
