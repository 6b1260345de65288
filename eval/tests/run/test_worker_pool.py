"""Workers and the order of tasks, without a model or a disk."""

import asyncio
from collections import deque
from pathlib import Path

import pytest
from podium_eval.dataset.question import Question
from podium_eval.episode.task import Task
from podium_eval.run.runner import Runner, WorkerPool
from podium_eval.run.stop import Stop
from podium_eval.tools.specs import ToolSpecs


def pool(stop: Stop, concurrency: int = 2, grace_s: float = 60.0) -> WorkerPool:
    return WorkerPool(stop, Path("/nowhere"), concurrency=concurrency, grace_s=grace_s)


async def test_as_many_at_once_as_asked() -> None:
    at_once, most, done = 0, 0, list[int]()

    async def work(item: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        done.append(item)

    waiting = deque(range(10))
    await pool(Stop(), 3).run(waiting, work)
    assert (most, sorted(done), list(waiting)) == (3, list(range(10)), [])


async def test_a_draining_run_takes_no_more() -> None:
    stop, done = Stop(), list[int]()

    async def work(item: int) -> None:
        done.append(item)
        if item == 3:
            stop.request("interrupted", "enough", "drain")

    waiting = deque(range(10))
    await pool(stop, 1).run(waiting, work)
    assert (done, list(waiting)) == ([0, 1, 2, 3], list(range(4, 10)))


async def test_a_halt_ends_what_outlasts_its_grace() -> None:
    stop, ended = Stop(), list[str]()

    async def work(item: int) -> None:
        stop.request("interrupted", "now", "halt")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(f"cancelled {item}")

    async with asyncio.timeout(10):
        await pool(stop, 1, grace_s=0.01).run(deque([7, 8]), work)
    assert ended == ["cancelled 7"]


async def test_an_item_not_admitted_stays() -> None:
    async def work(item: int) -> None:
        raise AssertionError(item)

    async def admit(item: int) -> bool:
        return False

    waiting = deque([1, 2])
    await pool(Stop(), 1).run(waiting, work, admit=admit)
    assert list(waiting) == [1, 2]


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(28, "No space left"), "disk_full"), (KeyError("bug"), "internal")]
)
async def test_work_that_fails_stops_the_run_by_name(error: Exception, reason: str) -> None:
    stop = Stop()

    async def work(item: int) -> None:
        raise error

    waiting = deque(range(5))
    await pool(stop, 1).run(waiting, work)
    assert (stop.reason, stop.pace, len(waiting)) == (reason, "now", 4)


async def test_tasks_that_were_begun_go_first() -> None:
    ran: list[str] = []

    class Recorded:
        async def run(self, task: Task, specs: ToolSpecs | None) -> None:
            ran.append(task.question.id)

    tasks = [Task(Question(id=name, eid=0, question="?", answer="!")) for name in "abcd"]
    stop = Stop()
    runner = Runner(
        tasks,
        Recorded(),  # type: ignore[arg-type]
        lambda task: None,
        begun=frozenset({tasks[2].key}),
        pool=pool(stop, 1),
        stop=stop,
    )
    await runner.run()
    assert ran == ["c", "a", "b", "d"]
