"""Runs tasks: as many at once as asked, each recorded durably when it ends, until none is left or the run stops."""

import asyncio
import contextlib
import errno
import logging
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from podium_contracts.events import TaskStart
from podium_contracts.names import TaskStatus
from podium_contracts.records import TaskRecord, Turn

from podium_eval.clock import Clock, iso
from podium_eval.episode.calls import Ledger
from podium_eval.episode.context import Knowledge
from podium_eval.episode.loop import EpisodeLoop, Outcome, Stopped
from podium_eval.episode.task import INFRASTRUCTURE, Progress, Task, TaskState, event_ids, task_complete
from podium_eval.grading.grader import Grader
from podium_eval.log.meter import InFlight, Meter
from podium_eval.log.progress import Reporter
from podium_eval.log.sink import EventSink
from podium_eval.models.chat import TokenCounter
from podium_eval.run.budget import Budget
from podium_eval.run.checkpoint import Checkpoints
from podium_eval.run.endings import Endings
from podium_eval.run.folder import RunFolder, saved_of
from podium_eval.run.stop import Stop
from podium_eval.settings.run import RunSettings
from podium_eval.tools.specs import ToolSpecs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunIds:
    run_id: str
    segment: int


class Runner:
    """One segment of a run.

    tasks: those to run now, in order. failed: keys with the record of an error. begun: keys with a checkpoint.
    specs_for: the tools of a task (a question with an image has fewer).
    """

    def __init__(
        self,
        *,
        ids: RunIds,
        tasks: Sequence[Task],
        failed: frozenset[str],
        endings: Endings,
        begun: frozenset[str],
        folder: RunFolder,
        checkpoints: Checkpoints,
        sink: EventSink,
        episodes: EpisodeLoop,
        grader: Grader,
        specs_for: Callable[[Task], ToolSpecs | None],
        counter: TokenCounter,
        settings: RunSettings,
        clock: Clock,
        stop: Stop,
        meter: Meter,
        reporter: Reporter,
        budget: Budget | None = None,
    ) -> None:
        self._ids = ids
        # Tasks that were under way go first: the longest ones are the ones a run would end up waiting for.
        self._waiting = deque(sorted(tasks, key=lambda task: task.key not in begun))
        self._failed = failed
        self._endings = endings
        self._begun = begun
        self._folder = folder
        self._checkpoints = checkpoints
        self._sink = sink
        self._episodes = episodes
        self._grader = grader
        self._specs_for = specs_for
        self._counter = counter
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._meter = meter
        self._reporter = reporter
        self._budget = budget

    async def run(self) -> None:
        """Return when every task has ended or the run has stopped; what stopped it is in the Stop."""
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self._work(n), name=f"worker-{n}")
                for n in range(min(self._settings.concurrency, len(self._waiting)))
            ]
            beat = group.create_task(self._reporter.beat(), name="heartbeat")
            halt = group.create_task(self._halt(workers), name="halt")
            await asyncio.wait(workers) if workers else None
            beat.cancel()
            halt.cancel()

    async def _halt(self, workers: list["asyncio.Task[None]"]) -> None:
        await self._stop.reached("halt")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace_s):
                await self._stop.reached("now")
        for worker in workers:
            worker.cancel()

    async def _work(self, number: int) -> None:
        # Calls that begin together are answered together, and a loop that reads 512 answers before it sends the first
        # next request keeps them together: each wave would take the whole batch's time longer.
        await asyncio.sleep(number * self._settings.ramp_ms / 1000)
        while self._waiting and self._stop.taking:
            task = self._waiting.popleft()
            if not await self._may_take(task):
                self._waiting.appendleft(task)
                break
            try:
                await self._play(task)
            except OSError as error:
                self.disk_failed(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the run must say so and stop)
                _log.exception("task %s could not be recorded", task.question.id)
                self._stop.request("internal", f"task {task.question.id!r}: {error!r}", "now")

    def disk_failed(self, error: OSError) -> None:
        """The run's folder cannot be written: nothing more can be kept, so nothing more is asked."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else f"the run's folder cannot be written ({error})"
        self._stop.request(
            "disk_full" if full else "internal",
            f"{what}: {self._folder.path}; free some space and run the same command again, it goes on from here",
            "now",
        )

    async def _may_take(self, task: Task) -> bool:
        budget = self._budget
        if budget is None:
            return True
        admitted = asyncio.ensure_future(budget.admit(task.question.id, task.epoch))
        stopped = asyncio.ensure_future(self._stop.reached("drain"))
        try:
            await asyncio.wait({admitted, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done() and not admitted.result():
                self._stop.request("budget", budget.describe(), "drain")
            return self._stop.taking
        finally:
            admitted.cancel()
            stopped.cancel()

    async def _play(self, task: Task) -> None:
        specs = self._specs_for(task)
        if specs is None:
            progress = Progress(started_ts=iso(self._clock.wall()))
            state = TaskState(task, progress, self._knowledge())
            outcome = Outcome("skipped", None, "the question has an image and no expert that answers can see")
            await self._finish(state, outcome, "skipped")
            return
        state = await self._restore(task)
        progress = state.progress
        self._sink.emit(
            TaskStart(
                **event_ids(self._ids.run_id, self._ids.segment, state),
                attempt=progress.attempts,
                resumed_at_step=len(state.turns) + 1 if state.turns else None,
                active_before_ms=progress.active_ms,
            )
        )
        began, before = self._clock.mono(), progress.active_ms

        def active_ms() -> float:
            return before + (self._clock.mono() - began) * 1000

        def turn_finished(turn: Turn) -> None:
            progress.active_ms = active_ms()
            self._checkpoints.append(task.key, turn, progress)

        self._meter.in_flight[task.key] = InFlight(
            task.question.id, task.epoch, began, lambda: (state.step, state.doing)
        )
        deadline = asyncio.timeout(max(0.0, self._settings.task_timeout_s - before / 1000))
        failure: str | None = None
        try:
            ledger = Ledger(self._sink, self._ids.run_id, self._ids.segment, state)
            try:
                async with deadline:
                    outcome = await self._episodes.play(
                        state, ledger, specs, stopping=lambda: self._stop.halting, finished=turn_finished
                    )
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 (a bug in one task is that task's error)
                if isinstance(error, TimeoutError) and deadline.expired():
                    outcome = self._time_is_up(state)
                else:
                    failure = traceback.format_exc()
                    _log.error("task %s met a bug:\n%s", task.question.id, failure)
                    outcome = Outcome("error", "internal", f"{type(error).__name__}: {error}")
            progress.active_ms = active_ms()
            status: TaskStatus = "done" if outcome.error_type is None else "error"
            # A cancelled worker finishes what it has begun to record: half a record would be a lost task.
            await _whole(self._finish(state, outcome, status, failure))
        finally:
            self._meter.in_flight.pop(task.key, None)

    def _time_is_up(self, state: TaskState) -> Outcome:
        """time_limit; an error while a service is down, for then the time went into waiting for it."""
        if self._meter.breakers:
            down = ", ".join(sorted(self._meter.breakers))
            return Outcome("error", "connection", f"time_limit while {down} is down")
        return self._episodes.unanswered("time_limit", state)

    async def _restore(self, task: Task) -> TaskState:
        """The task as an earlier segment left it, or fresh."""
        progress = None
        failed_before = task.key in self._failed
        if failed_before:
            record = await asyncio.to_thread(self._folder.read_record, task.key)
            progress = _second_chance(record)
        elif task.key in self._begun:
            progress = await asyncio.to_thread(self._checkpoints.load, task.key)
            if progress is not None:
                self._meter.spent_usd += progress.cost_usd or 0.0
        if progress is None:
            progress = Progress(started_ts=iso(self._clock.wall()))
        if failed_before or (task.key in self._begun and not progress.turns):
            self._checkpoints.remove(task.key)
        state = TaskState(task, progress, self._knowledge())
        for turn in progress.turns:
            state.knowledge.learn(turn)
        if failed_before:
            for turn in progress.turns:
                self._checkpoints.append(task.key, turn, progress)
        return state

    def _knowledge(self) -> Knowledge:
        return Knowledge(self._counter, self._settings.context_cut_share)

    async def _finish(self, state: TaskState, outcome: Outcome, status: TaskStatus, failure: str | None = None) -> None:
        """Record, then say so: a task counts as finished once its record is on the disk."""
        ids = event_ids(self._ids.run_id, self._ids.segment, state)
        if status == "done" and outcome.ending != "answered":
            state.judgements.append(await self._grader.grade(state.task.question, None, ids))
        record = self._record(state, outcome, status, failure)
        # A record must not outlive the events that it sums up: they go to the disk first.
        await self._sink.flush()
        await self._folder.save(record)
        self._endings.add(saved_of(record))
        self._sink.emit(task_complete(record, self._ids.run_id, self._ids.segment))
        self._checkpoints.remove(record.key)
        self._meter.in_flight.pop(record.key, None)
        self._reporter.finished(record)
        await self._sink.flush()

    def _record(self, state: TaskState, outcome: Outcome, status: TaskStatus, failure: str | None) -> TaskRecord:
        question, progress = state.task.question, state.progress
        judgement = state.judgements[-1] if state.judgements else None
        answered = state.answered
        return TaskRecord(
            run_id=self._ids.run_id,
            key=state.task.key,
            task_id=question.id,
            epoch=state.task.epoch,
            eid=question.eid,
            question=question.question,
            gold_answer=question.answer,
            answer_type=question.answer_type,
            category=question.category,
            subject=question.subject,
            has_image=question.image is not None,
            status=status,
            ending=outcome.ending,
            correct=judgement.correct if judgement and status == "done" else None,
            confidence=judgement.confidence if judgement else None,
            answer=judgement.extracted_answer if judgement else None,
            answer_text=answered.response if answered else None,
            answer_alias=answered.alias if answered else None,
            answer_model=answered.model if answered else None,
            judgements=state.judgements,
            turns=state.turns,
            rounds=len(state.turns),
            invalid_turns=sum(turn.status == "invalid" for turn in state.turns),
            attempts=progress.attempts,
            segment=self._ids.segment,
            started_ts=progress.started_ts or iso(self._clock.wall()),
            finished_ts=iso(self._clock.wall()),
            duration_ms=progress.active_ms,
            cost_usd=progress.cost_usd,
            n_unpriced=progress.n_unpriced,
            error_type=outcome.error_type,
            error_message=outcome.error_message,
            traceback=failure,
        )


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
