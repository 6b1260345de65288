"""The corpus that build-index is given, checked line by line and written as the service reads it."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from podium_retrieval.errors import StartError
from podium_retrieval.files import refuse_pointer
from podium_retrieval.index.corpus import BOM, BadDocument, parse_document, text_of

_GZIP: Final = b"\x1f\x8b"
_SHOWN: Final = 10


@dataclass(slots=True)
class Checked:
    """What a corpus holds. sha256: of the lines that are kept. bad: lines left out, of which the first are shown."""

    sha256: str = ""
    count: int = 0
    n_bad: int = 0
    shown: list[str] = field(default_factory=list[str])


def copy_corpus(source: Path, target: Path, *, skip_bad: bool) -> Checked:
    """Write the documents of `source` (jsonl, or jsonl in gzip) to `target`, one a line, none blank.

    Raises:
        StartError: the file cannot be read, holds nothing, or a line is bad and skip_bad does not say to leave it out.
    """
    refuse_pointer(source, "CORPUS")
    checked, digest = Checked(), hashlib.sha256()
    with target.open("wb") as out:
        for number, line in corpus_lines(source):
            fault = _fault(line, source, number)
            if fault is not None:
                if not skip_bad:
                    raise StartError(f"{fault}; --skip-bad leaves such lines out")
                checked.n_bad += 1
                if len(checked.shown) < _SHOWN:
                    checked.shown.append(fault)
                continue
            checked.count += 1
            digest.update(line)
            out.write(line)
    if not checked.count:
        raise StartError(f"CORPUS={source} is empty" if not checked.n_bad else f"CORPUS={source} has no good line")
    checked.sha256 = digest.hexdigest()
    return checked


def corpus_lines(source: Path, setting: str = "CORPUS") -> Iterator[tuple[int, bytes]]:
    """(number, line) with its line end; blank lines at the file's end are none, nor is a byte order mark.

    Raises:
        StartError: the file cannot be read; the message names `setting`.
    """
    blank: list[tuple[int, bytes]] = []
    try:
        with _opened(source) as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(BOM)
                if not line.strip():
                    blank.append((number, b"\n"))
                    continue
                yield from blank
                blank.clear()
                yield number, line.rstrip(b"\r\n") + b"\n"
    except (EOFError, gzip.BadGzipFile) as error:
        raise StartError(f"{setting}={source} is cut short or broken: {error}") from error
    except OSError as error:
        raise StartError(f"{setting}={source} cannot be read: {error.strerror or error}") from error


def _opened(source: Path) -> IO[bytes] | gzip.GzipFile:
    with source.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(source, "rb") if packed else source.open("rb")


def _fault(line: bytes, source: Path, number: int) -> str | None:
    try:
        document = parse_document(line, source, number)
    except BadDocument as error:
        return str(error)
    return None if (text_of(document) or "").strip() else f"{source} line {number} has an empty text"
