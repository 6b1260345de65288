"""A process with numpy, pandas and other libraries loaded, which forks once for each program.

Started by the service with a minimal environment: none of the service's secrets has ever been in its memory.
Its arguments: the number of its end of the control socket, and its configuration as JSON.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import types
from collections.abc import Generator
from pathlib import Path
from typing import cast

from podium_sandbox.isolation import libc, rlimits, rootfs, seccomp
from podium_sandbox.isolation.survey import survey
from podium_sandbox.process import protocol as wire
from podium_sandbox.process import reaper


def main() -> None:
    """Load, test the isolation layers, report ready, and serve until the service closes its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[2])
    started = time.monotonic()
    versions = _load(config["preload"])
    with contextlib.suppress(OSError):  # surveyed below, with its reason
        seccomp.preload()
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    surveyed = survey(config["isolation"], config["base"], config["uid_base"])
    gc.collect()
    gc.freeze()  # no collection touches, and so copies, the pages that programs share
    site = reaper.Site(
        isolation=surveyed,
        view=rootfs.interpreter_view(),
        baseline=rlimits.measure_baseline(),
        base=config["base"],
        environment=dict(os.environ),
    )
    load_ms = (time.monotonic() - started) * 1000
    control.send(wire.encode(wire.Ready(surveyed, load_ms, _anonymous_bytes(), versions)))
    _serve(control, site)


def _load(names: list[str]) -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    with _without_pyarrow(), tempfile.TemporaryDirectory() as folder:
        os.environ["MPLCONFIGDIR"] = folder  # or matplotlib would remove one of its own at each program's end
        for name in names:
            importlib.import_module(name)
            top = name.partition(".")[0]
            versions[top] = str(getattr(sys.modules[top], "__version__", ""))
        del os.environ["MPLCONFIGDIR"]
    tempfile.tempdir = None  # each program's is its own scratch folder
    return versions


@contextlib.contextmanager
def _without_pyarrow() -> Generator[None]:
    """Pandas loads it where it is installed; it starts threads, and no thread survives a fork."""
    sys.modules["pyarrow"] = cast(types.ModuleType, None)
    try:
        yield
    finally:
        del sys.modules["pyarrow"]


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _serve(control: socket.socket, site: reaper.Site) -> None:
    reapers: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _reap(control, reapers)
        if control not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(control, wire.PACKET_BYTES, wire.DESCRIPTORS)
        if not data:
            return  # the service is gone; the reapers' death signal takes the programs along
        packet = wire.decode(data)
        if isinstance(packet, wire.Run):
            reapers[_fork(control, packet, site, reaper.Streams(*descriptors))] = packet.id
        elif isinstance(packet, wire.Kill):
            for pid, run in reapers.items():
                if run == packet.id:
                    os.kill(pid, signal.SIGTERM)


def _reap(control: socket.socket, reapers: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            if (run := reapers.pop(ended, None)) is not None:
                control.send(wire.encode(wire.Gone(run)))


def _prefer_for_oom() -> None:
    """When memory runs out the kernel is to take programs, not the service."""
    libc.prctl(libc.PR_SET_DUMPABLE, 1)  # or the file belongs to root
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc.prctl(libc.PR_SET_DUMPABLE, 0)


def _fork(control: socket.socket, run: wire.Run, site: reaper.Site, streams: reaper.Streams) -> int:
    """Start a reaper. Returns its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            _prefer_for_oom()
            if os.getppid() == parent:
                control.send(wire.encode(reaper.keep(run, site, streams)))
        finally:
            os._exit(0)
    for descriptor in (streams.code, streams.stdout, streams.stderr, streams.note):
        os.close(descriptor)
    control.send(wire.encode(wire.Started(run.id, pid)))
    return pid
