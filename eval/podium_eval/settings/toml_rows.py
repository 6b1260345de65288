"""Tables of rows in TOML files that users write: read with the line of each row, refused by name."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from podium_eval.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class StrictRow(BaseModel):
    """A row: no field but its own, each of its type, no nan and no inf."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


@dataclass(frozen=True, slots=True)
class Row:
    """table: its name. place: file, line and row, for messages."""

    table: str
    place: str
    fields: Mapping[str, Any]


def read_rows(text: str, where: str, tables: Sequence[str]) -> list[Row]:
    """Every row of `tables`, table by table in their order. where: the file, with the setting that names it.

    Raises:
        ConfigError: no TOML, a table that is none of `tables`, or [name] where rows begin with [[name]].
    """
    try:
        parsed = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{where}: {error}"]) from error
    problems = [
        f"{where}{_line(text, name)}: [[{name}]] is neither {' nor '.join(f'[[{table}]]' for table in tables)}"
        for name in sorted(set(parsed) - set(tables))
    ]
    rows: list[Row] = []
    for table in tables:
        value: Any = parsed.get(table, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in cast("list[Any]", value)):
            problems.append(f"{where}{_line(text, table)}: rows begin with [[{table}]], in two brackets")
            continue
        lines = _starts(text, table)
        for number, fields in enumerate(cast("list[dict[str, Any]]", value), 1):
            line = next(lines, None)
            place = where if line is None else f"{where}, line {line}"
            rows.append(Row(table, f"{place}: [[{table}]] row {number}", fields))
    if problems:
        raise ConfigError(problems)
    return rows


def validated(row: Row, model: type[Model]) -> Model:
    """The row as `model`.

    Raises:
        ConfigError: each field that is missing, unknown or wrong, with the row's place.
    """
    try:
        return model.model_validate(dict(row.fields))
    except ValidationError as error:
        names = ", ".join(sorted(model.model_fields))
        problems = error.errors(include_url=False, include_context=False)
        raise ConfigError([f"{row.place}: {_problem(problem, names)}" for problem in problems]) from error


def _problem(error: ErrorDetails, names: str) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"lacks {field}"
    if error["type"] == "extra_forbidden":
        return f"{field} is no field; use {names}"
    return f"{field} = {str(error['input'])[:100]!r}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _starts(text: str, table: str) -> Iterator[int]:
    """Lines of the rows' headers, from 1; none for rows written as an inline array."""
    header = re.compile(rf"[ \t]*+\[\[[ \t]*+[\"']?+{re.escape(table)}[\"']?+[ \t]*+\]\]")
    return (number for number, line in enumerate(text.splitlines(), 1) if header.match(line))


def _line(text: str, name: str) -> str:
    mark = re.compile(rf"[ \t]*+\[{{0,2}}[ \t]*+[\"']?+{re.escape(name)}\b")
    return next((f", line {number}" for number, line in enumerate(text.splitlines(), 1) if mark.match(line)), "")
