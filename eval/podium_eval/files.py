"""Files appended to so that a crash leaves them repairable; JSON written and read."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson
from podium_contracts.text.surrogates import encodable

Read = TypeVar("Read")


def repair_tail(path: Path) -> int:
    """Cut an unfinished last line off a line-by-line log. Returns how many bytes went (0: nothing was torn)."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end > 0:
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
            return size - end
    except FileNotFoundError:
        return 0


class LineFile:
    """Appends whole lines to one file; a write that fails half-way leaves no half line behind."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._fd, view)
                if written == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                view = view[written:]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def append_line(path: Path, data: bytes) -> None:
    """Append one line whole or not at all.

    Raises:
        OSError: it did not fit; the file is as it was.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size
        if os.write(fd, data) != len(data):
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def json_bytes(value: Any, *, indent: bool = False) -> bytes:
    """A dataclass or plain value as JSON with a last newline; on one line, or indented by two."""
    options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, option=options)
    except orjson.JSONEncodeError:
        return orjson.dumps(encodable(value), option=options)


def decoded(decoder: msgspec.json.Decoder[Read], raw: bytes) -> Read:
    """JSON of the decoder's type.

    Raises:
        ValueError: no JSON, or a field that is missing or of another type; it is named.
    """
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
