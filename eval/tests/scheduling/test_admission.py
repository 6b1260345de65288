import asyncio

import pytest
from podium_eval.clock import SystemClock
from podium_eval.scheduling.admission import Admission
from podium_eval.scheduling.order import ServerOrder, Turn


class OneAtATime(ServerOrder):
    """The lowest place goes, when nobody is under way; `late` go at once."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: set[int] = set()
        self.late = False
        self.ended: list[tuple[int, Turn | None]] = []

    def admitted(self, now: float) -> list[int]:
        if self.under_way and not self.late:
            return []
        going = sorted(super().admitted(now))
        for place in going[1:]:
            self.arrive(place, 0, now)
        self.under_way.update(going[:1])
        return going[:1]

    def answered(self, place: int, turn: Turn | None, now: float) -> None:
        self.under_way.discard(place)
        self.ended.append((place, turn))

    def left(self, place: int, now: float) -> None:
        super().left(place, now)
        self.under_way.discard(place)


def admission(order: OneAtATime, check_s: float = 60.0) -> Admission:
    return Admission(order, SystemClock(), check_s=check_s)


async def test_turns_go_in_the_order_s_order() -> None:
    order, went = OneAtATime(), list[int]()
    gate = admission(order)

    async def take(place: int) -> None:
        async with gate.turn(place, 100) as seat:
            went.append(place)
            await asyncio.sleep(0)
            seat.turn = Turn(100, 0, 10)

    await asyncio.gather(*(take(place) for place in (0, 5, 3, 4)))
    assert went == [0, 3, 4, 5]
    assert [place for place, turn in order.ended if turn] == went
    assert gate.tokens == 4 * 110


async def test_a_cancelled_wait_holds_nobody_back() -> None:
    order = OneAtATime()
    gate, entered = admission(order), asyncio.Event()

    async def take(place: int, until: asyncio.Event) -> None:
        async with gate.turn(place, 100):
            entered.set()
            await until.wait()

    ends = asyncio.Event()
    first = asyncio.create_task(take(0, ends))
    await entered.wait()
    second = asyncio.create_task(take(1, ends))
    third = asyncio.create_task(take(2, ends))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert gate.waiting == 1
    ends.set()
    await asyncio.gather(first, third)
    assert order.under_way == set()


async def test_a_turn_admitted_and_cancelled_at_once_ends() -> None:
    order = OneAtATime()
    gate = admission(order)

    async def take(place: int) -> None:
        async with gate.turn(place, 1):
            await asyncio.Event().wait()

    async with gate.turn(0, 1):
        second = asyncio.create_task(take(1))
        await asyncio.sleep(0)
    assert order.under_way == {1}
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert order.under_way == set()


async def test_waiting_turns_are_looked_at_again() -> None:
    order = OneAtATime()
    gate = admission(order, check_s=0.01)
    async with gate.turn(0, 1):
        order.late = True
        async with asyncio.timeout(5), gate.turn(1, 1) as seat:
            assert seat.waited_ms > 0


async def test_a_task_that_left_weighs_nothing() -> None:
    gate = admission(OneAtATime())
    gate.expect(7, 500)
    assert gate.tokens == 500
    gate.leave(7)
    gate.leave(7)
    assert gate.tokens == 0
