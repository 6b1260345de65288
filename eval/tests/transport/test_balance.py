import asyncio

import pytest
from loopback.recording import RecordingSink
from podium_eval.errors import Failure
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits
from podium_eval.transport.load_balancer import Address, Balance

LIMITS = BreakerLimits(threshold=1, first_s=0.03, longest_s=0.03, try_s=1.0, wait_s=5.0)


def balance_of(n: int, wait_s: float = 5.0) -> Balance:
    sink = RecordingSink()
    return Balance(
        "vllm/m",
        [Address(f"http://h{k}/v1", Breaker(f"h{k}", sink, {"run_id": "r"}, LIMITS)) for k in range(n)],
        wait_s=wait_s,
    )


async def test_calls_spread_by_what_is_in_flight() -> None:
    balance = balance_of(3)
    taken = [(await balance.acquire())[0] for _ in range(9)]
    assert sorted(address.in_flight for address in balance.addresses) == [3, 3, 3]
    busy = taken[0]
    for address in balance.addresses:
        if address is not busy:
            for _ in range(3):
                balance.release(address)
    for _ in range(6):
        address, _ = await balance.acquire()
        assert address is not busy


async def test_a_dead_address_is_left_out_and_tried_again_later() -> None:
    balance = balance_of(2)
    dead, alive = balance.addresses
    dead.breaker.failed("refused")
    for _ in range(10):
        address, _ = await balance.acquire()
        assert address is alive
        balance.release(address)
    await dead.breaker.changed(0.04)
    address, _ = await balance.acquire()
    assert address is dead
    assert (await balance.acquire())[0] is alive
    dead.breaker.succeeded()
    assert {(await balance.acquire())[0].url for _ in range(4)} == {"http://h0/v1", "http://h1/v1"}


async def test_callers_wait_for_the_first_recovered_address() -> None:
    balance = balance_of(2)
    for address in balance.addresses:
        address.breaker.failed("refused")
    (address, waited), (other, _) = await asyncio.gather(balance.acquire(), balance.acquire())
    assert waited > 0
    assert address is not other
    assert [one.breaker.waiting for one in balance.addresses] == [0, 0]


async def test_with_all_dead_for_long_the_call_fails() -> None:
    balance = balance_of(2, wait_s=0.02)
    for address in balance.addresses:
        address.breaker.failed("connection refused")
    with pytest.raises(Failure) as caught:
        await balance.acquire()
    assert caught.value.error_type == "connection"
    assert "http://h0/v1: connection refused" in caught.value.message


def test_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="vllm/m has no address"):
        Balance("vllm/m", [], wait_s=1)
