"""Counts of a run as its events pass: what progress, heartbeat, monitor and budget read."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from podium_contracts.events import Breaker, Event, Limit, LlmCall, TaskComplete, ToolCall

from podium_eval.clock import Clock

_WINDOW_S: Final = 60.0


@dataclass(slots=True)
class InFlight:
    """One running task: since when (monotonic seconds), and what it is doing."""

    task_id: str
    epoch: int
    since: float
    where: Callable[[], tuple[int, str]]
    """Its turn and what the turn is doing."""


@dataclass(slots=True)
class Meter:
    """total: tasks of this segment. before: finished in earlier ones. spent_usd: known prices only, all segments."""

    clock: Clock
    total: int
    before: int = 0
    spent_usd: float = 0.0
    n_unpriced: int = 0
    done: int = 0
    correct: int = 0
    ungraded: int = 0
    skipped: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])
    web_failures: Counter[str] = field(default_factory=Counter[str])
    """Searches for which the web failed, by why."""
    in_flight: dict[str, InFlight] = field(default_factory=dict[str, InFlight])
    breakers: dict[str, str] = field(default_factory=dict[str, str])
    lockouts: dict[str, float] = field(default_factory=dict[str, float])
    """Providers that take no calls, each until a reading of the monotonic clock."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    began: float = 0.0
    last_finish: float = 0.0
    _recent: deque[tuple[int, int, int]] = field(default_factory=deque[tuple[int, int, int]])
    """Prompt and completion tokens by whole second; an entry for each call would be tens of thousands a minute."""

    def __post_init__(self) -> None:
        self.began = self.last_finish = self.clock.mono()

    def observe(self, event: Event) -> None:
        """An EventLog observer."""
        if isinstance(event, LlmCall):
            self._call(event)
        elif isinstance(event, ToolCall):
            self.spent_usd += event.cost_usd or 0.0
            self.n_unpriced += event.n_unpriced
            if event.web_error is not None:
                self.web_failures[event.web_error] += 1
        elif isinstance(event, TaskComplete):
            self._task(event)
        elif isinstance(event, Limit):
            if event.locked_out_ms is not None:
                self.lockouts[event.provider] = self.clock.mono() + event.locked_out_ms / 1000
        elif isinstance(event, Breaker):
            if event.state == "closed":
                self.breakers.pop(event.service, None)
            else:
                self.breakers[event.service] = event.state

    def again(self, error_type: str) -> None:
        """A task that had ended in this error runs again."""
        self.errors[error_type] -= 1
        if not self.errors[error_type]:
            del self.errors[error_type]

    @property
    def locked_out(self) -> list[str]:
        """The providers that take no calls now."""
        now = self.clock.mono()
        return sorted(provider for provider, until in self.lockouts.items() if until > now)

    @property
    def finished(self) -> int:
        """Tasks that this segment ended."""
        return self.done + self.skipped + sum(self.errors.values())

    @property
    def left(self) -> int:
        return self.total - self.finished

    @property
    def elapsed_s(self) -> float:
        return self.clock.mono() - self.began

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; None before the first end."""
        return self.elapsed_s / self.finished * self.left if self.finished else None

    def tokens_per_s(self, window_s: float = _WINDOW_S) -> tuple[float, float]:
        """(prompt, completion) tokens a second over the last window."""
        now = self.clock.mono()
        self._forget(now - window_s)
        span = max(1.0, min(window_s, now - self.began))
        return sum(p for _, p, _ in self._recent) / span, sum(c for _, _, c in self._recent) / span

    def oldest(self, n: int) -> list[InFlight]:
        """The tasks that have run longest."""
        return sorted(self.in_flight.values(), key=lambda task: task.since)[:n]

    def _forget(self, before: float) -> None:
        while self._recent and self._recent[0][0] < before:
            self._recent.popleft()

    def _count(self, second: int, prompt: int, completion: int) -> None:
        if self._recent and self._recent[-1][0] == second:
            _, before, completed = self._recent.pop()
            prompt, completion = before + prompt, completed + completion
        self._recent.append((second, prompt, completion))

    def _call(self, event: LlmCall) -> None:
        self.calls += 1
        prompt, completion = event.prompt_tokens or 0, event.completion_tokens or 0
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self._count(int(self.clock.mono()), prompt, completion)
        if event.cost_usd is not None:
            self.spent_usd += event.cost_usd
        elif event.error_type is None:
            self.n_unpriced += 1
        self._forget(self.clock.mono() - _WINDOW_S)

    def _task(self, event: TaskComplete) -> None:
        self.last_finish = self.clock.mono()
        if event.status == "done":
            self.done += 1
            self.correct += event.correct is True
            self.ungraded += event.correct is None
        elif event.status == "skipped":
            self.skipped += 1
        else:
            self.errors[event.error_type or "internal"] += 1
