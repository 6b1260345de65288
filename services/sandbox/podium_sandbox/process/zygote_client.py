"""The service's client of the zygote: starts it, sends it programs, receives how they ended."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from podium_sandbox.isolation.rlimits import Limits
from podium_sandbox.process import protocol as wire
from podium_sandbox.settings import SandboxSettings

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/nonexistent",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MPLBACKEND": "Agg",
}
"""All that a program can find in os.environ, HOME and TMPDIR set to its scratch folder."""


_BOOT = """import json, sys
sys.path.append(json.loads(sys.argv[2])["package"])
from podium_sandbox.process.zygote import main
main()
"""
"""PYTHONPATH is not passed on: of the service's path only its own package's folder is."""


class SandboxBroken(RuntimeError):
    """The sandbox, not the program, failed."""


class Unkillable(SandboxBroken):
    """Processes of a program remain: only the end of the zygote takes them along."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the zygote needs to know of a run."""

    limits: Limits
    uid: int | None
    scratch: str | None
    cgroup: str | None


@dataclass(slots=True)
class Handle:
    """One run in flight. pid is its reaper's."""

    id: int
    started: asyncio.Future[int]
    exited: asyncio.Future[wire.Exited]
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class ZygoteProcess:
    """A running zygote. When it ends, every run in flight fails with SandboxBroken."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[wire.Ready] = self._loop.create_future()
        self._handles: dict[int, Handle] = {}
        self._next = 0
        self.ended = asyncio.Event()
        control.setblocking(False)
        self._loop.add_reader(control, self._receive)

    @classmethod
    async def start(cls, settings: SandboxSettings) -> tuple["ZygoteProcess", wire.Ready]:
        """Start one and wait until it has loaded and tested the isolation layers.

        Raises:
            SandboxBroken: it ended or took too long.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        config = {
            "package": str(Path(__file__).parents[2]),
            "preload": [name.strip() for name in settings.preload.split(",") if name.strip()],
            "isolation": settings.walls,
            "base": str(settings.scratch_dir / "root"),
            "uid_base": settings.uid_base,
        }
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220  # a fork of some milliseconds, at the start only
                [sys.executable, "-P", "-c", _BOOT, str(theirs.fileno()), json.dumps(config)],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
            )
        zygote = cls(process, ours)
        try:
            async with asyncio.timeout(settings.start_timeout_s):
                ready = await zygote._ready
        except TimeoutError:
            await zygote.close()
            raise SandboxBroken(f"not loaded within SANDBOX_START_TIMEOUT_S={settings.start_timeout_s:g}") from None
        except SandboxBroken:
            await zygote.close()
            raise
        return zygote, ready

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def submit(self, request: RunRequest, descriptors: list[int], wait_s: float) -> Handle:
        """Send a run with its descriptors (program, stdout, stderr, note), which stay the caller's to close.

        Raises:
            SandboxBroken: the zygote is gone or takes nothing within wait_s.
        """
        self._next += 1
        handle = Handle(self._next, self._loop.create_future(), self._loop.create_future())
        run = wire.Run(handle.id, request.limits, request.uid, request.scratch, request.cgroup)
        self._handles[handle.id] = handle
        try:
            async with asyncio.timeout(wait_s):
                await self._send(run, descriptors)
        except (OSError, TimeoutError) as error:
            del self._handles[handle.id]
            raise SandboxBroken(f"the zygote takes no program: {error or type(error).__name__}") from error
        return handle

    async def kill(self, handle: Handle, wait_s: float) -> None:
        """End a run, if it has not ended, and wait until all of its processes are gone.

        Raises:
            Unkillable: some remain after wait_s.
        """
        try:
            async with asyncio.timeout(wait_s):
                if not handle.exited.done():
                    await self._send(wire.Kill(handle.id), [])
                await handle.gone.wait()
        except (OSError, TimeoutError) as error:
            raise Unkillable("a program's processes could not be ended") from error

    async def close(self) -> None:
        """End the zygote and, with it, every program."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        self._lost()

    async def _send(self, packet: wire.Run | wire.Kill, descriptors: list[int]) -> None:
        data = wire.encode(packet)
        while True:
            try:
                socket.send_fds(self._control, [data], descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.005)
            else:
                return

    def _receive(self) -> None:
        while True:
            try:
                data = self._control.recv(wire.PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._take(wire.decode(data))

    def _take(self, packet: wire.Packet) -> None:
        if isinstance(packet, wire.Ready):
            if not self._ready.done():
                self._ready.set_result(packet)
            return
        handle = self._handles.get(packet.id)
        if handle is None:
            return
        if isinstance(packet, wire.Started) and not handle.started.done():
            handle.started.set_result(packet.pid)
        elif isinstance(packet, wire.Exited) and not handle.exited.done():
            handle.exited.set_result(packet)
        elif isinstance(packet, wire.Gone):
            if not handle.exited.done():
                handle.exited.set_result(wire.Exited(packet.id, None, time.monotonic(), 0.0, 0))
            handle.gone.set()
            del self._handles[packet.id]

    def _lost(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self._loop.remove_reader(self._control)
        self._control.close()
        error = SandboxBroken("the process that starts programs has ended")
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # looked at: nobody may be waiting any more
        for handle in self._handles.values():
            for future in (handle.started, handle.exited):
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            handle.gone.set()
        self._handles.clear()
