import asyncio
import gc

import pytest
from podium_eval.clock import SYSTEM_CLOCK
from podium_eval.transport.retry import attempted
from tenacity import RetryCallState, stop_after_attempt


class Busy(Exception):
    pass


def busy(error: BaseException) -> bool:
    return isinstance(error, Busy)


def at_once(_: RetryCallState) -> float:
    return 0.0


class Server:
    """Fails as often as asked, then answers."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


async def ask(server: Server) -> str:
    return await attempted(lambda: server(), again=busy, stop=stop_after_attempt(3), pause=at_once, clock=SYSTEM_CLOCK)


async def test_what_is_worth_it_is_tried_again_and_nothing_else() -> None:
    patient = Server(Busy(), Busy())
    assert (await ask(patient), patient.calls) == ("answer", 3)
    broken = Server(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await ask(broken)
    assert broken.calls == 1
    hopeless = Server(Busy("1"), Busy("2"), Busy("3"), Busy("4"))
    with pytest.raises(Busy, match="3"):
        await ask(hopeless)
    cancelled = Server(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await ask(cancelled)


async def test_a_call_leaves_nothing_for_the_garbage_collector() -> None:
    await ask(Server())
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await ask(Server())
        assert gc.collect() < 50, "each call leaves a cycle: a long run's memory grows with its calls"
    finally:
        gc.enable()
