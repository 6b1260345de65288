"""Keeps a zygote alive, and refuses to be ready with too few walls."""

import asyncio
import contextlib
import logging
from dataclasses import asdict

from podium_sandbox.isolation.cgroup import Cgroup, NoCgroup
from podium_sandbox.process import protocol as wire
from podium_sandbox.process.zygote_client import SandboxBroken, ZygoteProcess
from podium_sandbox.settings import SandboxSettings

log = logging.getLogger("podium_sandbox")


class TooFewWalls(RuntimeError):
    """The kernel does not allow enough walls and SANDBOX_UNSAFE is not set, or programs cannot import behind any."""


class Supervisor:
    """Owner of the zygote: starts it, starts another when it ends, closes it."""

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
        """Raises TooFewWalls, or SandboxBroken where the zygote cannot start at all."""
        (self._settings.scratch_dir / "root").mkdir(parents=True, exist_ok=True)
        memory = "cgroup"
        try:
            self.cgroup = Cgroup()
        except NoCgroup as error:
            memory = f"watch ({error})"
        zygote, ready = await ZygoteProcess.start(self._settings)
        walls = ready.walls
        if not walls.enough and not self._settings.unsafe:
            await zygote.close()
            raise TooFewWalls(
                "This kernel lets the sandbox confine too little "
                f"(files {walls.files}, network {walls.network}, processes {walls.processes}; "
                f"missing: {'; '.join(walls.missing) or 'nothing'}). Allow user namespaces, or run a kernel with "
                "Landlock (5.13 or newer) and install libseccomp2. To run programs that you trust without walls, set "
                "SANDBOX_UNSAFE=1."
            )
        if not walls.imports:
            await zygote.close()
            raise TooFewWalls(
                "Behind no walls that this kernel allows can a program import the standard library: "
                f"{'; '.join(walls.missing)}. Often the interpreter lies below a folder that the programs' user cannot "
                "enter: move it, or run the service as the folder's owner."
            )
        level = logging.INFO if walls.enough else logging.WARNING
        log.log(
            level,
            "sandbox ready" if walls.enough else "sandbox ready WITHOUT ENOUGH WALLS (SANDBOX_UNSAFE=1)",
            extra={
                "walls": asdict(walls),
                "memory": memory,
                "load_ms": round(ready.load_ms),
                "loaded_bytes": ready.anon_bytes,
                "versions": ready.versions,
            },
        )
        self._zygote, self._ready = zygote, ready
        self._keeping = asyncio.create_task(self._keep())

    async def replace(self) -> None:
        """End a zygote that does not do as told; another is started."""
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
