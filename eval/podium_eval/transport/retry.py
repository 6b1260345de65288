"""Trying a call again: tenacity, without what it would leave behind."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from podium_eval.clock import Clock

Answer = TypeVar("Answer")


async def attempted(
    call: Callable[[], Awaitable[Answer]],
    *,
    again: Callable[[BaseException], bool],
    stop: Callable[[RetryCallState], bool],
    pause: Callable[[RetryCallState], float],
    clock: Clock,
) -> Answer:
    """What `call` returns, tried again after `pause` seconds for failures that are worth it, until `stop`.

    Raises:
        Exception: what the last attempt raised.
    """

    async def attempt() -> Answer:  # tenacity awaits what it sees to be a coroutine function, and no lambda
        return await call()

    retrying = AsyncRetrying(retry=retry_if_exception(again), stop=stop, wait=pause, sleep=clock.sleep, reraise=True)
    try:
        return await retrying(attempt)
    finally:
        # The steps of the last attempt refer to the object that holds them: 35 objects a call, hundreds a task, that
        # wait for a full collection, which comes too seldom in a process whose memory hardly moves.
        retrying.iter_state.reset()
