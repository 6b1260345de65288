"""The order that adapts: tasks keep their prompts cached where that pays, and the server's own order rules where not.

Holding means that the tasks taken first go first, and that a turn waits while those under way and those in their tools
fill the cache. The tasks that fit make at most `cache / context / (tool + turn)` turns a second, for each is back after
its tool and its turn. Served as they come, they find their prompts evicted, and the server makes at most `tokens it
computes in a second / context`. So holding pays when to fill the cache anew takes longer than a task is away:
`cache / computed tokens a second > tool + turn`. docs/serving.md has the measurements.
"""

from typing import Final

from podium_eval.scheduling.observed import Observed, Recent
from podium_eval.scheduling.order import Turn

_FILL: Final = 0.95
"""Share of the cache that is given out: the server's blocks round up, and a growth is a mean."""

_RUNNING: Final = 0.6
"""Share of the tasks that fit which may be at the server at once: all of them at once come back at once."""

_GAIN: Final = 1.25
"""How many times more turns holding must promise; holding makes the tasks behind wait longer."""

_GROWTH: Final = 2000
"""What a turn adds to a context, in tokens, until turns have shown it."""

_IDLE: Final = 8
"""Turns at the server, in the mean, below which it has time to spare while others wait here."""

_START: Final = 128
"""Turns at the server at once until a few tools have come back: enough to fill it; few begin what must then wait."""

_LEAST: Final = 4
"""Turns at the server at once, however small the cache."""


class Adaptive:
    """kv_tokens: what the server's cache holds. longest_wait_s: after that wait a turn is admitted in any case."""

    def __init__(self, kv_tokens: int, *, at_once: int, longest_wait_s: float) -> None:
        self._kv_tokens = kv_tokens
        self._at_once = at_once
        self._longest_wait_s = longest_wait_s
        self._seen = Observed()
        self._waiting: dict[int, tuple[float, int]] = {}
        self._running: set[int] = set()
        self._held: dict[int, int] = {}
        self._few = Recent(64)
        self.holding = True

    def arrive(self, place: int, tokens: int, now: float) -> None:
        self._seen.arrive(place, tokens, now)
        self._held.pop(place, None)
        self._waiting[place] = (now, tokens)

    def answered(self, place: int, turn: Turn | None, now: float) -> None:
        self._few.add(len(self._running))
        self._running.discard(place)
        if turn is None:
            self._held.pop(place, None)
            return
        self._seen.answered(place, turn, now)
        if place in self._held:
            self._held[place] = turn.prompt + turn.output + self._growth
        self.holding = self._pays(now)

    def left(self, place: int, now: float) -> None:
        self._waiting.pop(place, None)
        self._running.discard(place)
        self._held.pop(place, None)
        self._seen.left(place)

    def priority(self, place: int) -> int:
        return place if self.holding else 0

    def admitted(self, now: float) -> list[int]:
        if not self._waiting:
            return []
        if self._seen.tool_s(now) is None:
            going = self._starting(now)
        else:
            going = self._fitting(now) if self.holding else list(self._waiting)
        for place in going:
            self._held[place] = self._waiting.pop(place)[1] + self._growth
            self._running.add(place)
        return going

    def _starting(self, now: float) -> list[int]:
        """Those that have waited too long, then the lowest places while few run and their prompts fit the cache."""
        going = self._late(now)
        used = sum(self._held.values()) - self._growth * len(self._held)
        used += sum(self._waiting[place][1] for place in going)
        for place in sorted(self._waiting.keys() - set(going)):
            used += self._waiting[place][1]
            under_way = len(self._running) + len(going)
            if under_way >= _START or (used > _FILL * self._kv_tokens and under_way >= _LEAST):
                break
            going.append(place)
        return going

    def _late(self, now: float) -> list[int]:
        return [place for place, (since, _) in self._waiting.items() if now - since >= self._longest_wait_s]

    def _fitting(self, now: float) -> list[int]:
        """Those that have waited too long, then the lowest places while there is room."""
        late = self._late(now)
        going, used, growth = list(late), sum(self._held.values()), self._growth
        used += sum(self._waiting[place][1] + growth for place in late)
        most = self._most_running()
        for place in sorted(self._waiting.keys() - set(late)):
            tokens = self._waiting[place][1] + growth
            under_way = len(self._running) + len(going)
            if under_way >= most or (used + tokens > _FILL * self._kv_tokens and under_way >= _LEAST):
                break
            going.append(place)
            used += tokens
        return going

    @property
    def _growth(self) -> int:
        mean = self._seen.growth.mean
        return _GROWTH if mean is None else int(mean)

    def _most_running(self) -> float:
        contexts = [tokens for _, tokens in self._waiting.values()] + list(self._held.values())
        mean = sum(contexts) / len(contexts) + self._growth
        return max(_LEAST, _RUNNING * self._kv_tokens / mean)

    @property
    def _idle(self) -> bool:
        """Turns wait here while the server has few."""
        running = self._few.mean
        return self.holding and bool(self._waiting) and running is not None and running < _IDLE

    def _pays(self, now: float) -> bool:
        tool, alone, rate = self._seen.tool_s(now), self._seen.alone_s, self._seen.computed_per_s
        if tool is None or alone is None or rate is None:
            return self.holding
        return self._kv_tokens >= _GAIN * rate * (tool + alone) and not self._idle
