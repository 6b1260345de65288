"""Whether two searches found the same: documents, or others that score as well within a tolerance."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Document = TypeVar("Document", bound=Hashable)


@dataclass(frozen=True)
class Agreement:
    """Of n queries, those with the same documents, and those where each document that only one of the two lists holds
    scores within the tolerance of the other list's last."""

    n: int
    same: int
    within: int


def agreement(
    one: Sequence[Mapping[Document, float]], other: Sequence[Mapping[Document, float]], tolerance: float
) -> Agreement:
    """Two searches of the same queries: for each, its documents with their scores."""
    pairs = list(zip(one, other, strict=True))
    within = sum(
        all(
            abs(mine[document] - min(theirs.values())) <= tolerance
            for mine, theirs in ((a, b), (b, a))
            for document in mine.keys() - theirs.keys()
        )
        for a, b in pairs
    )
    return Agreement(len(pairs), sum(a.keys() == b.keys() for a, b in pairs), within)
