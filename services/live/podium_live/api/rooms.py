"""What is pushed: one look a second for all who watch the same thing, however many they are."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Final

from podium_live.files import NotThere

_log = logging.getLogger(__name__)
QUIET_S: Final = 15.0
"""A comment is sent after so long without news: a connection that is gone is noticed then."""


class Full(RuntimeError):
    """LIVE_VIEWERS pages are open."""


class _Room:
    """The newest message of one topic, and its version."""

    def __init__(self) -> None:
        self.message: bytes | None = None
        self.version = 0
        self.viewers = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def put(self, message: bytes) -> None:
        if message != self.message:
            self.message = message
            self.version += 1
            self.changed.set()
            self.changed = asyncio.Event()


class Rooms:
    """look functions run in a thread, one at a time for each topic."""

    def __init__(self, interval_s: float, most_viewers: int) -> None:
        self._interval_s = interval_s
        self._most = most_viewers
        self._rooms: dict[str, _Room] = {}
        self._viewers = 0
        self._closing = asyncio.Event()

    async def watch(self, topic: str, look: Callable[[], bytes]) -> AsyncGenerator[bytes]:
        """Server-sent events of a topic, the newest at once; ends when the service stops.

        Raises:
            Full: too many watch already.
        """
        if self._viewers >= self._most:
            raise Full(f"{self._most} pages are open (LIVE_VIEWERS): close one")
        return self._messages(topic, look)

    async def _messages(self, topic: str, look: Callable[[], bytes]) -> AsyncGenerator[bytes]:
        room = self._rooms.setdefault(topic, _Room())
        room.viewers += 1
        self._viewers += 1
        if room.task is None:
            room.task = asyncio.create_task(self._keep(topic, room, look))
        keeping = room.task
        seen = 0
        try:
            yield b"retry: 1000\n\n"
            while not self._closing.is_set():
                if room.version == seen:
                    changed = room.changed
                    try:
                        async with asyncio.timeout(QUIET_S):
                            await changed.wait()
                    except TimeoutError:
                        yield b": still here\n\n"
                    continue
                seen = room.version
                yield b"data: " + (room.message or b"{}") + b"\n\n"
        finally:
            self._viewers -= 1
            room.viewers -= 1
            if not room.viewers:
                keeping.cancel()
                self._rooms.pop(topic, None)

    async def _keep(self, topic: str, room: _Room, look: Callable[[], bytes]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                room.put(await asyncio.to_thread(look))
            except NotThere:
                room.put(b'{"gone":true}')
            except Exception:  # noqa: BLE001
                # A file that defeats the reader must not end the stream: the page keeps what it has, and says so.
                _log.exception("%s could not be read", topic)
                room.put(b'{"failed":true}')
            await asyncio.sleep(max(0.05, self._interval_s - (loop.time() - began)))

    def close(self) -> None:
        """End every stream."""
        self._closing.set()
        for room in self._rooms.values():
            room.changed.set()
