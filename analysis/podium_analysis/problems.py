"""Lines of a log that could not be counted, by number, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from podium_analysis.columns import COLUMNS, NUMBERS, REQUIRED

LISTED: Final = 100
"""How many problems are kept with their line; all are counted."""

ProblemKind = Literal["torn", "not_json", "not_an_object", "unknown_type", "missing_field", "bad_value"]


@dataclass(frozen=True, slots=True)
class LogProblem:
    """One line that was left out. line counts from 1."""

    line: int
    kind: ProblemKind
    message: str


def locate(log: Path, rows: list[int]) -> list[LogProblem]:
    """The problems of the given rows; a row is a line that is not blank, counted from 0. rows ascend.

    The file may have grown since the rows were counted: it is read only as far as the last of them.
    """
    found: list[LogProblem] = []
    wanted = iter(rows)
    target = next(wanted, None)
    row = 0
    with log.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if target is None:
                break
            if not line.strip():
                continue
            if row == target:
                found.append(_explain(number, line))
                target = next(wanted, None)
            row += 1
    return found


def _explain(number: int, line: bytes) -> LogProblem:
    try:
        event: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if not line.endswith(b"\n"):
            return LogProblem(number, "torn", "the last line is cut off (still being written, or a crash)")
        return LogProblem(number, "not_json", f"no JSON: {error.msg} at character {error.pos}")
    if not isinstance(event, dict):
        return LogProblem(number, "not_an_object", "JSON, but no object")
    kind: Any = event.get("type")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(kind, str) or kind not in REQUIRED:
        return LogProblem(number, "unknown_type", f"no event of a known type: type={kind!r}")
    for name in REQUIRED[kind]:
        if event.get(name) is None:  # pyright: ignore[reportUnknownMemberType]
            return LogProblem(number, "missing_field", f"{kind} without {name}")
    for name, value in _values(event):  # pyright: ignore[reportUnknownArgumentType]
        sort = COLUMNS[name]
        if sort in ("DOUBLE", "INTEGER") and (isinstance(value, bool) or not isinstance(value, int | float)):
            return LogProblem(number, "bad_value", f"{kind} with {name}={str(value)[:40]!r}, which is no number")
    return LogProblem(number, "bad_value", f"{kind} with a value out of range")


def _values(event: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in (*NUMBERS, *(n for n, sort in COLUMNS.items() if sort == "INTEGER")):
        if event.get(name) is not None:
            yield name, event[name]
