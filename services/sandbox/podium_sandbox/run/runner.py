"""Runs one program after another, each in its own isolation, and watches its limits."""

import asyncio
import contextlib
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from podium_sandbox.isolation import cgroup, rootfs
from podium_sandbox.isolation.rlimits import Limits
from podium_sandbox.process import protocol as wire
from podium_sandbox.process.program import MEMORY_NOTE
from podium_sandbox.process.reaper import READY_NOTE
from podium_sandbox.process.zygote_client import Handle, RunRequest, SandboxBroken, ZygoteProcess
from podium_sandbox.run.outcome import Limit, Status, Stop, judge
from podium_sandbox.run.output import HeadTail
from podium_sandbox.run.watch import Watch
from podium_sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run, with what the log and the metrics record of it.

    exit_code: negative for a signal, None where the sandbox ended the program. duration_ms: wall time from the
    program's start to its end. startup_ms: before it. cpu_ms, max_rss_bytes: None where the system did not report them.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    duration_ms: float
    truncated: bool
    startup_ms: float
    cpu_ms: float | None
    max_rss_bytes: int | None
    output_bytes: int


class _Stream(asyncio.Protocol):
    """Reads one pipe into bounded memory. ended: nobody can write to it any more."""

    def __init__(self, limit: int) -> None:
        self.held = HeadTail(limit)
        self.ended = asyncio.Event()
        self.heard = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.held.feed(data)
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self.heard.set()


class Runner:
    """Owns the user ids, scratch folders and cgroups of runs; the zygote is handed in with each."""

    def __init__(self, settings: SandboxSettings, service_cgroup: cgroup.Cgroup | None) -> None:
        self._settings = settings
        self._cgroup = service_cgroup
        self._runs = 0
        # The kernel counts processes by user id: two sandboxes on one machine must not share any.
        first = settings.uid_base + os.getpid() % 1_000_000 * 256
        self._free_uids = [first + n for n in range(settings.slots)]

    async def run(self, zygote: ZygoteProcess, ready: wire.Ready, code: str, timeout_s: float) -> Outcome:
        """Run `code` for at most timeout_s. Cancelling ends the program.

        Raises:
            SandboxBroken: the isolation or the processes failed, not the program.
        """
        uid = self._free_uids.pop() if ready.isolation.own_uid else None
        scratch: str | None = None
        group: str | None = None
        try:
            if self._cgroup is not None:
                self._runs += 1
                group = self._cgroup.add(self._runs, self._hard_memory_bytes(ready))
            if ready.isolation.namespaces is None:
                scratch = tempfile.mkdtemp(prefix="run-", dir=self._settings.scratch_dir)
                if uid is not None:
                    os.chown(scratch, uid, uid)
            with contextlib.ExitStack() as pipes:
                request = RunRequest(self._limits(), uid, scratch, group)
                return await self._run(zygote, ready, code, timeout_s, request, pipes)
        except OSError as error:
            raise SandboxBroken(f"no place for a program: {error}") from error
        finally:
            if group is not None:
                cgroup.remove(group)
            if scratch is not None:
                await asyncio.shield(asyncio.to_thread(_remove, scratch, self._settings.grace_s))
            if uid is not None:
                self._free_uids.append(uid)

    def _hard_memory_bytes(self, ready: wire.Ready) -> int:
        """What the kernel counts besides the limit: files in memory, and copies of pages that were the zygote's."""
        s = self._settings
        return s.memory_bytes + s.scratch_bytes + rootfs.shared_memory_bytes(s.scratch_bytes) + ready.anon_bytes

    def _limits(self) -> Limits:
        s = self._settings
        return Limits(s.cpu_s, s.memory_bytes, s.processes, s.open_files, s.file_bytes, s.scratch_bytes)

    async def _run(
        self,
        zygote: ZygoteProcess,
        ready: wire.Ready,
        code: str,
        timeout_s: float,
        request: RunRequest,
        pipes: contextlib.ExitStack,
    ) -> Outcome:
        begun = time.monotonic()
        out, err, note = (_Stream(self._settings.output_bytes) for _ in range(3))
        with _program_file(code) as program, contextlib.ExitStack() as written:
            ends = [await _connect(stream, pipes, written) for stream in (out, err, note)]
            handle = await zygote.submit(request, [program, *ends], self._settings.grace_s)
        try:
            await self._until_running(note)
            started = time.monotonic()
            watch = Watch(self._settings, await handle.started, ready.anon_bytes, request.uid, request.scratch)
            stop, stopped = await self._watch(handle, watch, timeout_s, started, (out, err, note))
        finally:
            await asyncio.shield(zygote.kill(handle, self._settings.grace_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace_s):
                await out.ended.wait()
                await err.ended.wait()
                await note.ended.wait()
        exited = await handle.exited
        if stop is None and request.cgroup is not None and cgroup.out_of_memory(request.cgroup):
            stop, stopped = "memory", exited.ended
        note_text = note.held.text().encode()
        if note_text.startswith(READY_NOTE):
            started = float(note_text.removeprefix(READY_NOTE).partition(b"\n")[0])
        elif stop is None:
            raise SandboxBroken(f"the isolation could not be set up: {note_text.decode().strip() or 'no reason given'}")
        verdict = judge(
            stop=stop,
            wait_status=exited.status,
            memory_error=MEMORY_NOTE in note_text,
            limit=self._limit(timeout_s),
        )
        stderr = err.held.text()
        if verdict.sentence is not None:
            stderr += ("\n" if stderr and not stderr.endswith("\n") else "") + f"[sandbox] {verdict.sentence}\n"
        return Outcome(
            status=verdict.status,
            exit_code=verdict.exit_code,
            stdout=out.held.text(),
            stderr=stderr,
            duration_ms=((exited.ended if stop is None else stopped) - started) * 1000,
            truncated=out.held.truncated or err.held.truncated,
            startup_ms=(started - begun) * 1000,
            cpu_ms=exited.cpu_s * 1000 if exited.status is not None else None,
            max_rss_bytes=exited.max_rss_bytes or None,
            output_bytes=out.held.total + err.held.total,
        )

    def _limit(self, timeout_s: float) -> Limit:
        s = self._settings
        return Limit(timeout_s, s.cpu_s, s.memory_bytes, s.output_kill_bytes, s.scratch_bytes, s.processes)

    async def _until_running(self, note: _Stream) -> None:
        """Wait until the program's first line is about to run, or until it is known that it never will."""
        grace_s = self._settings.grace_s
        try:
            async with asyncio.timeout(grace_s):
                await note.heard.wait()
        except TimeoutError:
            raise SandboxBroken(f"a program did not start within SANDBOX_GRACE_S={grace_s:g}") from None

    async def _watch(
        self,
        handle: Handle,
        watch: Watch,
        timeout_s: float,
        started: float,
        streams: tuple[_Stream, ...],
    ) -> tuple[Stop | None, float]:
        """Wait for the end. Returns the limit that was exceeded (None: the program ended by itself), and when."""
        stop: Stop | None = None
        pause = self._settings.watch_s
        while stop is None and not handle.exited.done():
            left = started + timeout_s - time.monotonic()
            if left <= 0:
                stop = "wall"
                break
            await asyncio.wait([handle.exited], timeout=min(left, pause))
            if sum(stream.held.total for stream in streams) > self._settings.output_kill_bytes:
                stop = "output"
            elif not handle.exited.done():
                begun = time.monotonic()
                look = asyncio.ensure_future(asyncio.to_thread(watch.exceeded))
                left = max(0.0, started + timeout_s - begun)
                await asyncio.wait([look, handle.exited], timeout=left, return_when=asyncio.FIRST_COMPLETED)
                stop = look.result() if look.done() else None  # no look, however long, delays an end
                pause = max(self._settings.watch_s, 4 * (time.monotonic() - begun))  # however much there is to count
        if stop is None:
            await handle.exited  # raises where the zygote was lost
        return stop, time.monotonic()


async def _connect(stream: _Stream, pipes: contextlib.ExitStack, written: contextlib.ExitStack) -> int:
    """A pipe whose reading end feeds `stream`. Returns its writing end, which `written` closes."""
    read, write = os.pipe()
    written.callback(os.close, write)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: stream, io.FileIO(read))
    pipes.callback(transport.close)
    return write


@contextlib.contextmanager
def _program_file(code: str) -> Generator[int]:
    """An open descriptor on the program, which is in no folder."""
    descriptor = os.memfd_create("program")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(code.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(folder: str, wait_s: float) -> None:
    """Remove a scratch folder whatever a program made of it: without rights, or nested too deep for one path."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if Path(folder).exists():
        for command in (["chmod", "-R", "u+rwX", folder], ["rm", "-rf", "--", folder]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=wait_s)
