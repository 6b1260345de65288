"""Workers that run tasks as many at once as asked: those begun before first, within the budget."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.episode.task import Task
from podium_eval.run.budget import Budget
from podium_eval.run.stop import Stop
from podium_eval.run.task_runner import Interruption, TaskRunner
from podium_eval.tools.specs import ToolSpecs

_log = logging.getLogger(__name__)
Item = TypeVar("Item")


class WorkerPool:
    """concurrency: items at once. grace_s: how long a halting run waits for work in flight before it is cancelled.

    folder: what a failed write is reported as. ramp_ms: between the starts of two workers.
    """

    def __init__(
        self,
        stop: Stop,
        folder: Path,
        *,
        concurrency: int,
        grace_s: float,
        ramp_ms: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._stop = stop
        self._folder = folder
        self.concurrency = concurrency
        self._grace_s = grace_s
        self._ramp_ms = ramp_ms
        self._clock = clock
        self._going = asyncio.Event()
        self._going.set()
        self._hire: Callable[[], None] = lambda: None
        self._workers: set[asyncio.Task[None]] = set()
        self._refused = False

    @property
    def paused(self) -> bool:
        """Whether no further item is taken until resume()."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Take no further item; those in work go on."""
        self._going.clear()

    def resume(self) -> None:
        """Take items again."""
        self._going.set()

    def resize(self, concurrency: int) -> None:
        """So many items at once from now on; with fewer than before, workers leave as they finish an item."""
        self.concurrency = concurrency
        self._hire()

    def more(self) -> None:
        """Items were put into `waiting`: workers that had left for want of work come back."""
        self._hire()

    async def run(
        self,
        waiting: deque[Item],
        work: Callable[[Item], Awaitable[None]],
        *,
        admit: Callable[[Item], Awaitable[bool]] | None = None,
    ) -> None:
        """Return when every item is done or the run has stopped; items that were not taken are left in `waiting`.

        admit: asked before an item is taken; False puts it back and ends the worker. A failure of `work` stops the
        run, and what failed is in the Stop.
        """
        async with asyncio.TaskGroup() as group:
            over = asyncio.Event()

            def hire() -> None:
                free = self.concurrency - len(self._workers)
                for number in range(min(free, len(waiting)) if self._stop.taking and not self._refused else 0):
                    worker = group.create_task(self._work(number, waiting, work, admit), name=f"worker-{number}")
                    self._workers.add(worker)
                    worker.add_done_callback(left)

            def left(worker: "asyncio.Task[None]") -> None:
                self._workers.discard(worker)
                hire()  # for an item that came back while the worker was on its way out
                if not self._workers:
                    over.set()

            self._hire = hire
            hire()
            halt = group.create_task(self._halt(), name="halt")
            if self._workers:
                await over.wait()
            self._hire = lambda: None
            halt.cancel()

    async def _halt(self) -> None:
        await self._stop.reached("halt")
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(self._grace_s):
                await self._stop.reached("now")
        for worker in list(self._workers):
            worker.cancel()

    async def _work(
        self,
        number: int,
        waiting: deque[Item],
        work: Callable[[Item], Awaitable[None]],
        admit: Callable[[Item], Awaitable[bool]] | None,
    ) -> None:
        # Requests sent together return together, and a loop that reads 512 answers before it sends the first next
        # request keeps them together: each wave would take the whole batch's time longer.
        await self._clock.sleep(number * self._ramp_ms / 1000)
        while waiting and await self._may_take() and waiting:
            item = waiting.popleft()
            if admit is not None and not await admit(item):
                waiting.appendleft(item)
                self._refused = True
                break
            try:
                await work(item)
            except OSError as error:
                self._stop.cannot_write(self._folder, error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the run must report it and stop)
                _log.exception("%s could not be finished", item)
                self._stop.request("internal", f"{item}: {error!r}", "now")
            if len(self._workers) > self.concurrency:
                # Out at once: others that finish in the same step must not leave for the same reason.
                worker = asyncio.current_task()
                assert worker is not None
                self._workers.discard(worker)
                break

    async def _may_take(self) -> bool:
        """Whether the run takes items, once it is not paused."""
        if self.paused and self._stop.taking:
            await self._stop.unless_stopping(self._going.wait())
        return self._stop.taking


class Runner:
    """tasks: those to run now, in order. begun: keys with a checkpoint.

    specs_for: the tools of a task (a question with an image has fewer).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        task_runner: TaskRunner,
        specs_for: Callable[[Task], ToolSpecs | None],
        *,
        begun: frozenset[str],
        pool: WorkerPool,
        stop: Stop,
        budget: Budget | None = None,
    ) -> None:
        # Tasks that were under way go first: the longest ones are the ones a run would end up waiting for.
        self._waiting = deque(sorted(tasks, key=lambda task: task.key not in begun))
        self._task_runner = task_runner
        self._specs_for = specs_for
        self.pool = pool
        self._stop = stop
        self._budget = budget
        task_runner.put_back = self.add

    def interrupt(self, key: str, what: Interruption) -> bool:
        """See TaskRunner."""
        return self._task_runner.interrupt(key, what)

    def again(self, task: Task) -> None:
        """A task that ended in an error, once more, behind all others."""
        self._task_runner.again(task)
        self.add(task)

    def has(self, task: Task) -> bool:
        """Whether the task waits to be taken."""
        return any(waiting.key == task.key for waiting in self._waiting)

    def add(self, task: Task) -> None:
        """One more task, behind all others."""
        self._waiting.append(task)
        self.pool.more()

    async def run(self) -> None:
        """Return when every task has ended or the run has stopped; what stopped it is in the Stop."""
        await self.pool.run(self._waiting, self._run, admit=None if self._budget is None else self._admit)

    async def _run(self, task: Task) -> None:
        await self._task_runner.run(task, self._specs_for(task))

    async def _admit(self, task: Task) -> bool:
        """Wait for the budget; False when it is spent, or when the run stops meanwhile."""
        budget = self._budget
        assert budget is not None
        if await self._stop.unless_stopping(budget.admit(task.question.id, task.epoch)) is False:
            self._stop.request("budget", budget.describe(), "drain")
        return self._stop.taking
