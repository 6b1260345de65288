"""Turns of one replica wait here until its order lets them go."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from podium_eval.clock import Clock
from podium_eval.scheduling.order import Order, Turn


class Seat:
    """A turn that has begun. waited_ms: for the order. priority: for the server's queue."""

    def __init__(self, waited_ms: float, priority: int) -> None:
        self.waited_ms = waited_ms
        self.priority = priority
        self.turn: Turn | None = None
        """What came of it, set by the caller; None: it failed."""


class Admission:
    """An order in time. check_s: how often waiting turns are looked at while nothing else happens."""

    def __init__(self, order: Order, clock: Clock, *, check_s: float = 1.0) -> None:
        self._order = order
        self._clock = clock
        self._check_s = check_s
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._tokens: dict[int, int] = {}
        self._timed = False

    @property
    def waiting(self) -> int:
        """Turns that wait for the order."""
        return len(self._waiting)

    @property
    def tokens(self) -> int:
        """Contexts of all tasks that have their place here."""
        return sum(self._tokens.values())

    def expect(self, place: int, tokens: int) -> None:
        """A task has its place here, before its first turn is asked for."""
        self._tokens[place] = tokens

    @asynccontextmanager
    async def turn(self, place: int, tokens: int) -> AsyncGenerator[Seat]:
        """Wait until the order lets the turn go; what the caller sets as the seat's turn is reported to the order."""
        began = self._clock.mono()
        self._tokens[place] = tokens
        self._order.arrive(place, tokens, began)
        going: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = going
        self._admit()
        try:
            await going
        except asyncio.CancelledError:
            self._waiting.pop(place, None)
            self._order.left(place, self._clock.mono())
            self._admit()
            raise
        seat = Seat((self._clock.mono() - began) * 1000, self._order.priority(place))
        try:
            yield seat
        finally:
            if seat.turn is not None:
                self._tokens[place] = seat.turn.prompt + seat.turn.output
            self._order.answered(place, seat.turn, self._clock.mono())
            self._admit()

    def leave(self, place: int) -> None:
        """The task has ended, or goes to another replica."""
        if self._tokens.pop(place, None) is not None:
            self._order.left(place, self._clock.mono())
            self._admit()

    def _admit(self) -> None:
        for place in self._order.admitted(self._clock.mono()):
            going = self._waiting.pop(place)
            if not going.done():
                going.set_result(None)
        if self._waiting and not self._timed:
            self._timed = True
            self._clock.call_later(self._check_s, self._look)

    def _look(self) -> None:
        self._timed = False
        self._admit()
