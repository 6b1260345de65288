"""Circuit breaker: while a service is down callers wait, one at a time probes it, and all go on when it answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podium_contracts.events import Breaker as BreakerEvent

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.errors import Unavailable
from podium_eval.log.sink import EventSink

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """threshold: failures in a row that open it. first_s, longest_s: the pause before a try, doubling from the first to
    the longest. try_s: how long one try may take before another caller tries. wait_s: how long a caller waits in all.
    """

    threshold: int = 5
    first_s: float = 1.0
    longest_s: float = 15.0
    try_s: float = 60.0
    wait_s: float = 900.0


class Breaker:
    """The gate before one service (an address of a model server, retrieval, the sandbox).

    Callers `wait()`, send, then call `succeeded()` or `failed(reason)`: any answer is a success, an address that gives
    none is a failure. A caller that is cancelled calls `abandoned()`; one that calls nothing blocks nothing for longer
    than try_s.
    """

    def __init__(
        self,
        service: str,
        sink: EventSink,
        ids: Mapping[str, Any],
        limits: BreakerLimits,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.service = service
        self.state: State = "closed"
        self.reason = ""
        self.waiting = 0
        self._limits = limits
        self._clock = clock
        self._sink = sink
        self._ids = ids
        self._failures = 0
        self._pause_s = self._limits.first_s
        self._opened_at = 0.0
        self._try_at = 0.0
        self._changed = asyncio.Event()

    @property
    def open_s(self) -> float | None:
        """Seconds since it opened; None while the service is up."""
        return None if self.state == "closed" else self._clock.mono() - self._opened_at

    @property
    def try_in_s(self) -> float:
        """Seconds until a caller may try; 0 when one may now, or when nothing is wrong."""
        return 0.0 if self.state == "closed" else max(0.0, self._try_at - self._clock.mono())

    def enter(self) -> bool:
        """Leave to call now. With the service down, one caller at a time gets it, as the one who tries."""
        if self.state == "closed":
            return True
        if self.try_in_s > 0:
            return False
        self._try_at = self._clock.mono() + self._limits.try_s
        if self.state == "open":
            self._move("half_open", self.reason)
        return True

    async def wait(self) -> float:
        """Return when a call may be made: the milliseconds waited.

        Raises:
            Unavailable: `connection`, after wait_s, with the service's name and what was wrong with it.
        """
        if self.state == "closed":
            return 0.0
        began = self._clock.mono()
        self.waiting += 1
        try:
            while not self.enter():
                left = began + self._limits.wait_s - self._clock.mono()
                if left <= 0:
                    raise Unavailable(
                        "connection",
                        f"{self.service} has been down for {self.open_s or 0:.0f} s ({self.reason}); "
                        f"waited {self._limits.wait_s:g} s for it (BREAKER_WAIT_S)",
                    )
                await self.changed(min(left, self.try_in_s))
        finally:
            self.waiting -= 1
        return (self._clock.mono() - began) * 1000

    async def changed(self, at_most_s: float) -> None:
        """Return at the next change of state, or after at_most_s."""
        try:
            async with self._clock.timeout(max(at_most_s, 0.001)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def succeeded(self) -> None:
        """The service answered."""
        self._failures = 0
        if self.state != "closed":
            self._pause_s = self._limits.first_s
            self._move("closed", "answered")

    def abandoned(self) -> None:
        """The caller that was trying stopped before it knew: the next one may try at once."""
        if self.state == "half_open":
            self._try_at = self._clock.mono()
            self._wake()

    def failed(self, reason: str) -> None:
        """The service gave no answer."""
        self._failures += 1
        self.reason = reason
        if self.state == "half_open":
            self._pause_s = min(self._pause_s * 2, self._limits.longest_s)
        elif self.state == "open" or self._failures < self._limits.threshold:
            return
        else:
            self._opened_at = self._clock.mono()
        self._try_at = self._clock.mono() + self._pause_s
        self._move("open", reason)

    def _move(self, state: State, reason: str) -> None:
        open_ms = None if self.state == "closed" else (self._clock.mono() - self._opened_at) * 1000
        self.state = state
        self._sink.emit(
            BreakerEvent(
                **self._ids,
                service=self.service,
                state=state,
                reason=reason,
                waiting=self.waiting,
                open_ms=open_ms,
            )
        )
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
