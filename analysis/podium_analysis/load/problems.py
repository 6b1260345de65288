"""Lines of a log that could not be counted, and values that could not be read: by line, field and why."""

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from msgspec import Meta

from podium_analysis.load.schema import CLOSED, COLUMNS, REQUIRED
from podium_analysis.section import Section

LISTED: Final = 100
"""How many problems are kept with their line; all are counted."""

ProblemKind = Literal["torn", "not_json", "not_an_object", "unknown_type", "missing_field", "bad_value", "lost_value"]


class LogProblem(Section, frozen=True):
    """One line that was left out; of kind lost_value: that was kept without the value named. line counts from 1."""

    line: Annotated[int, Meta(ge=1)]
    kind: ProblemKind
    message: str
    field: str | None = None
    """The field that is missing or wrong; None where the line as a whole is."""


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
            return LogProblem(number, "missing_field", f"{kind} without {name}", name)
        if name in CLOSED and event[name] not in CLOSED[name]:
            said = f"{kind} with {name}={str(event[name])[:40]!r}, which is none of {', '.join(CLOSED[name])}"  # pyright: ignore[reportUnknownArgumentType]
            return LogProblem(number, "bad_value", said, name)
    wrong = [(name, value) for name, value in event.items() if _is_wrong(name, value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
    for name, value in sorted(wrong, key=lambda pair: pair[0] not in REQUIRED[kind]):  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType, reportUnknownArgumentType]
        said = f"{kind} with {name}={str(value)[:40]!r}, which is no {_NOUNS[COLUMNS[name]]}"  # pyright: ignore[reportUnknownArgumentType]
        if name in REQUIRED[kind]:
            return LogProblem(number, "bad_value", said, name)  # pyright: ignore[reportUnknownArgumentType]
        others = f" (and {len(wrong) - 1} more fields)" if len(wrong) > 1 else ""  # pyright: ignore[reportUnknownArgumentType]
        return LogProblem(number, "lost_value", f"{said}: counted as missing{others}", name)  # pyright: ignore[reportUnknownArgumentType]
    return LogProblem(number, "bad_value", f"{kind} with a value out of range")


_NOUNS: Final = {"DOUBLE": "number", "INTEGER": "whole number within 32 bits", "BOOLEAN": "truth value"}


def _is_wrong(name: str, value: object) -> bool:
    """Whether a column cannot take the value. Texts take any; numbers and truth values may be written as texts."""
    sort = COLUMNS.get(name, "VARCHAR")
    if sort == "VARCHAR" or value is None or isinstance(value, bool):
        return False
    if sort == "BOOLEAN":
        return not (isinstance(value, int | float) or (isinstance(value, str) and value.strip().lower() in _TRUTHS))
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        return True
    return not math.isfinite(number) or (sort == "INTEGER" and not -(2**31) <= number < 2**31)


_TRUTHS: Final = frozenset({"true", "false", "t", "f", "yes", "no", "y", "n", "1", "0"})
