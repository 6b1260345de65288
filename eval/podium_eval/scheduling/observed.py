"""What the turns so far say of a server and of the tasks: the figures by which an order decides."""

from collections import deque
from typing import Final

from podium_eval.scheduling.order import Turn

_RECENT: Final = 256
_FEW: Final = 16
"""Turns before a mean is taken for one."""

_SPAN_S: Final = 2.0
"""Over how long a rate is taken: some ten steps of a busy server."""

_SPANS: Final = 600


class Recent:
    """The mean of the newest values; None while there are too few."""

    def __init__(self, most: int = _RECENT) -> None:
        self._values: deque[float] = deque(maxlen=most)
        self._sum = 0.0

    def add(self, value: float) -> None:
        if len(self._values) == self._values.maxlen:
            self._sum -= self._values[0]
        self._values.append(value)
        self._sum += value

    @property
    def mean(self) -> float | None:
        return self._sum / len(self._values) if len(self._values) >= _FEW else None


class Observed:
    """growth: tokens that a turn and its tool add to a prompt, the turn's output among them.

    alone_s: the shortest time of a turn at the server, without its queue. computed_per_s: the most prompt tokens that
    the server computed in a second so far.
    """

    def __init__(self) -> None:
        self.growth = Recent()
        self.alone_s: float | None = None
        self.computed_per_s: float | None = None
        self._tools: deque[float] = deque(maxlen=_RECENT)
        self._ended: dict[int, tuple[float, int]] = {}
        self._computed: dict[int, int] = {}

    def arrive(self, place: int, tokens: int, now: float) -> None:
        ended = self._ended.pop(place, None)
        if ended is not None:
            self._tools.append(now - ended[0])
            self.growth.add(max(0, tokens - ended[1]))

    def answered(self, place: int, turn: Turn, now: float) -> None:
        self._ended[place] = (now, turn.prompt + turn.output)
        if turn.prefill_s is None or turn.decode_s is None:
            return
        served = turn.prefill_s + turn.decode_s
        self.alone_s = served if self.alone_s is None else min(self.alone_s, served)
        if turn.cached is not None:
            self._compute(now - turn.decode_s, turn.prompt - turn.cached)

    def tool_s(self, now: float) -> float | None:
        """Mean time between a turn's end and the task's next turn; None before a few came back.

        Those still away count with the time they have been: the first to come back are the quick ones.
        """
        if len(self._tools) < _FEW:
            return None
        away = sum(now - since for since, _ in self._ended.values())
        return (sum(self._tools) + away) / len(self._tools)

    def left(self, place: int) -> None:
        self._ended.pop(place, None)

    def _compute(self, first_token: float, tokens: int) -> None:
        """A prompt was computed just before its first token; answers come out of order, so their seconds are kept."""
        second = int(first_token / _SPAN_S)
        self._computed[second] = self._computed.get(second, 0) + tokens
        self.computed_per_s = max(self.computed_per_s or 0.0, self._computed[second] / _SPAN_S)
        if len(self._computed) > _SPANS:
            del self._computed[min(self._computed)]
