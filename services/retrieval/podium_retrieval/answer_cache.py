"""Answers to exact repetitions of a query, the least recently used going first."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence


class AnswerCache:
    """Bounded by the bytes of the answers; a limit of 0 keeps nothing. Used from the event loop alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._answers: OrderedDict[Hashable, tuple[Sequence[bytes], int]] = OrderedDict()

    def get(self, key: Hashable) -> Sequence[bytes] | None:
        """The answer's documents, or None."""
        if self._limit == 0:
            return None
        kept = self._answers.get(key)
        if kept is None:
            return None
        self._answers.move_to_end(key)
        return kept[0]

    def put(self, key: Hashable, documents: Sequence[bytes]) -> None:
        """Keep an answer, unless it alone exceeds the limit."""
        size = sum(len(one) for one in documents) + 256
        if size > self._limit:
            return
        old = self._answers.pop(key, None)
        self._size += size - (old[1] if old else 0)
        self._answers[key] = (documents, size)
        while self._size > self._limit:
            _, (_, dropped) = self._answers.popitem(last=False)
            self._size -= dropped
