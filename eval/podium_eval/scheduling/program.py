"""The order is a router's, in front of the servers: each task is a program to it, released at the task's end."""

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from podium_eval.clock import Clock

_log = logging.getLogger(__name__)


class Programs:
    """name: the run's, so that two runs at one router differ. timeout_s: of one release."""

    def __init__(
        self, session: aiohttp.ClientSession, addresses: Sequence[str], name: str, *, timeout_s: float, clock: Clock
    ) -> None:
        self._session = session
        self._urls = [f"{one.rstrip('/').removesuffix('/v1')}/programs/release" for one in addresses]
        self._name = name
        self._timeout_s = timeout_s
        self._clock = clock
        self._releasing: set[asyncio.Task[None]] = set()
        self._refused = False

    def id(self, place: int) -> str:
        """The program's id of a task."""
        return f"{self._name}-{place}"

    def release(self, place: int) -> None:
        """Tell the router that the task has ended; nobody waits for it."""
        task = asyncio.ensure_future(self._release(self.id(place)))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, program: str) -> None:
        for url in self._urls:
            try:
                async with (
                    self._clock.timeout(self._timeout_s),
                    self._session.post(url, json={"program_id": program}) as answer,
                ):
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status = repr(error)
            if status != 200 and not self._refused:
                self._refused = True
                _log.warning("%s releases no program (%s): ORCHESTRATOR_ORDER=program is for a router", url, status)
