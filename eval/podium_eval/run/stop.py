"""Why and how fast a run stops; signals are one of the reasons."""

import asyncio
import errno
import logging
import math
import signal
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

from podium_contracts.events import Event, TaskComplete

from podium_eval.run.folder import Saved
from podium_eval.settings.run import RunSettings

Reason = Literal["finished", "interrupted", "auth_failures", "budget", "disk_full", "internal", "trouble", "half_width"]
Pace = Literal["drain", "halt", "now"]
"""drain: take no further task, let the running ones end. halt: they stop at their next turn, at the latest after the
grace period. now: at once."""

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ORDER: Final[tuple[Pace, ...]] = ("drain", "halt", "now")
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Stop:
    """The one switch of a run. The first reason stays; a later request can only make it faster."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.message: str | None = None
        self.pace: Pace | None = None
        self._changed = asyncio.Event()

    def request(self, reason: Reason, message: str, pace: Pace, *, hint: str = "") -> None:
        """Ask the run to stop. Of the loop's thread only. hint: logged now, and not again at the end."""
        if self.pace is not None and _ORDER.index(pace) <= _ORDER.index(self.pace):
            return
        if self.reason is None or (self.reason in ("budget", "half_width") and reason not in ("budget", "half_width")):
            self.reason, self.message = reason, message
        self.pace = pace
        _log.warning("stopping (%s): %s%s", pace, message, hint)
        self._changed.set()

    def cannot_write(self, where: Path, error: OSError) -> None:
        """`where` cannot be written: nothing more can be kept, so nothing more is asked. Of the loop's thread only."""
        full = error.errno in _DISK_FULL
        self.request("disk_full" if full else "internal", unwritable(where, error), "now")

    @property
    def taking(self) -> bool:
        """Whether further tasks are taken."""
        return self.pace is None

    @property
    def halting(self) -> bool:
        """Whether running tasks stop at their next turn."""
        return self.pace in ("halt", "now")

    async def reached(self, pace: Pace) -> None:
        """Return when the run stops at this pace or faster."""
        while self.pace is None or _ORDER.index(self.pace) < _ORDER.index(pace):
            self._changed.clear()
            await self._changed.wait()

    async def unless_stopping(self, wait: Awaitable[Result]) -> Result | None:
        """What `wait` gives; None when the run stops taking tasks first."""
        waiting, stopped = asyncio.ensure_future(wait), asyncio.ensure_future(self.reached("drain"))
        try:
            await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return None if stopped.done() else waiting.result()
        finally:
            waiting.cancel()
            stopped.cancel()


def unwritable(where: Path, error: OSError) -> str:
    """Why `where` cannot be written, and what to do."""
    what, remedy = (
        ("the disk is full", "free some space")
        if error.errno in _DISK_FULL
        else (f"cannot be written ({error})", "repair that")
    )
    return f"{where}: {what}; {remedy} and run the same command again, it goes on from here"


@contextmanager
def stopped_by_signals(stop: Stop, grace_s: float) -> Generator[None]:
    """In the block SIGINT, SIGTERM or SIGHUP (the terminal is gone) halts; a second one of any stops at once."""
    loop = asyncio.get_running_loop()

    def caught(name: str) -> None:
        if stop.halting:
            stop.request("interrupted", f"second {name}: stopping now", "now")
        else:
            stop.request(
                "interrupted",
                f"{name}: no further task was taken, turns in flight had {grace_s:g} s",
                "halt",
                hint="; again to stop now",
            )

    watched = _watched()
    for number in watched:
        loop.add_signal_handler(number, caught, number.name)
    try:
        yield
    finally:
        for number in watched:
            loop.remove_signal_handler(number)


def _watched() -> list[signal.Signals]:
    """nohup has SIGHUP ignored, and it stays ignored."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


MIN_QUESTIONS: Final = 100
"""Before so many graded questions a small width is more likely luck than precision."""
_Z: Final = 1.96


class EarlyStop:
    """An observer of the run's events. Half of Wilson's 95% interval, looked at after each graded question."""

    def __init__(self, goal: float, before: Iterable[Saved], on_reached: Callable[[str], None]) -> None:
        """goal: half width in percent points. before: tasks that earlier segments ended. on_reached: called once."""
        self._goal = goal
        self._on_reached = on_reached
        self._grades = {
            task.task_id: task.correct for task in before if task.status == "done" and task.correct is not None
        }
        self._reached = False

    def observe(self, event: Event) -> None:
        """An EventLog observer; of the loop's thread only."""
        if isinstance(event, TaskComplete) and event.status == "done" and event.correct is not None:
            self._grades[event.task_id or ""] = event.correct
            self.look()

    def look(self) -> None:
        """Call on_reached when the goal is met; also at a resume, before any task is taken."""
        n = len(self._grades)
        if self._reached or n < MIN_QUESTIONS:
            return
        width = half_width(sum(self._grades.values()), n)
        if width <= self._goal:
            self._reached = True
            self._on_reached(
                f"STOP_AT_HALF_WIDTH={self._goal:g}: half width {width:.2f} points after {n} questions; running tasks "
                "end, no further one is taken. Looking after every question makes the interval a little too narrow"
            )


def half_width(right: int, n: int) -> float:
    """Half of Wilson's interval in percent points: never 0, so that a row of equal grades stops nothing too soon."""
    p = right / n
    return 100 * _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)


def early_stop_problem(settings: RunSettings) -> str | None:
    """Why STOP_AT_HALF_WIDTH cannot be used with these settings."""
    if settings.stop_at_half_width is None:
        return None
    if settings.shuffle is None:
        return "STOP_AT_HALF_WIDTH needs SHUFFLE: the first questions of a file are no sample of it"
    if settings.epochs > 1:
        return "STOP_AT_HALF_WIDTH is for EPOCHS=1: more epochs do not add questions"
    return None
