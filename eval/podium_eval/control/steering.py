"""Does what a person asks of a run that is on; each act is an event."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from podium_contracts.events import Control
from podium_contracts.names import CONTROL_ACTS

from podium_eval.control.acts import InFlight, Refused, Reply, Request, Status
from podium_eval.episode.task import Task
from podium_eval.log.meter import Meter
from podium_eval.log.progress import printable
from podium_eval.log.sink import EventSink
from podium_eval.transport.circuit_breaker import Breaker
from podium_eval.transport.concurrency_limit import AdaptiveLimit

_log = logging.getLogger(__name__)


def named(task: Task, name: str) -> bool:
    """Whether `id` (any epoch) or `id#epoch` means the task."""
    return name in (task.question.id, f"{task.question.id}#{task.epoch}")


class Pool(Protocol):
    """The workers; see run/runner.py: WorkerPool."""

    @property
    def concurrency(self) -> int: ...

    @property
    def paused(self) -> bool: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def resize(self, concurrency: int) -> None: ...


class Runs(Protocol):
    """What runs the tasks; see run/runner.py: Runner."""

    def has(self, task: Task) -> bool: ...

    def again(self, task: Task) -> None: ...

    def interrupt(self, key: str, what: Literal["cancel", "requeue"]) -> bool: ...


class Stops(Protocol):
    """See run/stop.py."""

    @property
    def pace(self) -> str | None: ...

    def request(self, reason: Literal["interrupted"], message: str, pace: Literal["halt"]) -> None: ...


class Ends(Protocol):
    """See run/folder.py: Endings."""

    @property
    def failed(self) -> Mapping[str, str]: ...

    def take_back(self, key: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Wheel:
    """The parts of a running segment that can be moved."""

    pool: Pool
    tasks: Runs
    stop: Stops
    limits: Mapping[str, AdaptiveLimit]
    breakers: Mapping[str, Breaker]
    endings: Ends


class Steering:
    """find: the tasks of the run that a name means."""

    def __init__(
        self,
        wheel: Wheel,
        sink: EventSink,
        meter: Meter,
        *,
        run_id: str,
        segment: int,
        find: Callable[[str], list[Task]],
    ) -> None:
        self._wheel = wheel
        self._sink = sink
        self._meter = meter
        self._run_id = run_id
        self._segment = segment
        self._find = find

    async def perform(self, request: Request) -> Reply:
        """Do it, log it, and return what was done.

        Raises:
            Refused: it cannot be done; nothing has changed.
        """
        if request.act == "status":
            return Reply(status=self._status())
        assert request.act in CONTROL_ACTS
        done = getattr(self, f"_{request.act}")(request)
        _log.warning("[CONTROL] by %s: %s", request.source, done)
        await self._sink.flush()
        return Reply(done=done)

    def _emit(self, request: Request, **fields: Any) -> None:
        assert request.act != "status"
        ids = {"run_id": self._run_id, "segment": self._segment}
        self._sink.emit(Control(**ids, **fields, act=request.act, source=request.source))

    def _pause(self, request: Request) -> str:
        pool = self._wheel.pool
        if not pool.paused:
            pool.pause()
            self._emit(request)
        return f"paused: no task is taken until resume; {len(self._meter.in_flight)} in flight go on"

    def _resume(self, request: Request) -> str:
        pool = self._wheel.pool
        if pool.paused:
            pool.resume()
            self._emit(request)
        return "tasks are taken again"

    def _concurrency(self, request: Request) -> str:
        pool, n = self._wheel.pool, request.n or 1
        previous = pool.concurrency
        pool.resize(n)
        self._emit(request, value=n, previous=previous)
        return f"{n} tasks at once, before {previous}"

    def _limit(self, request: Request) -> str:
        limit, n = self._wheel.limits.get(request.provider or ""), request.n or 1
        if limit is None:
            known = ", ".join(sorted(self._wheel.limits))
            raise Refused(f"no calls go to {printable(request.provider or '')!r}; there are {known}")
        previous = limit.maximum
        limit.set_maximum(n, f"set by {request.source}")
        self._emit(request, value=n, previous=previous, provider=limit.provider)
        return f"at most {n} calls at once to {limit.provider}, before {previous}"

    def _cancel(self, request: Request) -> str:
        tasks = self._interrupted(request, "cancel")
        return f"cancelled {tasks}: skipped, and not asked again by a resume"

    def _requeue(self, request: Request) -> str:
        runner, name = self._wheel.tasks, request.task or ""
        failed, in_flight = self._wheel.endings.failed, self._meter.in_flight
        # An error of an earlier segment counts as one until the task ends again: it may wait or be in flight.
        over = [
            task
            for task in self._find(name)
            if task.key in failed and task.key not in in_flight and not runner.has(task)
        ]
        for task in over:
            self._meter.again(self._wheel.endings.take_back(task.key) or "internal")
            self._emit(request, task_id=task.question.id, eid=task.question.eid, epoch=task.epoch)
            runner.again(task)
        if over:
            return f"{printable(name)} ended in an error and runs again, behind all others"
        return f"{self._interrupted(request, 'requeue')} goes back behind all others, with its finished turns"

    def _stop(self, request: Request) -> str:
        self._emit(request)
        self._wheel.stop.request("interrupted", f"stopped by podium-eval ctl ({request.source})", "halt")
        return "stopping: turns in flight end, the same command goes on from there"

    def _interrupted(self, request: Request, what: Any) -> str:
        name = request.task or ""
        tasks = [task for task in self._find(name) if task.key in self._meter.in_flight]
        if not tasks:
            why = "is not in flight" if self._find(name) else "is no task of this run"
            raise Refused(f"{printable(name)!r} {why}")
        done = [task for task in tasks if self._wheel.tasks.interrupt(task.key, what)]
        if not done:
            raise Refused(f"{printable(name)!r} is just being recorded")
        for task in done:
            step, _ = self._meter.in_flight[task.key].where()
            self._emit(request, task_id=task.question.id, eid=task.question.eid, epoch=task.epoch, step=step or None)
        return ", ".join(f"{printable(task.question.id)} epoch {task.epoch}" for task in done)

    def _status(self) -> Status:
        meter, wheel, now = self._meter, self._wheel, self._meter.clock.mono()
        tasks: list[InFlight] = []
        for task in meter.oldest(len(meter.in_flight)):
            step, doing = task.where()
            tasks.append(InFlight(task.task_id, task.epoch, step, doing, round(now - task.since, 3)))
        return Status(
            run_id=self._run_id,
            paused=wheel.pool.paused,
            stopping=wheel.stop.pace,
            concurrency=wheel.pool.concurrency,
            n_tasks=meter.before + meter.total,
            n_finished=meter.before + meter.finished,
            in_flight=tasks,
            limits={
                name: (limit.limit, limit.maximum, limit.in_flight, limit.waiting)
                for name, limit in wheel.limits.items()
            },
            breakers={
                breaker.service: breaker.state for breaker in wheel.breakers.values() if breaker.state != "closed"
            },
        )
