"""Admission: a bounded number of programs run, a bounded number wait, further ones are refused."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class QueueFull(Exception):
    """The queue of waiting programs is full."""


class WaitedTooLong(Exception):
    """No slot came free in time."""


class Slots:
    """concurrency: programs at once. queue: programs that may wait. timeout_s: longest wait."""

    def __init__(self, concurrency: int, queue: int, timeout_s: float) -> None:
        self._semaphore = asyncio.Semaphore(concurrency)
        self._queue = queue
        self._timeout_s = timeout_s
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[float]:
        """Hold a slot; yields the seconds waited for it. First come, first served.

        Raises:
            QueueFull: at once. WaitedTooLong: after timeout_s.
        """
        begun = time.monotonic()
        if self._semaphore.locked() and self.waiting >= self._queue:
            raise QueueFull
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._semaphore.acquire()
        except TimeoutError:
            raise WaitedTooLong from None
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield time.monotonic() - begun
        finally:
            self.running -= 1
            self._semaphore.release()
