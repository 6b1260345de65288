import asyncio
from dataclasses import replace

import pytest
from loopback.recording import RecordingSink
from podium_eval.clock import SystemClock
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, ChatResult
from podium_eval.scheduling.admission import Admission
from podium_eval.scheduling.order import DepthFirst
from podium_eval.scheduling.replicas import Replica, Replicas
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(threshold=1, first_s=0.02, longest_s=0.02, try_s=1.0, wait_s=5.0)
ANSWER = ChatResult(
    text="",
    reasoning=None,
    tool_calls=(),
    finish_reason="stop",
    provider="vllm",
    model="m",
    server=None,
    duration_ms=5.0,
    limiter_ms=0.0,
    retry_ms=0.0,
    attempts=1,
    prompt_tokens=100,
    completion_tokens=10,
)


class Servers:
    """Answers for every address that is not dead, and closes breakers as a real client does."""

    provider, model, vision, context_tokens = "vllm", "m", False, 8192

    def __init__(self, breakers: dict[str, Breaker]) -> None:
        self.breakers = breakers
        self.dead = set[str]()
        self.asked: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatResult:
        self.asked.append(request)
        await asyncio.sleep(0)
        assert request.address is not None
        if request.address in self.dead:
            self.breakers[request.address].failed("refused")
            raise Failure("connection", "refused", duration_ms=3.0)
        self.breakers[request.address].succeeded()
        return replace(ANSWER, server=request.address, prompt_tokens=len(request.user) // 4)


def replicas(count: int) -> tuple[Replicas, Servers]:
    urls = [f"http://h{n}/v1" for n in range(count)]
    breakers = {url: Breaker(url, RecordingSink(), {"run_id": "r"}, LIMITS) for url in urls}
    servers = Servers(breakers)
    places = [Replica(url, breakers[url], Admission(DepthFirst(), SystemClock())) for url in urls]
    return Replicas(servers, places), servers


def ask(place: int, words: int = 100) -> ChatRequest:
    return ChatRequest("w" * 4 * words, priority=place)


async def test_a_task_stays_where_it_began() -> None:
    chat, servers = replicas(3)
    for _ in range(4):
        await asyncio.gather(*(chat.complete(ask(place)) for place in range(6)))
    homes = {place: {r.address for r in servers.asked if r.priority == place} for place in range(6)}
    assert all(len(home) == 1 for home in homes.values())
    assert len({next(iter(home)) for home in homes.values()}) == 3


async def test_a_new_task_goes_where_tokens_are_fewest() -> None:
    chat, servers = replicas(2)
    await chat.complete(ask(0, words=9000))
    for place in (1, 2):
        await chat.complete(ask(place, words=20))
    assert [r.address for r in servers.asked] == ["http://h0/v1", "http://h1/v1", "http://h1/v1"]
    chat.leave(0)
    await chat.complete(ask(3))
    assert servers.asked[-1].address == "http://h0/v1"


async def test_a_dead_replica_s_tasks_go_on_elsewhere() -> None:
    chat, servers = replicas(2)
    await asyncio.gather(*(chat.complete(ask(place)) for place in range(4)))
    servers.dead = {"http://h0/v1"}
    results = await asyncio.gather(*(chat.complete(ask(place)) for place in range(4)))
    assert {result.server for result in results} == {"http://h1/v1"}
    moved = [result for result in results if result.retry_ms > 0]
    assert all(result.retry_ms >= 3.0 for result in moved)
    assert moved


async def test_a_replica_that_is_back_takes_new_tasks() -> None:
    chat, servers = replicas(2)
    servers.dead = {"http://h0/v1"}
    await chat.complete(ask(0))
    await chat.complete(ask(1))
    servers.dead = set()
    await servers.breakers["http://h0/v1"].changed(0.03)
    await chat.complete(ask(2))
    await chat.complete(ask(3))
    assert "http://h0/v1" in {r.address for r in servers.asked[-2:]}
    await chat.complete(ask(0))
    assert servers.asked[-1].address == "http://h1/v1"


async def test_with_one_replica_the_failure_is_raised() -> None:
    chat, servers = replicas(1)
    servers.dead = {"http://h0/v1"}
    with pytest.raises(Failure, match="refused"):
        await chat.complete(ask(0))
    assert servers.asked[0].wait_if_down


async def test_waiting_for_the_order_is_its_own_part() -> None:
    chat, _ = replicas(1)
    result = await chat.complete(ask(0))
    assert result.admission_ms is not None
    assert result.limiter_ms == pytest.approx(result.admission_ms)
