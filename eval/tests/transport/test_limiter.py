import asyncio

import pytest
from loopback.recording import RecordingSink
from podium_eval.clock import SystemClock
from podium_eval.transport.concurrency_limit import AdaptiveLimit

IDS = {"run_id": "r", "segment": 1}


def limit_of(maximum: int, sink: RecordingSink | None = None) -> AdaptiveLimit:
    return AdaptiveLimit("p", maximum, sink or RecordingSink(), IDS)


async def waiting(limit: AdaptiveLimit, n: int) -> list["asyncio.Task[object]"]:
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(limit.acquire()) for _ in range(n)]
    await asyncio.sleep(0)
    assert limit.waiting == n
    return tasks


async def test_at_most_the_limit_are_let_in_by_order() -> None:
    limit = limit_of(2)
    await limit.acquire()
    await limit.acquire()
    first, second = await waiting(limit, 2)
    limit.release()
    await first
    assert not second.done()
    assert limit.in_flight == 2
    limit.release()
    await second


async def test_refusals_of_one_moment_halve_the_limit_once() -> None:
    sink = RecordingSink()
    limit = limit_of(64, sink)
    slots = [await limit.acquire() for _ in range(64)]
    for slot in slots:
        limit.overloaded(slot, "429")
        limit.release()
    assert limit.limit == 32
    assert [(event.previous, event.limit, event.provider) for event in sink.of("limit")] == [(64, 32, "p")]
    assert sink.of("limit")[0].run_id == "r"
    slot = await limit.acquire()
    limit.overloaded(slot, "429 again")
    assert limit.limit == 16


async def test_it_never_falls_below_one() -> None:
    limit = limit_of(2)
    for _ in range(5):
        limit.overloaded(await limit.acquire(), "429")
        limit.release()
    assert limit.limit == 1


async def test_it_recovers_step_by_step_to_its_maximum() -> None:
    sink = RecordingSink()
    limit = limit_of(32, sink)
    limit.overloaded(await limit.acquire(), "429")
    limit.release()
    heights = [limit.limit]
    for _ in range(10_000):
        limit.succeeded()
        if limit.limit != heights[-1]:
            heights.append(limit.limit)
    assert heights == [16, 18, 20, 22, 24, 26, 28, 30, 32]
    assert {event.reason for event in sink.of("limit")[1:]} == {"recovering"}


async def test_retry_after_holds_everybody_back_and_then_lets_go() -> None:
    limit = limit_of(8)
    limit.overloaded(await limit.acquire(), "429", 0.05)
    limit.release()
    assert limit.paused_s > 0
    slots = await asyncio.gather(*(limit.acquire() for _ in range(3)))
    assert all(slot.waited_ms >= 45 for slot in slots)
    assert limit.in_flight == 3


class TickingClock(SystemClock):
    """Every reading is a nanosecond later than the last."""

    def __init__(self, now: float) -> None:
        self.now = now

    def mono(self) -> float:
        self.now += 1e-9
        return self.now


@pytest.mark.parametrize("readings", range(8))
async def test_the_pause_may_end_between_two_clock_readings(readings: int) -> None:
    clock = TickingClock(0.0)
    limit = AdaptiveLimit("p", 1, RecordingSink(), IDS, clock=clock)
    limit.overloaded(await limit.acquire(), "429", 1.0)
    limit.release()
    clock.now += limit.paused_s - (readings - 0.5) * 1e-9
    async with asyncio.timeout(5):
        await limit.acquire()
    assert limit.in_flight == 1


async def test_a_cancelled_waiter_leaves_no_slot_behind() -> None:
    limit = limit_of(1)
    await limit.acquire()
    (task,) = await waiting(limit, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    limit.release()
    assert limit.in_flight == 0
    assert (await limit.acquire()).waited_ms == 0


@pytest.mark.parametrize("cancelled_before", [False, True])
async def test_a_waiter_cancelled_at_its_turn_passes_it_on(cancelled_before: bool) -> None:
    limit = limit_of(1)
    await limit.acquire()
    first, second = await waiting(limit, 2)
    for happens in (first.cancel, limit.release) if cancelled_before else (limit.release, first.cancel):
        happens()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(1):
        await second
    assert limit.in_flight == 1
