"""The services together: all up before anything runs, each brought back when it dies, all down at the end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from podium_local.ports import holder
from podium_local.service import NotReady, Service, ServiceFailed, ServiceSpec

PROGRESS_EVERY_S: Final = 10.0
RESTART_PAUSE_S: Final = 1.0
CONNECT_S: Final = 5.0


class Stack:
    """Async context: entering starts and waits, leaving stops every process that was started."""

    def __init__(
        self,
        start: Sequence[ServiceSpec],
        reuse: Sequence[ServiceSpec],
        *,
        logs: Path,
        start_timeout_s: float,
        stop_timeout_s: float,
        restarts: int,
        say: Callable[[str], None],
    ) -> None:
        self.services = [Service(spec, logs / f"{spec.name}.log", stop_timeout_s) for spec in start]
        self._reuse = reuse
        self._start_timeout_s = start_timeout_s
        self._restarts = restarts
        self._say = say

    async def __aenter__(self) -> Self:
        """Raises ServiceFailed when one does not come up; what was started is stopped first."""
        try:
            await self._check_addresses()
            for service in self.services:
                await service.start()
            await self._wait_all()
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_all()

    async def watch(self) -> None:
        """Bring services back that die, as compose's restart policy would. Returns only when it is cancelled.

        Raises:
            ServiceFailed: one died more often than the settings allow, or did not come back in time.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for service in self.services:
                    group.create_task(self._keep(service))
        except* ServiceFailed as failures:
            raise _first(failures) from None
        await asyncio.get_running_loop().create_future()  # every service is reused: nothing to watch

    async def _keep(self, service: Service) -> None:
        name, deaths = service.spec.name, 0
        while True:
            status = await service.died()
            deaths += 1
            if deaths > self._restarts:
                raise service.failure(f"died {deaths} times (LOCAL_RESTARTS), the last time with status {status}")
            self._say(f"{name}: died with status {status}, started again ({deaths} of {self._restarts})")
            await asyncio.sleep(RESTART_PAUSE_S)
            began = time.monotonic()
            await service.start()
            try:
                await service.wait_healthy(began + self._start_timeout_s)
            except ServiceFailed:
                if service.running:
                    raise
                continue  # it died again while starting: counted above
            self._say(f"{name}: healthy again after {time.monotonic() - began:.0f} s")

    async def _check_addresses(self) -> None:
        """A service to reuse must be healthy; a port to start on must be free, or eval calls another program."""
        for spec in self._reuse:
            try:
                await spec.healthy()
            except NotReady as error:
                raise ServiceFailed(f"{spec.name} is to be reused at {spec.url} and is not healthy: {error}") from error
            self._say(f"{spec.name}: reused at {spec.url}")
        for service in self.services:
            name, url = service.spec.name, service.spec.url
            if await _listens(url):
                raise ServiceFailed(
                    f"{name}: {url} is taken{await asyncio.to_thread(holder, url)}: stop that, reuse it "
                    f"(--reuse {name}), set another port, or take free ones (--ports auto)"
                )

    async def _wait_all(self) -> None:
        began = time.monotonic()
        waiting = {service.spec.name for service in self.services}

        async def wait(service: Service) -> None:
            await service.wait_healthy(began + self._start_timeout_s)
            waiting.discard(service.spec.name)
            self._say(f"{service.spec.name}: healthy after {time.monotonic() - began:.0f} s at {service.spec.url}")

        async def progress() -> None:
            while True:
                await asyncio.sleep(PROGRESS_EVERY_S)
                self._say(f"waiting for {', '.join(sorted(waiting))}: {time.monotonic() - began:.0f} s")

        ticker = asyncio.create_task(progress())
        try:
            async with asyncio.TaskGroup() as group:
                for service in self.services:
                    group.create_task(wait(service))
        except* ServiceFailed as failures:
            raise _first(failures) from None
        finally:
            ticker.cancel()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(service.stop() for service in self.services))


def _first(group: BaseExceptionGroup[ServiceFailed]) -> ServiceFailed:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port), CONNECT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True
