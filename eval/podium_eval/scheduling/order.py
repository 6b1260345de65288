"""Orders of turns: each is given every turn and returns those to send now. No clock, no server: the caller has both."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Turn:
    """What is known of a turn once it has ended: tokens, and the server's own seconds.

    cached: prompt tokens that the server found in its cache; None when it did not say, and so are the times.
    """

    prompt: int
    cached: int | None
    output: int
    prefill_s: float | None = None
    decode_s: float | None = None
    queue_s: float | None = None


class Order(Protocol):
    """Who may take a turn now. A place is a task's number in the order in which the tasks were taken."""

    def arrive(self, place: int, tokens: int, now: float) -> None:
        """A task wants a turn whose prompt has about so many tokens."""
        ...

    def admitted(self, now: float) -> list[int]:
        """The places that go now, in this order; each is named once."""
        ...

    def answered(self, place: int, turn: Turn | None, now: float) -> None:
        """A turn has ended; None: it failed."""
        ...

    def left(self, place: int, now: float) -> None:
        """A task has ended, or waits no more."""
        ...

    def priority(self, place: int) -> int:
        """The priority for the server's own queue: the lowest goes first."""
        ...


class ServerOrder:
    """The server's own: every turn goes when it comes, none before another."""

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}

    def arrive(self, place: int, tokens: int, now: float) -> None:
        self._waiting[place] = None

    def admitted(self, now: float) -> list[int]:
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def answered(self, place: int, turn: Turn | None, now: float) -> None:
        """Nothing is learned."""

    def left(self, place: int, now: float) -> None:
        self._waiting.pop(place, None)

    def priority(self, place: int) -> int:
        return 0


class DepthFirst(ServerOrder):
    """Every turn goes when it comes; the server serves the task that was taken first, first."""

    def priority(self, place: int) -> int:
        return place
