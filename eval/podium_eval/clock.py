"""The two clocks: one for what the time is, one for how long something took."""

import time
from datetime import UTC, datetime
from functools import lru_cache
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


def since_ms(clock: Clock, began: float) -> float:
    """Milliseconds since `began`, a reading of the same clock's mono."""
    return (clock.mono() - began) * 1000


def iso(wall: float) -> str:
    """UTC in ISO 8601 with milliseconds, `2026-01-31T12:00:00.000Z`."""
    whole, thousandths = divmod(int(wall * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]
