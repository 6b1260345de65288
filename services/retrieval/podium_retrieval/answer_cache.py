"""Answers to exact repetitions of a query, the least recently used going first."""

import sys
from collections.abc import Hashable, Sequence
from typing import Final

from cachetools import LRUCache

_ENTRY: Final = 256
"""Bytes of an entry beside its documents and its key."""


class AnswerCache:
    """Bounded by the bytes of keys and answers; a limit of 0 keeps nothing. Used from the event loop alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._answers: LRUCache[Hashable, tuple[Sequence[bytes], int]] = LRUCache(
            limit_bytes, getsizeof=lambda kept: kept[1]
        )

    def get(self, key: tuple[Hashable, ...]) -> Sequence[bytes] | None:
        """The answer's documents, or None."""
        kept = self._answers.get(key)
        return None if kept is None else kept[0]

    def put(self, key: tuple[Hashable, ...], documents: Sequence[bytes]) -> None:
        """Keep an answer, unless it alone exceeds the limit."""
        size = sum(map(len, documents)) + sum(map(sys.getsizeof, key)) + _ENTRY
        if size <= self._answers.maxsize:
            self._answers[key] = (documents, size)
