"""An event without the values that its fields cannot take: as in the report, those count as missing."""

from typing import Any, Final

from podium_contracts.event import Sort, Stamp, event_fields
from podium_contracts.events import EVENT_TYPES

_OF_SORT: Final[dict[Sort, tuple[type, ...]]] = {
    "number": (int, float), "whole": (int,), "text": (str,), "flag": (bool,), "numbers": (dict,),
}  # fmt: skip


def _types() -> dict[str, tuple[type, ...]]:
    found: dict[str, tuple[type, ...]] = {}
    for kind in (*EVENT_TYPES.values(), Stamp):
        for field in event_fields(kind):
            found[field.name] = (*found.get(field.name, ()), *_OF_SORT[field.sort])
    return found


_TYPES: Final = _types()


def clean(event: dict[str, Any]) -> dict[str, Any]:
    """The event itself where every value is of its field's type."""
    wrong = [
        name
        for name, value in event.items()
        if value is not None and (types := _TYPES.get(name)) is not None and not isinstance(value, types)
    ]
    return {name: value for name, value in event.items() if name not in wrong} if wrong else event
