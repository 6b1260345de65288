"""Datasets in CSV and TSV: rows of texts by the names of the first line."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from podium_eval.dataset.selection import DatasetError

_SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}


def is_table(path: Path) -> bool:
    """Whether the file's name says CSV or TSV; nothing in such a file would."""
    return path.suffix.lower() in _SEPARATORS


def table_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str] | str]]:
    """Each row with the line where it begins, from 1; for a row of another length than the first line: what is wrong.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, has no names, or is broken beyond one row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=_SEPARATORS[path.suffix.lower()], strict=True)
            names: list[str] = next(reader, list[str]())
            if len(set(names)) != len(names) or not any(names):
                raise DatasetError(f"{path}:1: the first line must name the columns, each once")
            line = reader.line_num + 1
            for values in reader:
                if len(values) == len(names):
                    yield line, dict(zip(names, values, strict=True))
                elif values:
                    yield line, f"has {len(values)} values, the first line names {len(names)} columns"
                line = reader.line_num + 1
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}; set DATASET to a file of questions") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: is no table that can be read: {error}; write it as jsonl") from error
