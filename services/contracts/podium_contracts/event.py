"""What every event carries, and what is known of a field besides its type.

A field is defined once, in its event's class: name, type, default, and as the docstring below it what it means. The
analysis' columns and metrics, the JSON Schema of events.jsonl and docs/events.md are made from that (`event_fields`).
The unit is the name's ending: _ms, _tokens, _usd.
"""

import ast
import inspect
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin, get_type_hints

from podium_contracts.levels import LEVELS


class Use(Enum):
    """How the analysis uses a field where its type does not determine it."""

    LOG_ONLY = "log only"
    """The analysis' table has no column for it."""
    QUANTITY = "quantity"
    """A whole number that sums have a meaning of, as every number with decimals."""


LOG_ONLY: Final = Use.LOG_ONLY
QUANTITY: Final = Use.QUANTITY

Sort = Literal["number", "whole", "text", "flag", "numbers"]
"""numbers: an object of numbers by names that only the log knows."""
_SORTS: Final[dict[Any, Sort]] = {
    float: "number",
    int: "whole",
    str: "text",
    bool: "flag",
    dict[str, float]: "numbers",
}
_UNITS: Final = {"_ms": "ms", "_tokens": "tokens", "_usd": "USD"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries. ts and mono_ms are stamped by the one writer's front when the event is emitted."""

    LEVEL: ClassVar[int] = LEVELS["INFO"]
    ALWAYS: ClassVar[bool] = False
    """True: no level setting filters this event out."""

    NEEDS: ClassVar[tuple[str, ...]] = ()
    """Without these fields a reader cannot count the event."""

    run_id: Annotated[str, LOG_ONLY]
    task_id: str | None = None
    eid: int | None = None
    """The question's index in the dataset, from 0."""
    epoch: int = 1
    step: int | None = None
    """The orchestrator's turn within the episode, from 1."""
    segment: int = 1
    """Which start of this run wrote the event: a run that was resumed n times has n + 1 segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the log's one writer adds to every event."""

    ts: Annotated[str, LOG_ONLY]
    """UTC, ISO 8601; the clock behind it may step."""
    level: Annotated[str, LOG_ONLY]
    mono_ms: float
    """Since the start of the segment, by a clock that never goes back."""


@dataclass(frozen=True, slots=True)
class EventField:
    """A field of an event. values: the only ones it takes, None: any. optional: may be None or left out.

    use: None where its type determines it.
    """

    name: str
    sort: Sort
    unit: str | None
    values: tuple[str, ...] | None
    optional: bool
    use: Use | None


@cache
def event_fields(cls: type[Any]) -> tuple[EventField, ...]:
    """The fields of an event or of Stamp in the order of the class, those of its bases first.

    Raises:
        TypeError: a field of a type that a line cannot hold.
    """
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        _field(f.name, hints[f.name], optional=f.default is not MISSING and f.name != "type") for f in fields(cls)
    )


def _field(name: str, hint: Any, *, optional: bool) -> EventField:
    use = None
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        use = next((mark for mark in marks if isinstance(mark, Use)), None)
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    optional = optional or NoneType in parts
    kind: Any = next(part for part in parts if part is not NoneType)
    values = get_args(kind) if get_origin(kind) is Literal else None
    sort = "text" if values else _SORTS.get(kind)
    if sort is None:
        raise TypeError(f"{name}: {hint} is no number, text, flag or object of numbers")
    unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), None)
    return EventField(name, sort, unit, values, optional, use)


def field_texts(cls: type[Any]) -> dict[str, str]:
    """What each field means, on one line: the docstring below it in its class or a base of that."""
    return {name: text for base in reversed(cls.__mro__) for name, text in _texts(base).items()}


def _texts(cls: type[Any]) -> dict[str, str]:
    try:
        (tree,) = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body
    except (OSError, TypeError):
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
