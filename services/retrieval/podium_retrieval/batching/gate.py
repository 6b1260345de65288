"""The wait of one request for its jobs."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Literal

from podium_retrieval.batching.worker import Job


class Gate:
    """Opens on the loop when all jobs are done, the client has left, or the time is up, whichever is first."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: asyncio.Future[Literal["done", "left", "deadline"]] = self._loop.create_future()
        self._left = len(jobs)
        self._timer: asyncio.TimerHandle | None = None
        for job in jobs:
            job.future.add_done_callback(self._job_done)

    async def wait(self, left: "asyncio.Future[object]", deadline: float) -> Literal["done", "left", "deadline"]:
        """What came first. `left` is done when the client has gone; `deadline` is a time of time.monotonic()."""
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._set, "deadline")
        gone = self._client_gone
        left.add_done_callback(gone)
        try:
            return await self._open
        finally:
            left.remove_done_callback(gone)

    def close(self) -> None:
        """Stop waiting; wait() returns `left` if nothing else came first."""
        if self._timer is not None:
            self._timer.cancel()
        self._set("left")

    def _client_gone(self, _: "asyncio.Future[object]") -> None:
        self._set("left")

    def _job_done(self, _: Future[object]) -> None:
        self._loop.call_soon_threadsafe(self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._set("done")

    def _set(self, outcome: Literal["done", "left", "deadline"]) -> None:
        if not self._open.done():
            self._open.set_result(outcome)
