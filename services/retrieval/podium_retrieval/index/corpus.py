"""The corpus on disk: one JSON document a line, read by offset, never held as Python objects."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from podium_contracts.files import replacing

from podium_retrieval.errors import StartError

BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark, which some editors put before the first line."""

_CHUNK: Final = 64 << 20


class BadDocument(ValueError):
    """A line of the corpus is not a document; the message names file and line."""


class Corpus:
    """Documents by row number, which is the line's number less one and the vector's number in the index.

    Reading is by pread, so threads share it. Offsets are kept beside the corpus in `<name>.offsets.npy`, where the
    folder can be written, and are made again when the corpus changes.
    """

    def __init__(self, path: Path, offsets: npt.NDArray[np.int64]) -> None:
        self.path = path
        self._offsets = offsets
        self._fd = os.open(path, os.O_RDONLY)

    @classmethod
    def open(cls, path: Path) -> "Corpus":
        """Open `path`, using or making its offsets.

        Raises:
            StartError: the file cannot be read, is empty or has a blank line.
        """
        try:
            return cls(path, _offsets(path))
        except OSError as error:
            raise StartError(f"{path} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def line(self, row: int) -> bytes:
        """The bytes of a row, without its line end."""
        start = int(self._offsets[row])
        return os.pread(self._fd, int(self._offsets[row + 1]) - start, start).rstrip(b"\r\n")

    def document(self, row: int) -> dict[str, Any]:
        """The document of a row.

        Raises:
            BadDocument: the line is no JSON object with a text in `contents` or `content`.
        """
        return parse_document(self.line(row), self.path, row + 1)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def parse_document(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """One line of a corpus as a document.

    Raises:
        BadDocument: naming `path` and line `number`, counted from 1.
    """
    try:
        document: Any = orjson.loads(line.removeprefix(BOM) if number == 1 else line)
    except orjson.JSONDecodeError as error:
        raise BadDocument(f"{path} line {number} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadDocument(f"{path} line {number} is no JSON object")
    if text_of(document) is None:  # pyright: ignore[reportUnknownArgumentType]
        raise BadDocument(f"{path} line {number} has no text in 'contents' or 'content'")
    return document  # pyright: ignore[reportUnknownVariableType]


def text_of(document: dict[str, Any]) -> str | None:
    """A document's text, from whichever of the two fields holds it."""
    text = document.get("contents", document.get("content"))
    return text if isinstance(text, str) else None


def _offsets(path: Path) -> npt.NDArray[np.int64]:
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns)
    cache = path.with_name(path.name + ".offsets.npy")
    try:
        kept: npt.NDArray[np.int64] = np.load(cache, mmap_mode="r")
        if len(kept) > 3 and (int(kept[0]), int(kept[1])) == stamp and int(kept[-1]) <= stat.st_size:
            return kept[2:]
    except (OSError, ValueError, EOFError):
        pass
    offsets = _scan(path)
    with suppress(OSError), replacing(cache) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([np.array(stamp, np.int64), offsets]))
    return offsets  # also of a read-only INDEX_DIR, where nothing is kept


def _scan(path: Path) -> npt.NDArray[np.int64]:
    """Start of each line and the end of the last, found a chunk at a time."""
    parts: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
    position = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)
            parts.append(ends.astype(np.int64) + (position + 1))
            position += len(chunk)
    offsets = np.concatenate(parts)
    if offsets[-1] != position:
        offsets = np.append(offsets, position)
    if len(offsets) < 2:
        raise StartError(f"{path} is empty: build it with podium-retrieval build-index")
    while len(offsets) > 2 and offsets[-1] - offsets[-2] <= 1:  # blank lines at the end are no rows
        offsets = offsets[:-1]
    blank = np.flatnonzero(np.diff(offsets) <= 1)
    if len(blank):
        raise StartError(f"{path} line {int(blank[0]) + 1} is blank: rows must match the index line by line")
    return offsets
