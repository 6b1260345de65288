# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Parquet through pyarrow, which has no types: rows in, a subset of rows out."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class Unreadable(ValueError):
    """The file is no Parquet file that pyarrow can read."""


def rows(path: Path, leave_out: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """The rows one by one, without the named columns; never more than 64 in memory.

    Raises:
        Unreadable: with pyarrow's own words.
    """
    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name not in leave_out]
            for batch in file.iter_batches(batch_size=64, columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(str(error)) from error


def write_rows(source: Sequence[Path], indexes: Sequence[int], target: Path) -> None:
    """Write the rows at `indexes` (from 0, over all source files) as they stand, all columns and types kept."""
    table = pa.concat_tables([pq.read_table(path) for path in source])
    pq.write_table(table.take(pa.array(indexes, type=pa.int64())), target)
