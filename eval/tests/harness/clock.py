"""A clock that a test moves by hand."""

import asyncio
from collections.abc import Callable


class HandClock:
    """Stands still until `now` is set or `pass_time` is called; waits and deadlines end only by the latter."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._due: list[tuple[float, Callable[[], object]]] = []

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now

    def mono(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.call_later(seconds, woken.set)
        await woken.wait()

    def timeout(self, seconds: float) -> asyncio.Timeout:
        loop, deadline = asyncio.get_running_loop(), asyncio.timeout(None)
        self.call_later(seconds, lambda: deadline.reschedule(loop.time()))
        return deadline

    def call_later(self, seconds: float, call: Callable[[], object]) -> None:
        self._due.append((self.now + seconds, call))

    async def pass_time(self, seconds: float) -> None:
        """Move on and let everything that became due happen."""
        self.now += seconds
        due = [call for at, call in self._due if at <= self.now]
        self._due = [one for one in self._due if one[0] > self.now]
        for call in due:
            call()
        for _ in range(10):
            await asyncio.sleep(0)
