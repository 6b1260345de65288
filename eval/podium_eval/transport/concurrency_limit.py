"""A provider's concurrency limit that finds its own height: halves on overload, obeys Retry-After, climbs in steps."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from podium_contracts.events import Limit

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.log.sink import EventSink

_SAME_LOCKOUT_S: Final = 60.0
"""Calls that were under way together are each refused with their own rest of the same lockout."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to make one call. epoch: how often the limit had been cut when it was given."""

    epoch: int
    waited_ms: float


class AdaptiveLimit:
    """At most `limit` calls in flight, first come first served. `ids` are the run_id and segment of its events.

    An overload halves the limit once for all calls that were under way when it came: simultaneous 429s halve it once.
    After as many successes as the limit is high it rises by a sixteenth of the maximum.
    """

    def __init__(
        self,
        provider: str,
        maximum: int,
        sink: EventSink,
        ids: Mapping[str, Any],
        *,
        minimum: int = 1,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.provider = provider
        self.maximum = maximum
        self.limit = maximum
        self.in_flight = 0
        self._minimum = min(minimum, maximum)
        self._step = max(1, maximum // 16)
        self._sink = sink
        self._ids = ids
        self._clock = clock
        self._epoch = 0
        self._successes = 0
        self._resume_at = 0.0
        self._timed = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Calls that have asked for a slot and have none."""
        return sum(not waiter.done() for waiter in self._waiters)

    @property
    def paused_s(self) -> float:
        """Seconds until the provider's own Retry-After has passed; 0 when it asked for nothing."""
        return max(0.0, self._resume_at - self._clock.mono())

    async def acquire(self) -> Slot:
        """Wait for a slot; each must be given back by release()."""
        began = self._clock.mono()
        if not self._waiters and self._free(began):
            self.in_flight += 1
            return Slot(self._epoch, 0.0)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.in_flight -= 1
            elif waiter in self._waiters:  # not so when its turn came after it had been cancelled
                self._waiters.remove(waiter)
            self._wake()
            raise
        return Slot(self._epoch, (self._clock.mono() - began) * 1000)

    def set_maximum(self, maximum: int, reason: str) -> None:
        """So many calls at once at most from now on, and at once; fewer than are in flight: none is cut short."""
        self.maximum = maximum
        self._minimum = min(self._minimum, maximum)
        self._step = max(1, maximum // 16)
        self._move(maximum, reason)
        self._wake()

    def release(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._wake()

    def succeeded(self) -> None:
        """A call was answered: a step towards the maximum after a round of them."""
        if self.limit >= self.maximum:
            return
        self._successes += 1
        if self._successes >= self.limit:
            self._move(min(self.maximum, self.limit + self._step), "recovering")
            self._wake()

    def overloaded(self, slot: Slot, reason: str, retry_after_s: float | None = None, *, lockout: bool = False) -> None:
        """A call was refused for load. `slot` shows whether the limit was cut since it began; lockout: log it once."""
        if retry_after_s is not None:
            later = self._clock.mono() + retry_after_s - self._resume_at
            self._resume_at += max(0.0, later)
            if lockout and later > min(_SAME_LOCKOUT_S, retry_after_s / 2):
                self._emit(self.limit, reason, locked_out_ms=retry_after_s * 1000)
        if slot.epoch == self._epoch:
            self._epoch += 1
            self._move(max(self._minimum, self.limit // 2), reason)

    def _move(self, limit: int, reason: str) -> None:
        previous, self.limit = self.limit, limit
        self._successes = 0
        if limit != previous:
            self._emit(previous, reason)

    def _emit(self, previous: int, reason: str, *, locked_out_ms: float | None = None) -> None:
        self._sink.emit(
            Limit(
                **self._ids,
                provider=self.provider,
                limit=self.limit,
                previous=previous,
                in_flight=self.in_flight,
                reason=reason,
                locked_out_ms=locked_out_ms,
            )
        )

    def _free(self, now: float) -> bool:
        return self.in_flight < self.limit and now >= self._resume_at

    def _wake(self) -> None:
        # The clock is read once: were it to pass _resume_at between two readings, nobody would be woken nor a timer
        # set. uvloop's timers are up to a millisecond early, so that moment is met often.
        now = self._clock.mono()
        while self._waiters and self._free(now):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)
        pause = self._resume_at - now
        if self._waiters and pause > 0 and not self._timed:
            self._timed = True
            self._clock.call_later(pause, self._resume)

    def _resume(self) -> None:
        self._timed = False
        self._wake()
