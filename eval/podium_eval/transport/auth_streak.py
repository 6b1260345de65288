"""Refused keys in a row: after so many of one provider no further call can help, and the run must stop."""

from collections.abc import Callable


class AuthStreak:
    """Counts, for each key variable, the refusals since its key was last accepted.

    stopped: the line that names the variable to check, once the limit was reached; None before.
    """

    def __init__(self, limit: int, on_stop: Callable[[str], None] | None = None) -> None:
        self._limit = limit
        self._on_stop = on_stop
        self._row: dict[str, int] = {}
        self.stopped: str | None = None

    def refused(self, provider: str, variable: str, message: str) -> None:
        """One more refusal; at the limit calls on_stop once with the line to show."""
        count = self._row[variable] = self._row.get(variable, 0) + 1
        if count >= self._limit and self.stopped is None:
            self.stopped = f"{variable} was refused {count} times in a row by {provider}: {message}"
            if self._on_stop is not None:
                self._on_stop(self.stopped)

    def accepted(self, variable: str) -> None:
        """The provider answered a call with this key."""
        if self._row:
            self._row.pop(variable, None)
