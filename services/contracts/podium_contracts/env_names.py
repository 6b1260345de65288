"""Names of variables that look like a setting and are none: a letter wrong, or of a part that has no such setting."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

_NEAR: Final = 2
_SHORTEST: Final = 5
"""Letters of a name that is compared: shorter ones are near to many."""

_FAMILY: Final = 4
"""Settings that make their first word a prefix."""


@cache
def setting_names() -> frozenset[str]:
    """Every setting of every part, as .env.example lists them."""
    return frozenset((files("podium_contracts") / "setting_names.txt").read_text("utf-8").split())


def doubtful(names: Iterable[str], *, strangers: bool = True) -> list[str]:
    """A line for each name that is no setting but within two letters of one, or begins as settings do.

    strangers: also those that only share a prefix, as fits a file that is Podium's own; an environment holds others'.
    """
    known = setting_names()
    prefixes = {prefix for prefix, count in Counter(name.split("_")[0] for name in known).items() if count >= _FAMILY}
    lines: list[str] = []
    for name in sorted(set(names) - known):
        upper = name.upper()
        if upper in known or not name.isascii():
            continue
        near = min(
            (name for name in known if _near(upper, name)), key=lambda name: (distance(upper, name), name), default=""
        )
        if near:
            lines.append(f"{name} is no setting: did you mean {near}?")
        elif strangers and "_" in upper and upper.split("_")[0] in prefixes and not upper.endswith(_ADDED):
            lines.append(f"{name} is no setting; .env.example lists all")
    return lines


_ADDED: Final = ("_API_KEY", "_BASE_URL", "_CONCURRENCY")
"""Endings of variables that MODELS_FILE's providers bring along."""


def _near(name: str, known: str) -> bool:
    if abs(len(name) - len(known)) > _NEAR or len(known) < _SHORTEST or name.endswith(_ADDED):
        return False
    return distance(name, known) <= _NEAR


def distance(first: str, other: str) -> int:
    """Letters to add, drop or change that make one text of the other; three or more may be returned as three."""
    if abs(len(first) - len(other)) > _NEAR:
        return _NEAR + 1
    row = list(range(len(other) + 1))
    for number, letter in enumerate(first, 1):
        above, row = row, [number]
        for column, theirs in enumerate(other, 1):
            row.append(min(above[column] + 1, row[column - 1] + 1, above[column - 1] + (letter != theirs)))
        if min(row) > _NEAR:
            return _NEAR + 1
    return row[-1]
