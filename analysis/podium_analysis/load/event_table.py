"""events.jsonl into the tables `events` and `cells`, by DuckDB; lines and values that cannot be read are named."""

# DuckDB's results are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
from podium_contracts.events import check_schema

from podium_analysis.load.problems import LISTED, LogProblem, locate
from podium_analysis.load.schema import CLOSED, COLUMNS, KIND, NUMBERS, REQUIRED

LINE_BYTES: Final = 8 * 1024 * 1024
"""The longest line that is read. An event holds no document and no answer, so it is far below."""
COUNTED: Final = tuple(sorted({name for names in REQUIRED.values() for name in names} - set(NUMBERS) - set(KIND)))
"""Required fields that are neither numbers nor part of the kind: cells count them too."""


class LoadError(ValueError):
    """The folder holds no readable log; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class ReadLog:
    """What reading the log found. problems: the first LISTED, by line.

    n_left_out: lines that are in no table. n_lost: lines that are, without the values that were of the wrong type.
    """

    problems: tuple[LogProblem, ...]
    n_left_out: int
    n_lost: int
    n_events: int


def read_events(db: duckdb.DuckDBPyConnection, log: Path) -> ReadLog:
    """Make the tables `events` and `cells` (see RunData).

    Raises:
        LoadError: a line is longer than LINE_BYTES.
        NewerSchema: the log, or a later segment of it, was written by a newer Podium.
    """
    # Nearly every log is whole: strictly read, in any order, which takes DuckDB a quarter less than keeping it. What is
    # not whole is read again, in the log's order, so that row numbers are line numbers.
    db.execute("SET preserve_insertion_order = false")
    whole = _ends_a_line(log) and _create(db, log, lenient=False)
    db.execute("SET preserve_insertion_order = true")
    if whole:
        _make_cells(db)
        whole = not _any_bad(db)
    bad: list[int] = []
    lost: list[int] = []
    if not whole:
        _create(db, log, lenient=True)
        bad = [int(row[0]) for row in db.execute(f"SELECT rowid FROM events WHERE {_bad()} ORDER BY 1").fetchall()]
        lost = sorted(set(_lost_rows(db, log)) - set(bad))
        db.execute(f"DELETE FROM events WHERE {_bad()}")
        _make_cells(db)
    versions = db.execute("SELECT max(schema_version) FROM events WHERE type = 'run_start'").fetchone()
    if versions and versions[0] is not None:
        check_schema(int(versions[0]))
    count = db.execute("SELECT sum(n)::BIGINT FROM cells").fetchone()
    problems = locate(log, sorted([*bad[:LISTED], *lost[:LISTED]])[:LISTED])
    return ReadLog(tuple(problems), len(bad), len(lost), int(count[0] or 0) if count else 0)


def _ends_a_line(log: Path) -> bool:
    with log.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _source(columns: dict[str, str], *, lenient: bool) -> str:
    """SQL of the log as a table; its one parameter is the log's path."""
    named = ", ".join(f"{name}: '{sort}'" for name, sort in columns.items())
    return (
        f"read_json(?, format = 'newline_delimited', columns = {{{named}}}, "
        f"ignore_errors = {str(lenient).lower()}, maximum_object_size = {LINE_BYTES})"
    )


def _create(db: duckdb.DuckDBPyConnection, log: Path, *, lenient: bool) -> bool:
    """Whether every line and value could be read; a lenient read leaves NULLs instead."""
    try:
        closed = ", ".join(
            f"TRY_CAST({name} AS ENUM ({', '.join(repr(value) for value in values)})) AS {name}"
            for name, values in CLOSED.items()
        )
        db.execute(
            f"CREATE OR REPLACE TABLE events AS SELECT * REPLACE ({closed}), hash({', '.join(KIND)}) AS kind "
            f"FROM {_source(COLUMNS, lenient=lenient)}",
            [str(log)],
        )
    except duckdb.InvalidInputException as error:
        if not lenient:
            return False
        raise LoadError(f"{log}: {str(error).splitlines()[0]}") from error
    return True


def _make_cells(db: duckdb.DuckDBPyConnection) -> None:
    """One row a kind: what it is, how many events it has, and count and sum of each number over them."""
    numbers = ", ".join(f"count({name}) AS n_{name}, sum({name}) AS sum_{name}" for name in NUMBERS)
    counted = ", ".join(f"count({name}) AS n_{name}" for name in COUNTED)
    db.execute(
        "CREATE OR REPLACE TABLE cell_sums AS "
        f"SELECT kind, count(*) AS n, min(rowid) AS first, {counted}, {numbers} FROM events GROUP BY kind"
    )
    firsts = ", ".join(str(row[0]) for row in db.execute("SELECT first FROM cell_sums").fetchall())
    named = ", ".join(f"e.{name}" for name in KIND)
    db.execute(
        f"CREATE OR REPLACE TABLE cells AS SELECT {named}, s.* FROM cell_sums s "
        f"JOIN (SELECT kind, {', '.join(KIND)} FROM events WHERE rowid IN ({firsts or 'NULL'})) e USING (kind)"
    )
    db.execute("DROP TABLE cell_sums")


def _bad() -> str:
    """SQL of the lines to leave out: of no known type, without a field that theirs must have, or not finite."""
    known = ", ".join(f"'{kind}'" for kind in REQUIRED)
    missing = " OR ".join(
        f"(type = '{kind}' AND ({' OR '.join(f'{name} IS NULL' for name in names)}))"
        for kind, names in REQUIRED.items()
        if names
    )
    # NaN and infinity are no JSON, but DuckDB reads them.
    infinite = " OR ".join(f"NOT isfinite({name})" for name in NUMBERS)
    return f"(type IS NULL OR type NOT IN ({known}) OR {missing} OR coalesce({infinite}, false))"


def _any_bad(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether a line is to be left out. Decided from the table `cells`, without reading the lines again."""
    numbers = [f"sum_{name}" for name in NUMBERS]
    names = [*KIND, "n", *(f"n_{name}" for name in (*NUMBERS, *COUNTED)), *numbers]
    for row in db.execute(f"SELECT {', '.join(names)} FROM cells").fetchall():
        cell = dict(zip(names, row, strict=True))
        required = REQUIRED.get(cell["type"])
        if required is None or any(cell[name] is not None and not math.isfinite(cell[name]) for name in numbers):
            return True
        if any(cell[name] is None if name in KIND else cell[f"n_{name}"] < cell["n"] for name in required):
            return True
    return False


def _lost_rows(db: duckdb.DuckDBPyConnection, log: Path) -> list[int]:
    """Rows with a value that a column could not take and that is NULL there, though the line has it."""
    columns = {name: sort for name, sort in COLUMNS.items() if sort != "VARCHAR" and "MAP" not in sort}
    lost = " OR ".join(f"({name} IS NOT NULL AND TRY_CAST({name} AS {sort}) IS NULL)" for name, sort in columns.items())
    texts = dict.fromkeys(columns, "VARCHAR")
    found = db.execute(
        f"SELECT row FROM (SELECT row_number() OVER () - 1 AS row, {lost} AS lost FROM {_source(texts, lenient=True)}) "
        "WHERE lost",
        [str(log)],
    )
    return [int(row[0]) for row in found.fetchall()]
