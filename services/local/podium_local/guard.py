"""The parent of one process and all below it: ends them when podium-local has ended, for whatever reason.

    python -m podium_local.guard FD GRACE_S ARGV…

FD is the read end of a pipe whose only writer is podium-local. When the writer is gone (also by kill -9), every
process below this one gets SIGTERM, and after GRACE_S seconds SIGKILL. Children that left their session are included
too: this process is their subreaper. SIGINT and SIGTERM are passed on to the process itself, which may take its time.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`, children before grandchildren."""
    below: list[int] = []
    queue = [pid]
    while queue:
        current = queue.pop(0)
        try:
            tasks = list(Path(f"/proc/{current}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                children = [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
            below += children
            queue += children
    return below


def signal_below(pid: int, number: int) -> bool:
    """Send a signal to every process below `pid`; False when there is none left."""
    below = descendants(pid)
    for child in below:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            continue
    return bool(below)


def _reap() -> None:
    """Collect children that were handed to us when their own parent died."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_everything(grace_s: float) -> None:
    """SIGTERM below this process, and SIGKILL for whatever is left after `grace_s` seconds."""
    me = os.getpid()
    signal_below(me, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        _reap()
        if not descendants(me):
            return
        time.sleep(0.02)
    while signal_below(me, signal.SIGKILL):
        _reap()
        time.sleep(0.02)


def _wake(number: int, frame: FrameType | None) -> None:
    """Nothing here: the wakeup pipe carries the number to the loop below."""


def _child_setup() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Exit with the service's status, 128 + signal when a signal ended it."""
    pipe, grace_s, command = int(argv[0]), float(argv[1]), argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _wake)

    service = subprocess.Popen(command, preexec_fn=_child_setup)  # one thread here: preexec_fn is safe
    while service.poll() is None:
        ready, _, _ = select.select([pipe, wake_read], [], [])
        if wake_read in ready:
            for number in os.read(wake_read, 4096):
                if number != signal.SIGCHLD:
                    service.send_signal(number)
        if pipe in ready:
            break
    status = service.poll()
    # A service that died leaves its workers behind: they would hold its port and its memory.
    end_everything(grace_s)
    if status is None:
        status = service.returncode if service.returncode is not None else 0
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
