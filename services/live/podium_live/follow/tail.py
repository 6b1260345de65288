"""A file of JSON lines that grows, read on from where the last look ended."""

import os
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

import orjson

from podium_live.files import NotThere

SLICE: Final = 4 * 1024 * 1024
"""Bytes of one look; a line longer than that is passed over."""


class Tail:
    """open: the file, or NotThere while it does not exist."""

    def __init__(self, open_file: Callable[[], BinaryIO]) -> None:
        self._open = open_file
        self._inode: int | None = None
        self._inside_long_line = False
        self.offset = 0
        self.n_bad = 0
        """Lines that were no JSON object, or too long."""
        self.replaced = False
        """The last look found another or a shorter file: what was read before is void."""

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """The objects of at most SLICE further bytes, and whether the file's end was reached. A line without its
        end waits for the next look."""
        self.replaced = False
        try:
            file = self._open()
        except NotThere:
            return [], True
        with file:
            state = os.fstat(file.fileno())
            if self._inode is not None and (state.st_ino != self._inode or state.st_size < self.offset):
                self.offset, self.n_bad, self._inside_long_line, self.replaced = 0, 0, False, True
            self._inode = state.st_ino
            file.seek(self.offset)
            data = file.read(SLICE)
        end = data.rfind(b"\n") + 1
        if not end:
            if len(data) == SLICE:
                self.offset += SLICE
                self._inside_long_line = True
            return [], len(data) < SLICE
        self.offset += end
        lines = data[:end].splitlines()
        if self._inside_long_line:
            self._inside_long_line = False
            self.n_bad += 1
            lines = lines[1:]
        return self._parsed(lines), len(data) < SLICE

    def _parsed(self, lines: list[bytes]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in lines:
            try:
                value: Any = orjson.loads(line)
            except orjson.JSONDecodeError:
                self.n_bad += bool(line.strip())
                continue
            if isinstance(value, dict):
                found.append(cast("dict[str, Any]", value))
            else:
                self.n_bad += 1
        return found
