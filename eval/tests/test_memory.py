import ast
import signal
from pathlib import Path

from harness.chain import numbered, questions, server
from harness.process import COUNTING, Eval, assert_whole

CALLS = 6
BETWEEN = 200


async def test_a_finished_task_leaves_no_object_behind(tmp_path: Path) -> None:
    ids = numbered(480)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=4)
        await run.start(source=COUNTING)
        for look in (1, 2):
            await stub.arrived(look * BETWEEN * CALLS)
            run.signal(signal.SIGUSR1)
            await run.says("ALIVE", times=look)
        assert await run.ended() == 0, run.said
    assert_whole(run, ids)
    early, late = (ast.literal_eval(line[6:]) for line in run.lines if line.startswith("ALIVE "))
    grown = {name: late[name] - early.get(name, 0) for name in late if late[name] > early.get(name, 0) + BETWEEN // 4}
    assert grown == {}, f"of {BETWEEN} more tasks these stay"
