# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
"""Parquet through pyarrow, which has no types: rows in, a subset of rows out."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq


class Unreadable(ValueError):
    """The file is no Parquet file that pyarrow can read."""


_PLAIN: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
)


def rows(path: Path, needed: Collection[str], leave_out: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """The rows one by one: the needed columns, and of the others those of texts, numbers and true/false.

    Never more than 64 rows in memory. Columns that nobody asked for are not converted: Python cannot hold each value
    that Arrow can (nanoseconds, years past 9999).

    Raises:
        Unreadable: with pyarrow's own words.
    """

    def wanted(column: pa.Field) -> bool:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        return column.name not in leave_out and (column.name in needed or any(is_kind(kind) for is_kind in _PLAIN))

    return _rows(path, wanted, lambda column: column)


def all_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows one by one with all columns; times and decimals as text, with every digit that the file holds.

    Raises:
        Unreadable: with pyarrow's own words.
    """

    def as_text(column: pa.Array) -> pa.Array:
        special = pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type)
        return column.cast(pa.string()) if special else column

    return _rows(path, lambda _: True, as_text)


def _rows(
    path: Path, wanted: Callable[[pa.Field], bool], change: Callable[[pa.Array], pa.Array]
) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            columns = [column.name for column in file.schema_arrow if wanted(column)]
            if not columns:
                yield from ({} for _ in range(file.metadata.num_rows))
                return
            for batch in file.iter_batches(batch_size=64, columns=columns):
                changed = [change(column) for column in batch.columns]
                yield from pa.RecordBatch.from_arrays(changed, names=batch.schema.names).to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Unreadable(str(error)) from error


def write_rows(source: Sequence[Path], indexes: Sequence[int], target: Path) -> None:
    """Write the rows at `indexes` (from 0, over all source files) as they stand, all columns kept.

    Files of different columns are put together: a column that one lacks is empty there, numbers take the wider type.

    Raises:
        Unreadable: a file cannot be read, or two files' types of one column do not go together.
    """
    try:
        tables = [pq.read_table(path) for path in source]
        if any(table.schema != tables[0].schema for table in tables):
            tables = [_without_dictionaries(table) for table in tables]
        table = pa.concat_tables(tables, promote_options="permissive")
        pq.write_table(table.take(pa.array(indexes, type=pa.int64())), target)
    except pa.ArrowException as error:
        raise Unreadable(str(error)) from error


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """The same values written out: Arrow does not put a dictionary and plain texts together."""
    for place, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, column.name, table.column(place).cast(column.type.value_type))
    return table
