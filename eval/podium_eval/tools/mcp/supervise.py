"""Runs an MCP server's command below itself: `python supervise.py MOST_BYTES command argument…`.

It ends with eval, however eval ends, and takes every process that the command started with it. Messages longer than
MOST_BYTES are answered in the server's stead with an error: what reads them would hold them whole, many times over.
The standard library alone, and no import of Podium: it starts in some milliseconds.
"""

import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time

_PDEATHSIG, _SUBREAPER = 1, 36
_CHUNK = 1 << 16
_HEAD = 512
_ID = re.compile(rb'"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")')


def main() -> int:
    """The command's exit status; 127 where it cannot be started."""
    most, command = int(sys.argv[1]), sys.argv[2:]
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _end)
    libc.prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    os.close(0)
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        _pass_on(child, child.stdout.fileno(), most)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
    kill_below()
    return child.returncode or 0


def _pass_on(child: "subprocess.Popen[bytes]", source: int, most: int) -> None:
    """Copy lines to stdout until the command has ended or closed its own."""
    held: list[bytes] = []
    size = 0
    while True:
        ready, _, _ = select.select([source], [], [], 0.2)
        if not ready:
            if child.poll() is not None:
                return
            continue
        chunk = os.read(source, _CHUNK)
        if not chunk:
            return
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            size += len(line)
            held.append(line)
            _write(_too_long(held, size) if size > most else b"".join([*held, b"\n"]))
            held, size = [], 0
        size += len(rest)
        # Of a line that is too long already only the head is kept, for its id.
        if size <= most or sum(map(len, held)) < _HEAD:
            held.append(rest)
        elif len(held) > 1:
            held = [b"".join(held)[:_HEAD]]


def _too_long(held: list[bytes], size: int) -> bytes:
    number = _ID.search(b"".join(held)[:_HEAD])
    if number is None:
        return b""
    message = b'{"code":-32603,"message":"the result of %d bytes is longer than result_bytes allows"}' % size
    return b'{"jsonrpc":"2.0","id":%s,"error":%s}\n' % (number[1], message)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def kill_below() -> None:
    """Kill every process that descends from this one; orphans of the command are its children too."""
    for _ in range(500):
        below = _children()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Not waited for: what a killed child leaves behind becomes this one's, and must be killed in turn.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not below:
            return
        time.sleep(0.01)


def _children() -> list[int]:
    """This process's own children; their children become its own when they are gone."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _end(number: int, _: object) -> None:
    kill_below()
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
