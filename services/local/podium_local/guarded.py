"""A process under a guard: whatever happens to podium-local, it and everything below it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Self


class Guarded:
    """A running process. Make it with `start`; `stop` is harmless when it has ended."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, stop_timeout_s: float) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._stop_timeout_s = stop_timeout_s

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        stop_timeout_s: float,
        output: IO[bytes] | None = None,
    ) -> Self:
        """Start `argv`; its output goes to a file, or where our own goes."""
        reader, writer = os.pipe()
        guard = (sys.executable, "-m", "podium_local.guard", str(reader), str(stop_timeout_s))
        try:
            process = await asyncio.create_subprocess_exec(
                *guard,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else asyncio.subprocess.STDOUT,
                env=dict(environment),
                pass_fds=(reader,),
                start_new_session=True,  # Ctrl-C reaches podium-local alone, which decides what it means
            )
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        return cls(process, writer, stop_timeout_s)

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until it has ended, with all below it; its exit status."""
        status = await self._process.wait()
        self._close_lifeline()
        return status

    def signal(self, number: int) -> None:
        """Pass a signal to the process itself."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """End it and all below it: SIGTERM, then SIGKILL after the stop timeout."""
        self._close_lifeline()
        try:
            await asyncio.wait_for(self._process.wait(), self._stop_timeout_s + 5)
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def _close_lifeline(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
