import asyncio

import pytest
from loopback.recording import RecordingSink
from podium_eval.errors import Failure
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits

QUICK = BreakerLimits(threshold=3, first_s=0.02, longest_s=0.08, try_s=0.1, wait_s=5.0)
IDS = {"run_id": "r", "segment": 1}


def opened(sink: RecordingSink, limits: BreakerLimits = QUICK) -> Breaker:
    breaker = Breaker("retrieval", sink, IDS, limits)
    for _ in range(limits.threshold):
        breaker.failed("refused")
    return breaker


async def test_it_opens_after_failures_in_a_row_only() -> None:
    sink = RecordingSink()
    breaker = Breaker("retrieval", sink, IDS, QUICK)
    for _ in range(5):
        breaker.failed("refused")
        breaker.failed("refused")
        breaker.succeeded()
    assert breaker.state == "closed"
    assert sink.events == []
    for _ in range(3):
        breaker.failed("refused")
    assert breaker.state == "open"
    assert sink.of("breaker")[0].reason == "refused"
    assert breaker.open_s is not None


async def test_one_caller_tries_while_the_others_wait() -> None:
    sink = RecordingSink()
    breaker = opened(sink)
    let_in: list[int] = []

    async def call(n: int) -> float:
        waited = await breaker.wait()
        let_in.append(n)
        return waited

    tasks = [asyncio.create_task(call(n)) for n in range(5)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert len(let_in) == 1
    assert breaker.state == "half_open"
    assert breaker.waiting == 4
    breaker.succeeded()
    async with asyncio.timeout(1):
        waits = await asyncio.gather(*tasks)
    assert min(waits) >= 15
    assert [event.state for event in sink.of("breaker")] == ["open", "half_open", "closed"]
    assert sink.of("breaker")[-1].open_ms >= 15


async def test_a_failed_try_lengthens_the_pause() -> None:
    sink = RecordingSink()
    breaker = opened(sink)
    pauses = []
    for _ in range(4):
        pauses.append(round(breaker.try_in_s, 2))
        await breaker.wait()
        breaker.failed("refused")
    assert pauses == [0.02, 0.04, 0.08, 0.08]


async def test_an_unreported_try_blocks_nobody_for_good() -> None:
    breaker = opened(RecordingSink())
    await breaker.wait()
    async with asyncio.timeout(2):
        await breaker.wait()


async def test_waiting_ends_in_a_failure_that_names_the_service() -> None:
    breaker = opened(RecordingSink(), BreakerLimits(threshold=1, first_s=10.0, longest_s=10.0, try_s=1.0, wait_s=0.05))
    with pytest.raises(Failure) as caught:
        await breaker.wait()
    assert caught.value.error_type == "connection"
    assert "retrieval" in caught.value.message
    assert "BREAKER_WAIT_S" in caught.value.message
    assert breaker.waiting == 0


async def test_late_failures_do_not_prolong_the_pause() -> None:
    sink = RecordingSink()
    breaker = opened(sink)
    before = breaker.try_in_s
    for _ in range(50):
        breaker.failed("refused")
    assert breaker.try_in_s <= before
    assert len(sink.of("breaker")) == 1


async def test_a_cancelled_try_lets_the_next_caller_try_at_once() -> None:
    breaker = opened(RecordingSink(), BreakerLimits(threshold=1, first_s=0.01, longest_s=1.0, try_s=30.0, wait_s=5.0))
    await breaker.wait()
    next_one = asyncio.create_task(breaker.wait())
    await asyncio.sleep(0)
    breaker.abandoned()
    async with asyncio.timeout(1):
        await next_one
