"""Runs one task: restored as an earlier segment left it, played within its time, recorded."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from podium_contracts.events import TaskStart
from podium_contracts.names import TaskStatus
from podium_contracts.records import TaskRecord, Turn

from podium_eval.clock import iso
from podium_eval.episode.calls import Ledger
from podium_eval.episode.context import Knowledge
from podium_eval.episode.loop import EpisodeLoop, Outcome, Stopped
from podium_eval.episode.task import INFRASTRUCTURE, Progress, Task, TaskState, event_ids
from podium_eval.log.meter import InFlight, Meter
from podium_eval.run.recorder import Output, Recorder
from podium_eval.run.stop import Stop
from podium_eval.tools.specs import ToolSpecs


class Restorer:
    """failed: keys with the record of an error. begun: keys with a checkpoint."""

    def __init__(
        self,
        output: Output,
        meter: Meter,
        knowledge: Callable[[], Knowledge],
        *,
        failed: frozenset[str],
        begun: frozenset[str],
    ) -> None:
        self._output = output
        self._meter = meter
        self._knowledge = knowledge
        self._failed = set(failed)
        self.begun = set(begun)

    def again(self, key: str, *, failed: bool) -> None:
        """The task will be restored a second time in this segment. failed: from its record, not its checkpoint."""
        (self._failed if failed else self.begun).add(key)

    def fresh(self, task: Task) -> TaskState:
        """The task with nothing behind it."""
        return TaskState(task, Progress(started_ts=iso(self._output.clock.wall())), self._knowledge())

    async def restore(self, task: Task) -> TaskState:
        """The task as an earlier segment left it, or fresh."""
        checkpoints = self._output.checkpoints
        progress = None
        failed_before = task.key in self._failed
        if failed_before:
            progress = _second_chance(await asyncio.to_thread(self._output.folder.read_record, task.key))
            self._failed.discard(task.key)
        elif task.key in self.begun:
            progress = await asyncio.to_thread(checkpoints.load, task.key)
            if progress is not None:
                self._meter.spent_usd += progress.cost_usd or 0.0
        state = self.fresh(task) if progress is None else TaskState(task, progress, self._knowledge())
        if failed_before or (task.key in self.begun and not state.turns):
            checkpoints.remove(task.key)
        for turn in state.turns:
            state.knowledge.learn(turn)
        if failed_before:
            for turn in state.turns:
                checkpoints.append(task.key, turn, state.progress)
        return state


def _second_chance(record: TaskRecord) -> Progress:
    """Where a task that ended in an error goes on: behind its last good turn; after a time limit or a bug, afresh."""
    progress = Progress(
        cost_usd=record.cost_usd,
        n_unpriced=record.n_unpriced,
        started_ts=record.started_ts,
        attempts=record.attempts + 1,
    )
    afresh = record.error_type == "internal" or (record.error_message or "").startswith("time_limit")
    if not afresh:
        progress.turns = list(record.turns)
        progress.active_ms = record.duration_ms
        while (
            progress.turns and progress.turns[-1].status == "failed" and progress.turns[-1].error_type in INFRASTRUCTURE
        ):
            progress.turns.pop()
        progress.turns = [replace(turn) for turn in progress.turns]
    return progress


_log = logging.getLogger(__name__)
Interruption = Literal["cancel", "requeue"]


class TaskRunner:
    """Runs tasks, many at the same time; all state of one is in its TaskState."""

    def __init__(
        self,
        output: Output,
        episodes: EpisodeLoop,
        restorer: Restorer,
        recorder: Recorder,
        *,
        meter: Meter,
        stop: Stop,
        timeout_s: float,
    ) -> None:
        """timeout_s: a task's own time over all segments."""
        self._output = output
        self._episodes = episodes
        self._restorer = restorer
        self._recorder = recorder
        self._meter = meter
        self._stop = stop
        self._timeout_s = timeout_s
        self._deadlines: dict[str, asyncio.Timeout] = {}
        self._interrupted: dict[str, Interruption] = {}
        self.put_back: Callable[[Task], None] = lambda task: None
        """Receives an interrupted task that is to run again."""

    def interrupt(self, key: str, what: Interruption) -> bool:
        """Stop the task in flight; False when it is not, or is being recorded. cancel: it ends, as skipped. requeue: it
        goes back to those that wait, with its finished turns."""
        deadline = self._deadlines.get(key)
        if deadline is None or deadline.expired():
            return False
        self._interrupted[key] = what
        deadline.reschedule(0)
        return True

    def again(self, task: Task) -> None:
        """A task that ended in an error will be taken again."""
        self._restorer.again(task.key, failed=True)

    async def run(self, task: Task, specs: ToolSpecs | None) -> None:
        """Return when the task is recorded, or left for a resume because the run stops. specs None: it is skipped.

        Raises:
            OSError: the record cannot be written.
        """
        if specs is None:
            outcome = Outcome("skipped", None, "the question has an image and no expert that answers can see")
            await self._recorder.finish(self._restorer.fresh(task), outcome, "skipped")
            return
        clock, output = self._output.clock, self._output
        state = await self._restorer.restore(task)
        progress = state.progress
        output.sink.emit(
            TaskStart(
                **event_ids(output.ids.run_id, output.ids.segment, state),
                attempt=progress.attempts,
                resumed_at_step=len(state.turns) + 1 if state.turns else None,
                active_before_ms=progress.active_ms,
            )
        )
        began, before = clock.mono(), progress.active_ms

        def active_ms() -> float:
            return before + (clock.mono() - began) * 1000

        def turn_finished(turn: Turn) -> None:
            progress.active_ms = active_ms()
            output.checkpoints.append(task.key, turn, progress)

        self._meter.in_flight[task.key] = InFlight(
            task.question.id, task.epoch, began, lambda: (state.step, state.doing)
        )
        try:
            played = await self._play(state, specs, turn_finished, self._timeout_s - before / 1000)
            if played is None:
                return
            outcome, failure = played
            progress.active_ms = active_ms()
            status: TaskStatus = "done" if outcome.error_type is None else "error"
            if outcome.ending == "cancelled":
                status = "skipped"
            # A cancelled worker finishes what it has begun to record: half a record would be a lost task.
            await _whole(self._recorder.finish(state, outcome, status, failure))
        finally:
            self._meter.in_flight.pop(task.key, None)

    async def _play(
        self, state: TaskState, specs: ToolSpecs, turn_finished: Callable[[Turn], None], seconds: float
    ) -> tuple[Outcome, str | None] | None:
        """The outcome, with the traceback of a bug; None when the run stops between two turns."""
        ids, key = self._output.ids, state.task.key
        ledger = Ledger(self._output.sink, ids.run_id, ids.segment, state)
        deadline = self._output.clock.timeout(max(0.0, seconds))
        try:
            async with deadline:
                self._deadlines[key] = deadline
                outcome = await self._episodes.play(
                    state, ledger, specs, stopping=lambda: self._stop.halting, finished=turn_finished
                )
        except Stopped:
            return None
        except Exception as error:  # noqa: BLE001 (a bug in one task is that task's error)
            if isinstance(error, TimeoutError) and deadline.expired():
                early = self._ended_early(state)
                if early is not None:
                    return early, None
                await self._taken_again(state.task)
                return None
            failure = traceback.format_exc()
            _log.error("task %s met a bug:\n%s", state.task.question.id, failure)
            return Outcome("error", "internal", f"{type(error).__name__}: {error}"), failure
        finally:
            self._deadlines.pop(key, None)
        return outcome, None

    def _ended_early(self, state: TaskState) -> Outcome | None:
        """None: it goes back to those that wait."""
        what = self._interrupted.pop(state.task.key, None)
        if what == "cancel":
            return Outcome("cancelled", None, "cancelled by podium-eval ctl")
        return None if what == "requeue" else self._time_is_up(state)

    async def _taken_again(self, task: Task) -> None:
        # Its finished turns are read from the checkpoint, which the log's writer may not have written yet.
        await self._output.sink.flush()
        self._restorer.again(task.key, failed=False)
        self.put_back(task)

    def _time_is_up(self, state: TaskState) -> Outcome:
        """time_limit; an error while a service is down, for then the time went into waiting for it."""
        if locked_out := self._meter.locked_out:
            message = f"time_limit while {', '.join(locked_out)} takes no calls"
            return Outcome("error", "rate_limit", message)
        if self._meter.breakers:
            down = ", ".join(sorted(self._meter.breakers))
            return Outcome("error", "connection", f"time_limit while {down} is down")
        return self._episodes.unanswered("time_limit", state)


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end also when the caller is cancelled meanwhile; the cancellation follows."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error from None
        raise
