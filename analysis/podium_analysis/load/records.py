"""Reads the task records of a run, tasks/*.json, one at a time; an unreadable one is named and the rest are read."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from podium_contracts.records import TaskRecord, record_from_json
from podium_contracts.text.surrogates import encodable

from podium_analysis.load.event_table import LoadError


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A file of tasks/ that could not be read, and why."""

    file: str
    reason: str


def read_records(run_dir: Path, bad: list[BadRecord] | None = None) -> Iterator[TaskRecord]:
    """Every record of tasks/, one at a time, by file name. Unreadable files go to `bad`, or raise without it.

    Raises:
        LoadError: a record is unreadable and `bad` is None; the message names the file.
    """
    for path in record_files(run_dir):
        try:
            yield record_from_json(parsed(path.read_bytes()))
        except (ValueError, AttributeError, TypeError, OSError) as error:
            if bad is None:
                raise LoadError(f"{path}: {error}") from error
            bad.append(BadRecord(path.name, str(error)))


def record_files(run_dir: Path) -> Iterator[Path]:
    """The files of tasks/ by name; none where there is no such folder."""
    folder = run_dir / "tasks"
    if folder.is_dir():
        for name in sorted(entry.name for entry in os.scandir(folder)):
            if name.endswith(".json"):
                yield folder / name


def parsed(raw: bytes) -> Any:
    """The JSON of a record. Lone surrogates become U+FFFD; NaN and infinities, which are no JSON, are null.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Lone surrogates and NaN: valid for the json module that may have written them, not for orjson.
        return encodable(json.loads(raw, parse_constant=lambda _: None))
