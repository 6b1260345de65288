"""What a metric is: a value of each row of a source."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["ms", "tokens", "rounds", "usd"]


@dataclass(frozen=True, slots=True)
class Family:
    """Rows that are read together. rows: SQL after FROM, with the columns kind and step.

    kinds: SQL after FROM of a table with one row a kind, that a source's condition, status and model are taken from.
    """

    rows: str
    kinds: str
    step: str = "step"


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of a family that share their groups. status: SQL for a row's status; ok: the one that the metric is about.

    All SQL is over the family's kinds.
    """

    name: str
    family: Family
    condition: str
    status: str
    ok: str
    model: str = "tool, provider, model"
    """SQL of the three columns tool, provider and model; NULLs where there is none."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A value of each row of its source; NULL is missing and is counted as such."""

    name: str
    title: str
    unit: Unit
    source: Source
    value: str
    what: str
