"""The two clocks: one for what the time is, one for how long something took."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since 1970, UTC. May step when the machine's clock is set."""
        ...

    def mono(self) -> float:
        """Seconds of a clock that never goes back; only differences mean something."""
        ...


class SystemClock:
    """The machine's own."""

    def wall(self) -> float:
        return time.time()

    def mono(self) -> float:
        return time.monotonic()


def iso(wall: float) -> str:
    """UTC in ISO 8601 with milliseconds, `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
