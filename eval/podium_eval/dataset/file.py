"""What a dataset file really is, whatever its name: Parquet, or JSON rows in one of the forms that people have.

Read: one JSON object a line, a JSON array, objects over several lines; each in UTF-8 or UTF-16, plain or in gzip.
Everything else is refused with its name and what to do.
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

from podium_contracts.text.surrogates import lossless_bytes, lossless_text

from podium_eval.dataset.selection import DatasetError, reason

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_GZIP: Final = b"\x1f\x8b"
_HEAD: Final = 512
_MAX_INT_DIGITS: Final = 4000
"""Python refuses to read an integer of more than 4,300 digits as an int (sys.set_int_max_str_digits)."""
_REFUSED: Final = (
    (LFS_POINTER, "is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`"),
    (b"BZh", "is compressed by bzip2; unpack it first (bunzip2)"),
    (b"\xfd7zXZ\0", "is compressed by xz; unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it first (unzstd)"),
    (b"PK\x03\x04", "is a zip archive; unpack it and name the file in it"),
    (b"ARROW1", "is an Arrow file; write it as Parquet first (Dataset.to_parquet)"),
    (codecs.BOM_UTF32_LE, "is UTF-32; write it as UTF-8 first (iconv -f UTF-32 -t UTF-8)"),
    (codecs.BOM_UTF32_BE, "is UTF-32; write it as UTF-8 first (iconv -f UTF-32 -t UTF-8)"),
)


def integer(text: str) -> int | Decimal:
    """A JSON integer of any length; one that Python does not read as an int becomes a Decimal, with every digit."""
    return int(text) if len(text) <= _MAX_INT_DIGITS else Decimal(text)


DECODER: Final = json.JSONDecoder(parse_int=integer)


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does; its name plays no part.

    Raises:
        DatasetError: no such file, a folder, or a kind that is neither Parquet nor text.
    """
    if path.is_dir():
        raise DatasetError(f"{path}: is a folder; name the jsonl or Parquet file in it")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: {reason(error)}; set DATASET to a jsonl or Parquet file, or to cais/hle"
        ) from error
    if head.startswith(b"PAR1"):
        return True
    _refuse(path, head)
    return False


def raw_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """The rows of a JSON dataset as they stand, each on one line of UTF-8, with the line where each begins (from 1).

    Raises:
        DatasetError: the file cannot be read as a whole: broken gzip or UTF-16, a JSON array with a fault in it.
    """
    lines = enumerate(_lines(path), start=1)
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        return
    number, opening = first[0], first[1].strip()
    if opening.startswith(b"[") or opening == b"{":
        whole = b"".join((first[1], *(line for _, line in lines)))
        if opening != b"{":
            yield from _rows_of_array(path, number, whole)
            return
        objects = _rows_over_lines(path, number, whole)
        if objects:
            yield from objects
            return
        lines = enumerate(io.BytesIO(whole), start=number)
    else:
        yield first
    for number, line in lines:
        if line.strip():
            yield number, line


def _lines(path: Path) -> Iterator[bytes]:
    """The file's lines in UTF-8, unpacked, without a byte order mark."""
    with path.open("rb") as file:
        packed = file.peek(2)[:2] == _GZIP
        try:
            yield from _decoded(path, gzip.GzipFile(fileobj=file) if packed else file, packed=packed)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DatasetError(f"{path}: is gzip, but cut off or damaged ({error}); fetch it again") from error
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{path}: is UTF-16, but broken ({error.reason}); write it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
            ) from error


def _decoded(path: Path, stream: BinaryIO | gzip.GzipFile | io.BufferedReader, *, packed: bool) -> Iterator[bytes]:
    head = stream.read(_HEAD)
    stream.seek(0)
    if packed:
        if head.startswith((b"PAR1", _GZIP)):
            raise DatasetError(f"{path}: holds Parquet or another gzip in gzip; unpack it first (gunzip)")
        _refuse(path, head)
    encoding = _utf16(head)
    if encoding:
        with io.TextIOWrapper(stream, encoding, newline="\n") as text:
            for line in text:
                yield line.encode()
        return
    for number, line in enumerate(stream):
        yield line if number else line.removeprefix(codecs.BOM_UTF8)


def _utf16(head: bytes) -> str | None:
    """UTF-16 by its byte order mark, or by the zero byte beside the first character of JSON."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) < 2:
        return None
    if head[1] == 0 and head[:1] in b"{[ \r\n":
        return "utf-16-le"
    return "utf-16-be" if head[0] == 0 and head[1:2] in b"{[ \r\n" else None


def _refuse(path: Path, head: bytes) -> None:
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise DatasetError(f"{path}: {what}")
    if head.lstrip(codecs.BOM_UTF8).lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise DatasetError(f"{path}: is an HTML page, not a dataset; fetch the file's own address (its raw form)")
    if b"\0" in head and _utf16(head) is None and not head.startswith(_GZIP):
        raise DatasetError(f"{path}: is a binary file that Podium does not know; give jsonl or Parquet")


def _text(path: Path, raw: bytes) -> str:
    try:
        return lossless_text(raw)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: begins as JSON over several lines, but is not UTF-8: {error}") from error


def _rows_of_array(path: Path, number: int, raw: bytes) -> Iterator[tuple[int, bytes]]:
    text = _text(path, raw)
    position = before = _next(text, text.index("[") + 1)
    line = number + text.count("\n", 0, position)
    while text[position : position + 1] != "]":
        end = _end_of_value(path, number, text, position)
        line += text.count("\n", before, position)
        before = position
        yield line, _one_line(text[position:end])
        position = _next(text, end)
        if text[position : position + 1] == ",":
            position = _next(text, position + 1)
        elif text[position : position + 1] != "]":
            raise _fault(path, number, text, position, "a comma or the closing bracket is missing")
    position = _next(text, position + 1)
    if position < len(text):
        raise _fault(path, number, text, position, "something follows the closing bracket")


def _rows_over_lines(path: Path, number: int, raw: bytes) -> list[tuple[int, bytes]]:
    """Objects one after the other, each over several lines; none where the first is no whole object."""
    text = raw.decode("utf-8", "replace")
    try:
        DECODER.raw_decode(text, _next(text, 0))
    except (ValueError, RecursionError):
        return []
    text = _text(path, raw)
    values: list[tuple[int, bytes]] = []
    position = before = _next(text, 0)
    line = number + text.count("\n", 0, position)
    while position < len(text):
        end = _end_of_value(path, number, text, position)
        line += text.count("\n", before, position)
        before = position
        values.append((line, _one_line(text[position:end])))
        position = _next(text, end)
    return values


def _end_of_value(path: Path, number: int, text: str, position: int) -> int:
    try:
        return DECODER.raw_decode(text, position)[1]
    except json.JSONDecodeError as error:
        raise _fault(path, number, text, error.pos, error.msg) from error
    except RecursionError as error:
        raise _fault(path, number, text, position, "nested too deep") from error


def _fault(path: Path, number: int, text: str, position: int, what: str) -> DatasetError:
    line = number + text.count("\n", 0, position)
    column = position - text.rfind("\n", 0, position)
    return DatasetError(
        f"{path}:{line}: begins as JSON over several lines, with bad JSON at column {column}: {what}; "
        "mend it, or write one object a line (jq -c '.[]')"
    )


def _next(text: str, position: int) -> int:
    """The place of the next character that is no blank of JSON."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _one_line(text: str) -> bytes:
    # Inside a JSON text a line break is written as \n, so each that stands there bare is a blank between tokens.
    return lossless_bytes(text.replace("\r", " ").replace("\n", " "))


def decode(line: bytes) -> Any:
    """One row's JSON.

    Raises:
        ValueError: it is no JSON in UTF-8, with the place.
    """
    try:
        return DECODER.decode(lossless_text(line))
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"bad JSON at column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("bad JSON: nested too deep") from error
