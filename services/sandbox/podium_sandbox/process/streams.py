"""Text streams of a program whose buffered output survives its end.

What a program has printed without an end of line stays in its buffer, so that lines of several threads do not mix. A
copy of it lies in memory shared with the reaper, which prints it where the program was ended before it could.
"""

import io
import mmap
import os
import sys
from typing import Any

_LENGTH = 4
_ROOM = io.DEFAULT_BUFFER_SIZE
_PART = _LENGTH + _ROOM


class Pending:
    """The buffered output of stdout (0) and stderr (1), in memory that forked processes share."""

    def __init__(self) -> None:
        self.memory = memoryview(mmap.mmap(-1, 2 * _PART))

    def part(self, which: int) -> memoryview:
        return self.memory[which * _PART : (which + 1) * _PART]

    def left(self, which: int) -> bytes:
        """The program may have written anything here: it is output, of bounded length."""
        part = self.part(which)
        return bytes(part[_LENGTH : _LENGTH + min(_ROOM, int.from_bytes(part[:_LENGTH], "little"))])


class _Kept(io.BufferedWriter):
    """A buffered writer that copies what it holds back into `part`.

    It holds pieces itself: waiting for the C buffer's lock within a line would mix the lines of threads.
    """

    def __init__(self, raw: io.FileIO, part: memoryview) -> None:
        super().__init__(raw)
        self._part = part
        self._pieces = bytearray()
        self._copied = False
        os.register_at_fork(after_in_child=self._disown)

    def write(self, data: Any, /) -> int:
        self._pieces += data
        if self._pieces.endswith(b"\n") or len(self._pieces) > _ROOM:
            self.flush()
        else:
            self._copy()
        return len(data)

    def flush(self) -> None:
        fresh = bytearray()
        data, self._pieces = self._pieces, fresh  # no other thread comes between
        try:
            if data:
                super().write(data)
            super().flush()
        except RuntimeError:  # a signal handler prints within a print: its output is written with the next
            self._pieces = data + self._pieces
        if self._copied or self._pieces:
            self._copy()

    def _copy(self) -> None:
        held = self._pieces[:_ROOM]
        self._part[: _LENGTH + len(held)] = len(held).to_bytes(_LENGTH, "little") + held
        self._copied = bool(held)

    def _disown(self) -> None:
        self._part = memoryview(bytearray(_PART))  # a child's output must not replace its parent's


def open_streams(pending: Pending) -> None:
    """Fresh text streams on descriptors 0 to 2. Each line goes out at once."""

    def writer(descriptor: int, which: int) -> io.TextIOWrapper:
        kept = _Kept(io.FileIO(descriptor, "w", closefd=False), pending.part(which))
        return io.TextIOWrapper(
            kept, encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True
        )

    stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    for name, stream in (("stdin", stdin), ("stdout", writer(1, 0)), ("stderr", writer(2, 1))):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
