"""A question of the dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the dataset. eid is its index in the file, from 0."""

    id: str
    eid: int
    question: str
    answer: str
    answer_type: str | None = None
    category: str | None = None
    subject: str | None = None
    image: str | None = None
    verified_class: str | None = None
    kinds: tuple[str, ...] = ()
    """The benchmark's own kinds of this question; it may be of several."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
