"""Stops a run whose key is refused: without a key every task fails and nothing moves."""

from collections import Counter
from collections.abc import Callable

from podium_contracts.events import Event, LlmCall


class AuthStreak:
    """An EventLog observer that calls `tripped(provider, message)` after `limit` refused keys in a row of one provider."""

    def __init__(self, limit: int, tripped: Callable[[str, str], None]) -> None:
        self._limit = limit
        self._tripped = tripped
        self._row: Counter[str] = Counter()

    def observe(self, event: Event) -> None:
        """Count refusals in a row; any answer of the provider ends the row."""
        if not isinstance(event, LlmCall):
            return
        if event.error_type is None:
            self._row.pop(event.provider, None)
        elif event.error_type == "auth":
            self._row[event.provider] += 1
            if self._row[event.provider] == self._limit:
                self._tripped(event.provider, event.error_message or "the key was refused")
