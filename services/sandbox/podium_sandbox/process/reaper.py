"""The processes around one program: a reaper, with namespaces an init below it, and the program itself.

The reaper and the init run this file's code only. When the program's first process ends, or the reaper is asked to
stop, every process of the program is killed: by the kernel, with the process namespace whose init ends; without
namespaces there is one process only, as the filter lets it start none.
"""

import contextlib
import os
import signal
import struct
import time
from dataclasses import dataclass
from os import _exit
from typing import NoReturn

from podium_sandbox.isolation import cgroup, layers, libc, rlimits, rootfs
from podium_sandbox.process import program
from podium_sandbox.process.protocol import Exited, Run
from podium_sandbox.process.streams import Pending, open_streams

READY_NOTE = b"ready "
"""Followed by the monotonic time at which the program's first line is about to run."""
_ENDED = struct.Struct("id")


@dataclass(frozen=True, slots=True)
class Site:
    """What all runs share. base: the folder that mounts are built on."""

    isolation: layers.Isolation
    view: rootfs.View
    baseline: rlimits.Baseline
    base: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Streams:
    """Open descriptors of one run."""

    code: int
    stdout: int
    stderr: int
    note: int


def keep(run: Run, site: Site, streams: Streams) -> Exited:
    """In the reaper process: start the program and wait until nothing of it is left."""
    stopping = False
    child = 0

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        if child:
            os.kill(child, signal.SIGKILL)

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, stop)
    os.setsid()
    parent = os.getpid()
    pending = Pending()
    read, write = os.pipe()
    try:
        if site.isolation.namespaces is not None:
            layers.isolate(site.isolation.namespaces)
        child = os.fork()
    except OSError as error:
        os.write(streams.note, f"reaper: {error}\n".encode())
        return Exited(run.id, None, time.monotonic(), 0.0, 0)
    if child == 0:
        _first(run, site, streams, pending, write, parent)
    if stopping:
        os.kill(child, signal.SIGKILL)
    for descriptor in (streams.code, streams.note, write):
        os.close(descriptor)
    _, status, usage = os.wait4(child, 0)
    if site.isolation.namespaces is None and not site.isolation.seccomp:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # without isolation: what stayed in its session
    child = 0  # its number may belong to another process from here on
    known: int | None = status
    ended = time.monotonic()
    if site.isolation.namespaces is not None:
        end_note = os.read(read, _ENDED.size)
        known, ended = _ENDED.unpack(end_note) if len(end_note) == _ENDED.size else (None, ended)
    for which, descriptor in enumerate((streams.stdout, streams.stderr)):
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # a pipe full of output that ended the program
            os.write(descriptor, pending.left(which))
        os.close(descriptor)
    return Exited(run.id, known, ended, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _first(run: Run, site: Site, streams: Streams, pending: Pending, result: int, parent: int) -> NoReturn:
    """The reaper's child: with namespaces the init that starts the program, otherwise the program."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if run.cgroup is not None:
            cgroup.enter(run.cgroup)
        if site.isolation.namespaces is None:
            if os.getppid() != parent:
                _exit(1)
            _program(run, site, streams, pending)
        uid = _uid_inside(run, site)
        layers.furnish(site.view, site.base, uid=uid, scratch_bytes=run.limits.scratch_bytes)
        child = os.fork()
        if child == 0:
            _program(run, site, streams, pending)
        os.closerange(0, result)
        os.closerange(result + 1, 1 << 16)
        ended = 0
        while ended != child:
            ended, status = os.wait()
            if ended == child:
                os.write(result, _ENDED.pack(status, time.monotonic()))
    except BaseException as error:  # noqa: BLE001  # told to the service, which answers that the sandbox failed
        _tell(streams.note, "init", error)
    finally:
        _exit(1)


def _uid_inside(run: Run, site: Site) -> int:
    if site.isolation.namespaces == "user":
        return layers.INSIDE_UID
    return os.geteuid() if run.uid is None else run.uid


def _others_of_its_user(run: Run, site: Site) -> int | None:
    if site.isolation.namespaces == "user":
        return 2  # the reaper and the init, in a user namespace that counts for itself
    return None if run.uid is None else 0


def _program(run: Run, site: Site, streams: Streams, pending: Pending) -> NoReturn:
    """Apply the last layers and become the program."""
    confined = False
    note = streams.note
    try:
        scratch = run.scratch or rootfs.SCRATCH
        with open(streams.code, "rb", closefd=False) as file:
            source = file.read()
            code = source.decode()
        note = _arrange(streams)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if site.isolation.own_uid and run.uid is not None:
            layers.become(run.uid)
        if site.isolation.namespaces is None:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # becoming another user cleared it
        os.chdir(scratch)
        os.environ.clear()
        os.environ.update(site.environment, HOME=scratch, TMPDIR=scratch)
        open_streams(pending)
        program.write_source(source)
        rlimits.apply(run.limits, site.baseline, extra_processes=_others_of_its_user(run, site))
        libc.prctl(libc.PR_SET_DUMPABLE, 1)  # the watch reads its open files and memory; no other program can
        layers.confine(site.isolation, site.view, scratch)
        os.write(note, READY_NOTE + f"{time.monotonic()}\n".encode())
        confined = True
        program.execute(code, note)
    except BaseException as error:  # noqa: BLE001  # told to the service, which answers that the sandbox failed
        if not confined:
            _tell(note, "program", error)
    finally:
        _exit(1)


def _arrange(streams: Streams) -> int:
    """Put the streams on descriptors 0 to 2, the note on 3, and close all others. Returns 3."""
    kept = [os.dup(number) for number in (streams.stdout, streams.stderr, streams.note)]
    null = os.open(os.devnull, os.O_RDONLY)
    high = [_above(number) for number in (null, *kept)]
    for target, number in enumerate(high):
        os.dup2(number, target, inheritable=target < 3)
    os.closerange(4, 1 << 16)
    return 3


def _above(number: int) -> int:
    """The same descriptor on a number above those that are about to be taken."""
    while number < 4:
        number = os.dup(number)
    return number


def _tell(note: int, who: str, error: BaseException) -> None:
    os.write(note, f"{who}: {type(error).__name__}: {error}\n".encode()[:4000])
