"""What a person sees of a run: a pair of lines for each finished task, a heartbeat, or a live bar on a terminal."""

import logging
from typing import Final

from podium_contracts.events import Breaker, Event, Judge, Limit
from podium_contracts.records import TaskRecord
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from podium_eval.clock import iso
from podium_eval.log.meter import Meter

_log = logging.getLogger(__name__)
ETA_MARK: Final = "[OVERALL_ETA]"
_SHOWN: Final = 5
_TAIL_SHOWN: Final = 10
_ROW: Final = 100
"""Columns of a status line; the log has the provider's whole message."""

_WIDE: Final = 120
"""Columns of a terminal that has room for the oldest task beside the bar."""


def clock_text(seconds: float | None) -> str:
    """`1:02:03`; `?` for None."""
    if seconds is None:
        return "?"
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def printable(text: str) -> str:
    """One line of it, whatever it holds; an id may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, most: int) -> str:
    """Its beginning in one line of at most so many characters."""
    line = " ".join(printable(text[: 8 * most]).split())
    return line if len(line) <= most else f"{line[: max(0, most - 1)]}…"


def task_line(record: TaskRecord) -> str:
    """The line of a finished task."""
    correct = {True: "true", False: "false", None: "none"}[record.correct]
    epoch = f" epoch={record.epoch}" if record.epoch > 1 else ""
    error = f" error_type={record.error_type}" if record.error_type else ""
    return f"[HLE_TASK_COMPLETE] id={printable(record.task_id)}{epoch} status={record.status} correct={correct}{error}"


def eta_line(meter: Meter) -> str:
    """The line behind it; it counts earlier segments' tasks too."""
    done = meter.before + meter.finished
    return (
        f"{ETA_MARK} done={done}/{meter.before + meter.total} elapsed={clock_text(meter.elapsed_s)} "
        f"eta={clock_text(meter.eta_s)}"
    )


def heartbeat_line(meter: Meter, concurrency: int) -> str:
    """Who is still running: the oldest tasks with turn, what they do and age; in the tail, with slots free, more."""
    now = meter.clock.mono()
    tail = meter.left < concurrency
    shown = meter.oldest(_TAIL_SHOWN if tail else _SHOWN)
    names = ", ".join(
        "{} (turn {}, {}, {})".format(printable(task.task_id)[:60], *task.where(), clock_text(now - task.since))
        for task in shown
    )
    more = len(meter.in_flight) - len(shown)
    waiting = "".join(f"; {service} is down ({state})" for service, state in sorted(meter.breakers.items()))
    waiting += "".join(f"; {provider} takes no calls" for provider in meter.locked_out)
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"[HEARTBEAT] nothing finished for {clock_text(now - meter.last_finish)}; in flight {len(meter.in_flight)}, "
        f"left {meter.left}{waiting}; {'last' if tail else 'oldest'}: {names or 'none'}{rest}"
    )


class Reporter:
    """Reports to the log (which the console and eval.log share), and keeps the bar on a terminal."""

    def __init__(self, meter: Meter, *, concurrency: int, heartbeat_s: float, live: Console | None) -> None:
        self._meter = meter
        self._concurrency = concurrency
        self._heartbeat_s = heartbeat_s
        self._bar = (
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[state]}"),
                console=live,
                refresh_per_second=4,
            )
            if live is not None
            else None
        )
        self._row = None

    def __enter__(self) -> "Reporter":
        if self._bar is not None:
            meter = self._meter
            self._bar.start()
            self._row = self._bar.add_task("tasks", total=meter.before + meter.total, completed=meter.before, state="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def finished(self, record: TaskRecord) -> None:
        """A task ended."""
        quiet = {"bar": self._bar is not None}
        _log.info("%s", task_line(record), extra=quiet)
        _log.info("%s", eta_line(self._meter), extra=quiet)
        self._refresh()

    def observe(self, event: Event) -> None:
        """An EventLog observer: answers left ungraded, services that go down and come back, limits that move."""
        if isinstance(event, Judge) and event.correct is None:
            reason = shortened(event.error_message or event.error_type or "no reason told", 2 * _ROW)
            _log.info("[UNGRADED] %s: %s", printable(event.task_id or "?")[:60], reason)
        elif isinstance(event, Breaker):
            level = logging.INFO if event.state == "closed" else logging.WARNING
            _log.log(level, "[BREAKER] %s is %s: %s", event.service, event.state, event.reason)
        elif isinstance(event, Limit) and event.locked_out_ms is not None:
            seconds = event.locked_out_ms / 1000
            until = iso(self._meter.clock.wall() + seconds)[:19]
            _log.warning(
                "[LOCKED OUT] %s takes no calls until %sZ, for %s: its tasks wait (LOCKOUT_LONGEST_S)",
                *(event.provider, until, clock_text(seconds)),
            )
        elif isinstance(event, Limit):
            moved = f"[LIMIT] {event.provider}: {event.limit} at once, before {event.previous}: "
            _log.info("%s%s", moved, shortened(event.reason, _ROW - len(moved)))

    async def beat(self) -> None:
        """Write a heartbeat whenever nothing finished for heartbeat_s; runs until cancelled."""
        last = self._meter.last_finish
        while True:
            meter = self._meter
            due = max(last, meter.last_finish) + self._heartbeat_s - meter.clock.mono()
            await meter.clock.sleep(min(max(due, 0.05), 1.0))
            self._refresh()
            if meter.clock.mono() >= max(last, meter.last_finish) + self._heartbeat_s and meter.in_flight:
                _log.info("%s", heartbeat_line(meter, self._concurrency))
                last = meter.clock.mono()

    def _refresh(self) -> None:
        if self._bar is None or self._row is None:
            return
        meter = self._meter
        errors = sum(meter.errors.values())
        oldest = meter.oldest(1) if self._bar.console.width >= _WIDE else []
        tail = f" · oldest {printable(oldest[0].task_id)[:24]} turn {oldest[0].where()[0]}" if oldest else ""
        down = "".join(f" · {service} down" for service in meter.breakers)
        self._bar.update(
            self._row,
            completed=meter.before + meter.finished,
            state=f"{len(meter.in_flight)} in flight · {errors} errors · eta {clock_text(meter.eta_s)}{down}{tail}",
        )
