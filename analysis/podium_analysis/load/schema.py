"""Which fields of events.jsonl become columns, their SQL types, and what each event must have to be counted."""

from collections.abc import Iterator
from typing import Final

from podium_contracts.event import EventField, Stamp, Use, event_fields
from podium_contracts.events import EVENT_TYPES
from podium_contracts.names import ROLES

_SQL: Final = {
    "text": "VARCHAR",
    "whole": "INTEGER",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "numbers": "MAP(VARCHAR, DOUBLE)",
}


def _columns() -> Iterator[tuple[str, str]]:
    for cls in (Stamp, *EVENT_TYPES.values()):
        for field in event_fields(cls):
            if field.use is not Use.LOG_ONLY:
                yield field.name, _sql(field)


def _sql(field: EventField) -> str:
    return "DOUBLE" if field.use is Use.QUANTITY else _SQL[field.sort]


COLUMNS: Final[dict[str, str]] = dict(_columns())
"""Column of the table `events` -> SQL type. A field that a log lacks (an older one, another event's) is NULL there."""

REQUIRED: Final[dict[str, tuple[str, ...]]] = {name: cls.NEEDS for name, cls in EVENT_TYPES.items()}
"""Event type -> fields without which a line is reported as bad and left out."""

CLOSED: Final[dict[str, tuple[str, ...]]] = {"type": tuple(sorted(REQUIRED)), "role": tuple(sorted(ROLES))}
"""Texts that take these values alone. Held as numbers that sort like their texts: nearly every query asks for them, and
a text compared in every row is what it would wait for."""

NUMBERS: Final = tuple(name for name, sql in COLUMNS.items() if sql == "DOUBLE")

IN_TIME: Final = "coalesce(segment, 1), coalesce(mono_ms, 0)"
"""SQL to order events by: as they were written. The table itself may have them in any order."""

KIND: Final = (
    "type",
    "role",
    "tool",
    "alias",
    "provider",
    "model",
    "server",
    "status",
    "exec_status",
    "error_type",
    "rejudge",
)
"""What events are counted by: those that have all of these alike are one kind, of which a log has some dozens."""
