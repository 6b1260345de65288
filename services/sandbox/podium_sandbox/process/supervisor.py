"""Keeps a zygote alive, and is not ready without enough isolation."""

import asyncio
import contextlib
import logging
from dataclasses import asdict

from podium_sandbox.isolation.cgroup import Cgroup, NoCgroup
from podium_sandbox.process import protocol as wire
from podium_sandbox.process.zygote_client import SandboxBroken, ZygoteProcess
from podium_sandbox.settings import SandboxSettings

log = logging.getLogger("podium_sandbox")


class TooLittleIsolation(RuntimeError):
    """The kernel does not allow enough isolation and SANDBOX_UNSAFE is not set, or programs can import in none."""


class Supervisor:
    """Starts the zygote, restarts it when it ends, closes it."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._zygote: ZygoteProcess | None = None
        self._ready: wire.Ready | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.cgroup: Cgroup | None = None
        """Set by start where the kernel can bound each run's memory."""
        self.restarts = 0

    @property
    def current(self) -> tuple[ZygoteProcess, wire.Ready] | None:
        """The zygote that takes programs; None while there is none."""
        if self._zygote is None or self._ready is None or not self._zygote.alive:
            return None
        return self._zygote, self._ready

    async def start(self) -> None:
        """Raises TooLittleIsolation, or SandboxBroken where the zygote cannot start at all."""
        (self._settings.scratch_dir / "root").mkdir(parents=True, exist_ok=True)
        memory = "cgroup"
        try:
            self.cgroup = Cgroup()
        except NoCgroup as error:
            memory = f"watch ({error})"
        zygote, ready = await ZygoteProcess.start(self._settings)
        isolation = ready.isolation
        if not isolation.enough and not self._settings.unsafe:
            await zygote.close()
            raise TooLittleIsolation(
                "This kernel lets the sandbox confine too little "
                f"(files {isolation.files}, network {isolation.network}, processes {isolation.processes}; "
                f"missing: {'; '.join(isolation.missing) or 'nothing'}). Allow user namespaces, or run a kernel with "
                "Landlock (5.13 or newer) and install libseccomp2. To run programs that you trust without isolation, "
                "set SANDBOX_UNSAFE=1."
            )
        if not isolation.imports:
            await zygote.close()
            raise TooLittleIsolation(
                f"No isolation lets a program import the standard library: {'; '.join(isolation.missing)}. Often the "
                "interpreter lies below a folder that the programs' user cannot "
                "enter: move it, or run the service as the folder's owner."
            )
        level = logging.INFO if isolation.enough else logging.WARNING
        log.log(
            level,
            "sandbox ready" if isolation.enough else "sandbox ready WITHOUT ENOUGH ISOLATION (SANDBOX_UNSAFE=1)",
            extra={
                "walls": asdict(isolation),
                "memory": memory,
                "load_ms": round(ready.load_ms),
                "loaded_bytes": ready.anon_bytes,
                "versions": ready.versions,
            },
        )
        self._zygote, self._ready = zygote, ready
        self._keeping = asyncio.create_task(self._keep())

    async def replace(self) -> None:
        """End a zygote that does not respond; another is started."""
        if self._zygote is not None:
            await self._zygote.close()

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._zygote is not None:
            await self._zygote.close()
        if self.cgroup is not None:
            self.cgroup.close()

    async def _keep(self) -> None:
        pause = 0.1
        while True:
            assert self._zygote is not None
            await self._zygote.ended.wait()
            log.error("the zygote has ended; starting another")
            await self._zygote.close()
            try:
                self._zygote, self._ready = await ZygoteProcess.start(self._settings)
            except SandboxBroken as error:
                log.error("the zygote does not start", extra={"error": str(error)})
                await asyncio.sleep(pause)
                pause = min(10.0, 2 * pause)
            else:
                self.restarts += 1
                pause = 0.1
