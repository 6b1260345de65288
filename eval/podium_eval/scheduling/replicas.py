"""The orchestrator as the episode loop asks it: each task stays with the replica that holds its prompt's beginning."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from podium_eval.errors import Failure
from podium_eval.models.chat import Chat, ChatRequest, ChatResult
from podium_eval.scheduling.admission import Admission
from podium_eval.scheduling.order import Turn
from podium_eval.transport.circuit_breaker import Breaker

_log = logging.getLogger(__name__)

_CHARACTERS: Final = 4.0
"""A token's characters, until answers have told the prompt's tokens."""

_MOVING: Final = frozenset({"connection", "timeout"})


@dataclass(slots=True)
class Replica:
    """One address of the orchestrator, its breaker, and who may take a turn there."""

    url: str
    breaker: Breaker
    admission: Admission


class Replicas:
    """A Chat over all addresses of the orchestrator.

    A new task goes where the contexts of the tasks are smallest in sum, and stays. One whose address gives no answer
    goes on at another; an address that is back takes new tasks. program: the id under which a router knows a task.
    """

    def __init__(
        self,
        chat: Chat,
        replicas: Sequence[Replica],
        *,
        program: Callable[[int], str | None] = lambda place: None,
        left: Callable[[int], None] = lambda place: None,
    ) -> None:
        self._chat = chat
        self._replicas = list(replicas)
        self._program = program
        self._left = left
        self._homes: dict[int, Replica] = {}
        self._per_token = _CHARACTERS

    @property
    def provider(self) -> str:
        return self._chat.provider

    @property
    def model(self) -> str:
        return self._chat.model

    @property
    def vision(self) -> bool:
        return self._chat.vision

    @property
    def context_tokens(self) -> int | None:
        return self._chat.context_tokens

    def leave(self, place: int) -> None:
        """The task has ended: its context weighs on no replica any more."""
        home = self._homes.pop(place, None)
        if home is not None:
            home.admission.leave(place)
            self._left(place)

    async def complete(self, request: ChatRequest) -> ChatResult:
        """Ask at the task's replica once its order lets the turn go; `request.priority` is the task's place.

        Raises:
            Failure: as the chat raised it, after every other address that is up was tried.
        """
        assert request.priority is not None
        place, tokens = request.priority, self._tokens(request)
        lost_ms, tried = 0.0, set[str]()
        while True:
            home = self._home(place, tokens, tried)
            others = [one for one in self._replicas if one is not home and one.url not in tried and _up(one)]
            try:
                result = await self._ask(home, place, tokens, replace(request, wait_if_down=not others))
            except Failure as failure:
                if failure.error_type not in _MOVING or not others:
                    failure.retry_ms += lost_ms
                    raise
                lost_ms += failure.duration_ms + failure.limiter_ms + failure.retry_ms
                tried.add(home.url)
                self._homes.pop(place).admission.leave(place)
                _log.warning("a task leaves %s: %s", home.url, failure.message)
                continue
            return replace(result, retry_ms=result.retry_ms + lost_ms) if lost_ms else result

    async def _ask(self, home: Replica, place: int, tokens: int, request: ChatRequest) -> ChatResult:
        async with home.admission.turn(place, tokens) as seat:
            asked = replace(request, priority=seat.priority, address=home.url, program=self._program(place))
            try:
                result = await self._chat.complete(asked)
            except Failure as failure:
                failure.limiter_ms += seat.waited_ms
                failure.admission_ms = seat.waited_ms
                raise
            seat.turn = self._learned(result, tokens)
        return replace(result, limiter_ms=result.limiter_ms + seat.waited_ms, admission_ms=seat.waited_ms)

    def _home(self, place: int, tokens: int, tried: set[str]) -> Replica:
        home = self._homes.get(place)
        if home is None or (not _up(home) and any(map(_up, self._replicas))):
            if home is not None:
                home.admission.leave(place)
            home = self._choose(tried)
            self._homes[place] = home
            home.admission.expect(place, tokens)
        return home

    def _choose(self, tried: set[str]) -> Replica:
        """The one with the fewest tokens of those that are up; one that was down and may be tried goes first."""
        open_to = [one for one in self._replicas if one.url not in tried] or self._replicas
        back = [one for one in open_to if not _up(one) and one.breaker.try_in_s == 0]
        up = [one for one in open_to if _up(one)]
        return min(back or up or open_to, key=lambda one: one.admission.tokens)

    def _tokens(self, request: ChatRequest) -> int:
        text = len(request.user) + len(request.system or "")
        return max(1, int(text / self._per_token))

    def _learned(self, result: ChatResult, expected: int) -> Turn:
        prompt = result.prompt_tokens
        if prompt:
            # What tools and template add is in the server's count: the estimate follows it.
            self._per_token = max(1.0, self._per_token * (1 + 0.1 * (expected / prompt - 1)))
        return Turn(
            prompt or expected,
            result.cached_tokens,
            result.completion_tokens or 0,
            _seconds(result.prefill_ms),
            _seconds(result.decode_ms),
            _seconds(result.queue_ms),
        )


def _up(replica: Replica) -> bool:
    return replica.breaker.state == "closed"


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000
