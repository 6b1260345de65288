"""The one source of time: what it is, how long something took, and every wait and deadline. Tests replace it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since 1970, UTC. May step when the machine's clock is set."""
        ...

    def mono(self) -> float:
        """Seconds of a clock that never goes back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...

    def timeout(self, seconds: float) -> asyncio.Timeout:
        """A deadline for a block: asyncio.timeout by this clock."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call in the event loop after so many seconds."""
        ...


class SystemClock:
    """The machine's own."""

    def wall(self) -> float:
        return time.time()

    def mono(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, call)


SYSTEM_CLOCK: Final = SystemClock()


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
