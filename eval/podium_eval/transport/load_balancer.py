"""Several addresses of one model: each call goes to the least busy one that is up."""

from collections.abc import Sequence
from dataclasses import dataclass

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.errors import Unavailable
from podium_eval.transport.circuit_breaker import Breaker


@dataclass(slots=True)
class Address:
    """One base address (with /v1), what is in flight there, and its breaker."""

    url: str
    breaker: Breaker
    in_flight: int = 0


class Balance:
    """Chooses an address. A dead one is left out until a call that tries it is answered."""

    def __init__(self, name: str, addresses: Sequence[Address], *, wait_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        if not addresses:
            raise ValueError(f"{name} has no address")
        self._name = name
        self._addresses = tuple(addresses)
        self._wait_s = wait_s
        self._clock = clock
        self._turn = 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        return self._addresses

    async def acquire(self, only: str | None = None) -> tuple[Address, float]:
        """(address, milliseconds waited); give it back by release(). only: no other address than this.

        Raises:
            Unavailable: `connection`, when every address stayed down for wait_s.
        """
        choice = tuple(one for one in self._addresses if only is None or one.url == only)
        address = self._pick(choice)
        if address is not None:
            address.in_flight += 1
            return address, 0.0
        began = self._clock.mono()
        for one in choice:
            one.breaker.waiting += 1
        try:
            while (address := self._pick(choice)) is None:
                left = began + self._wait_s - self._clock.mono()
                if left <= 0:
                    reasons = "; ".join(f"{one.url}: {one.breaker.reason}" for one in choice)
                    raise Unavailable(
                        "connection",
                        f"{self._name}: no address answered for {self._wait_s:g} s (BREAKER_WAIT_S): {reasons}",
                    )
                soonest = min(choice, key=lambda one: one.breaker.try_in_s)
                await soonest.breaker.changed(min(left, soonest.breaker.try_in_s, 1.0))
        finally:
            for one in choice:
                one.breaker.waiting -= 1
        address.in_flight += 1
        return address, (self._clock.mono() - began) * 1000

    def release(self, address: Address) -> None:
        """The call to this address has ended."""
        address.in_flight -= 1

    def _pick(self, choice: tuple[Address, ...]) -> Address | None:
        """Least in flight of those that are up, ties by turn; a down one whose time to be tried has come goes first."""
        if len(choice) == 1:
            return choice[0] if choice[0].breaker.enter() else None
        for address in choice:
            if address.breaker.state != "closed" and address.breaker.enter():
                return address
        up = [address for address in choice if address.breaker.state == "closed"]
        if not up:
            return None
        self._turn += 1
        return min((up[(self._turn + n) % len(up)] for n in range(len(up))), key=lambda address: address.in_flight)
