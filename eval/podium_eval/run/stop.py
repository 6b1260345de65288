"""Why and how fast a run stops; signals are one of the reasons."""

import asyncio
import errno
import logging
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

Reason = Literal["finished", "interrupted", "auth_failures", "budget", "disk_full", "internal", "trouble"]
Pace = Literal["drain", "halt", "now"]
"""drain: take no further task, let the running ones end. halt: they stop at their next turn, at the latest after the
grace period. now: at once."""

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ORDER: Final[tuple[Pace, ...]] = ("drain", "halt", "now")
_log = logging.getLogger(__name__)


class Stop:
    """The one switch of a run. The first reason stays; a later request can only make it faster."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.message: str | None = None
        self.pace: Pace | None = None
        self._changed = asyncio.Event()

    def request(self, reason: Reason, message: str, pace: Pace, *, hint: str = "") -> None:
        """Ask the run to stop. Of the loop's thread only. hint: said now, and not again at the end."""
        if self.pace is not None and _ORDER.index(pace) <= _ORDER.index(self.pace):
            return
        if self.reason is None or (self.reason == "budget" and reason != "budget"):
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
