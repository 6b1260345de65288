"""One service as a process: started, watched, asked for its health, stopped whole."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from podium_local.guarded import Guarded

TAIL_LINES: Final = 25
POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What a service is: its command, its whole environment, and how one knows that it is ready."""

    name: str
    url: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    healthy: Callable[[], Awaitable[None]]
    """Returns when the service is ready; raises NotReady, with the reason, at once when it is not."""
    reused: bool = False
    """It runs already and is only checked."""


class NotReady(RuntimeError):
    """The service is not ready; the message gives its answer."""


class ServiceFailed(RuntimeError):
    """A service did not come up, or died for good; the message ends with the tail of its log."""


class Service:
    """A service that can be started again. Its log file takes stdout and stderr; a restart appends."""

    def __init__(self, spec: ServiceSpec, log: Path, stop_timeout_s: float) -> None:
        self.spec = spec
        self.log = log
        self._stop_timeout_s = stop_timeout_s
        self._process: Guarded | None = None

    async def start(self) -> None:
        """Start the process."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await Guarded.start(
                self.spec.argv, self.spec.environment, stop_timeout_s=self._stop_timeout_s, output=log
            )

    async def died(self) -> int:
        """Wait until the started process ends; its exit status."""
        assert self._process is not None, "died() before start()"
        return await self._process.wait()

    @property
    def running(self) -> bool:
        """True from start until the process has ended."""
        return self._process is not None and self._process.returncode is None

    async def wait_healthy(self, deadline: float) -> None:
        """Return when the service is healthy.

        Raises:
            ServiceFailed: it ended, or time.monotonic() passed `deadline`.
        """
        reason = "no answer yet"
        while time.monotonic() < deadline:
            if self._process is None or self._process.returncode is not None:
                status = None if self._process is None else self._process.returncode
                raise self.failure(f"ended with status {status} before it was healthy")
            try:
                await self.spec.healthy()
            except NotReady as error:
                reason = str(error)
            else:
                return
            await asyncio.sleep(POLL_S)
        raise self.failure(f"was not healthy in time (LOCAL_START_TIMEOUT_S): {reason}")

    def failure(self, reason: str) -> ServiceFailed:
        """An error that names the service, the reason and the end of its log."""
        return ServiceFailed(f"{self.spec.name} {reason}\n{tail(self.log)}")

    async def stop(self) -> None:
        """End every process of the service. Harmless when it does not run."""
        if self._process is not None:
            await self._process.stop()


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented, under its path; a note where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 64 * 1024))
            last = log.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        last = []
    return f"--- end of {path} ---\n" + "\n".join(f"  {line}" for line in last or ["(empty)"])
