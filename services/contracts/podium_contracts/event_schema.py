"""The JSON Schema of events.jsonl and the table of its fields for docs/events.md, made from the events' classes."""

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, Final

from podium_contracts.event import EventField, Stamp, event_fields, field_texts
from podium_contracts.events import EVENT_TYPES, SCHEMA_VERSION, Event

_TYPES: Final = {"number": "number", "whole": "integer", "text": "string", "flag": "boolean", "numbers": "object"}
_WHOSE: Final = frozenset(field.name for field in event_fields(Event))


def events_schema() -> dict[str, Any]:
    """Of one line of events.jsonl (JSON Schema 2020-12). A field that it does not name may come from a newer Podium."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Podium events.jsonl",
        "description": f"One line, schema version {SCHEMA_VERSION}. What is not known is left out; null in older logs.",
        "type": "object",
        "required": ["type"],
        "oneOf": [_event(name, cls) for name, cls in EVENT_TYPES.items()],
    }


def _event(name: str, cls: type[Event]) -> dict[str, Any]:
    texts = field_texts(cls) | field_texts(Stamp)
    every = (*event_fields(Stamp), *event_fields(cls))
    return {
        "title": name,
        "description": " ".join(cleandoc(cls.__doc__ or "").split()),
        "properties": {field.name: _property(field, texts.get(field.name)) for field in every},
        "required": sorted({field.name for field in every if not field.optional}),
    }


def _property(field: EventField, text: str | None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES[field.sort]}
    if field.name == "type":
        schema = {"const": (field.values or ("",))[0]}
    elif field.values:
        schema = {"enum": [*field.values, *([None] if field.optional else [])]}
    elif field.optional:
        schema = {"type": [_TYPES[field.sort], "null"]}
    return schema | ({"description": text} if text else {})


def field_tables() -> str:
    """docs/events.md: every event with its fields."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# The log: events.jsonl\n"
    yield "Written by `make schemas` from the classes in `podium_contracts`: texts are changed there. One JSON object a"
    yield "line; what is not known is left out. `events_schema.json` beside those classes is the same as JSON Schema.\n"
    yield "Every line carries:\n"
    yield from _table((*event_fields(Stamp), *event_fields(Event)), field_texts(Event) | field_texts(Stamp))
    for name, cls in EVENT_TYPES.items():
        yield f"\n## {name}\n"
        yield cleandoc(cls.__doc__ or "") + "\n"
        mine = tuple(field for field in event_fields(cls) if field.name not in {*_WHOSE, "type"})
        yield from _table(mine, field_texts(cls))
    yield ""


def _table(fields: tuple[EventField, ...], texts: dict[str, str]) -> Iterator[str]:
    yield "| field | values | unit | what |"
    yield "|---|---|---|---|"
    for field in fields:
        values = ", ".join(field.values) if field.values else _TYPES[field.sort]
        values += " or nothing" if field.optional else ""
        text = texts.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | {values} | {field.unit or ''} | {text} |"
