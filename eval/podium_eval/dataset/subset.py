"""Write a part of a dataset: JSON rows as they stand, Parquet rows as Parquet, or as JSON with nothing left out."""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from podium_contracts.files import replacing, write_atomically

from podium_eval.dataset.file import raw_rows
from podium_eval.dataset.image import image_of
from podium_eval.dataset.load import Scan
from podium_eval.dataset.selection import DatasetError
from podium_eval.dataset.table import is_table, table_rows


def refuse_output(scanned: Scan, files: Sequence[Path], output: Path, *, force: bool) -> None:
    """Refuse an output that would destroy the input or another file, or a format that cannot hold the rows.

    Raises:
        DatasetError: with what to do.
    """
    if output.suffix not in (".jsonl", ".parquet"):
        raise DatasetError(f"--output {output}: end it in .jsonl or .parquet")
    if output.exists() and any(output.samefile(path) for path in files):
        raise DatasetError(f"--output {output}: is the dataset itself; name another file")
    if output.exists() and not force:
        raise DatasetError(f"--output {output}: is there already; --force replaces it")
    if not scanned.is_parquet and output.suffix == ".parquet":
        raise DatasetError(f"--output {output}: the dataset is jsonl; end it in .jsonl")


def write_subset(scanned: Scan, files: Sequence[Path], indexes: Sequence[int], output: Path) -> list[str]:
    """Write the rows at `indexes` (from 0, over all files) in that order.

    Returns:
        What a reader must know of the output, a line each.

    Raises:
        DatasetError: the files' columns do not go together.
    """
    if not scanned.is_parquet:
        rows = [line for path in files for line in _lines(path)]
        write_atomically(output, b"".join(rows[i].rstrip(b"\r\n") + b"\n" for i in indexes))
        return []
    from podium_eval.dataset import parquet  # pyarrow is slow to import

    try:
        if output.suffix == ".jsonl":
            return _parquet_to_jsonl(files, indexes, output)
        with replacing(output) as temporary:
            parquet.write_rows(files, indexes, temporary)
    except parquet.Unreadable as error:
        names = ", ".join(str(path) for path in files)
        raise DatasetError(f"--output {output}: cannot be written from {names}: {error}") from error
    return []


def _lines(path: Path) -> Iterator[bytes]:
    """Each row as a line of JSON; a table's values are texts."""
    if not is_table(path):
        yield from (line for _, line in raw_rows(path))
        return
    for _, row in table_rows(path):
        yield json.dumps(row, ensure_ascii=False).encode()


def _parquet_to_jsonl(files: Sequence[Path], indexes: Sequence[int], output: Path) -> list[str]:
    from podium_eval.dataset import parquet  # pyarrow is slow to import

    place = {index: row_index for row_index, index in enumerate(indexes)}
    chosen: dict[int, dict[str, Any]] = {}
    rows = (row for path in files for row in parquet.all_rows(path))
    for index, row in enumerate(rows):
        if index in place:
            chosen[place[index]] = row
    columns = dict.fromkeys(name for row in chosen.values() for name in row)
    binary: set[str] = set()
    no_number: set[str] = set()
    lines: list[str] = []
    for row_index in range(len(indexes)):
        row = chosen[row_index]
        for name in ("image", "images"):
            if _holds(row.get(name), bytes):
                row[name] = (
                    [image_of(item) for item in row[name]] if isinstance(row[name], list) else image_of(row[name])
                )
        for name, value in row.items():
            if _holds(value, bytes):
                binary.add(name)
            if _holds(value, float, no_number=True):
                no_number.add(name)
        # Every column in every row, also one that only another file has: readers take the columns of the first row.
        lines.append(json.dumps({name: _plain(row.get(name)) for name in columns}, ensure_ascii=False, allow_nan=False))
    write_atomically(output, "".join(f"{line}\n" for line in lines).encode())
    notes: list[str] = []
    if binary:
        notes.append(f"bytes written as base64: {', '.join(sorted(binary))}")
    if no_number:
        notes.append(f"NaN and infinity written as null, since JSON has neither: {', '.join(sorted(no_number))}")
    return notes


def _holds(value: object, kind: type, *, no_number: bool = False) -> bool:
    """Whether a value is, or holds at any depth, one of a type; `no_number`: only a NaN or an infinity."""
    match value:
        case Mapping():
            return any(_holds(item, kind, no_number=no_number) for item in cast("Mapping[str, object]", value).values())
        case list() | tuple():
            return any(_holds(item, kind, no_number=no_number) for item in cast("Sequence[object]", value))
        case float() if no_number:
            return not math.isfinite(value)
        case _:
            return isinstance(value, kind)


def _plain(value: object) -> Any:
    """A value of Arrow as JSON holds it: bytes as base64, times inside lists and objects as text."""
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(name): _plain(item) for name, item in cast("Mapping[object, object]", value).items()}
        case list() | tuple():
            return [_plain(item) for item in cast("Sequence[object]", value)]
        case _:
            return str(value)
