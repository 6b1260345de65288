"""Counts of a run as its log is read: the same that the report counts, without reading anything twice."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from podium_analysis.scoring.scores import Sample, Score, outcome_of, score

from podium_live.follow.parts import Key, key_of

WINDOW_S: Final = 60.0
"""Over which turns and tokens a second are taken."""
TEXT: Final = 500
"""Characters kept of an error's message."""


@dataclass(slots=True)
class InFlight:
    """since_ms: of the segment's clock. doing: what the log last told of it."""

    since_ms: float
    step: int = 1
    doing: str = "orchestrator"


@dataclass(slots=True)
class Segment:
    """The newest start of the run. began_s: by the wall clock."""

    n: int = 1
    began_s: float | None = None
    last_ms: float = 0.0
    n_before: int = 0
    n_ended: int = 0
    reason: str | None = None


@dataclass(slots=True)
class Fault:
    """Errors of one kind. first: the text of the first of them."""

    of: str
    error_type: str
    n: int = 0
    first: str = ""


@dataclass(slots=True)
class Totals:
    """Everything in it follows from the events observed so far. wall: seconds of the wall clock."""

    wall: Callable[[], float] = time.time
    start: dict[str, Any] = field(default_factory=dict[str, Any])
    segment: Segment = field(default_factory=Segment)
    ended: dict[Key, dict[str, Any]] = field(default_factory=dict[Key, dict[str, Any]])
    in_flight: dict[Key, InFlight] = field(default_factory=dict[Key, InFlight])
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict[tuple[str, str], Fault])
    limits: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    breakers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    controls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    spent_usd: float | None = None
    """Known prices alone; None: no call had one."""
    n_unpriced: int = 0
    n_turns: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    n_events: int = 0
    paused: bool = False
    still: bool = False
    """Nothing was written for so long that the process counts as gone."""
    _recent: deque[list[float]] = field(default_factory=deque[list[float]])
    """Whole second of the segment, turns, prompt and completion tokens in it."""

    def observe(self, event: dict[str, Any]) -> None:
        """The log's next event."""
        self.n_events += 1
        at = event.get("mono_ms")
        if isinstance(at, int | float) and at > self.segment.last_ms:
            self.segment.last_ms = float(at)
        handler = _HANDLERS.get(str(event.get("type")))
        if handler is not None:
            handler(self, event)

    @property
    def n_tasks(self) -> int | None:
        return self.start.get("n_tasks")

    @property
    def on(self) -> bool:
        """The newest segment has not written its end, and was not stopped hard."""
        return bool(self.start) and self.segment.reason is None and not self.still

    def now_ms(self) -> float:
        """The segment's clock now, by the wall clock where the run is on."""
        segment = self.segment
        if not self.on or segment.began_s is None:
            return segment.last_ms
        return max(segment.last_ms, (self.wall() - segment.began_s) * 1000)

    def eta_s(self) -> float | None:
        """Seconds left at this segment's pace so far; None before its first end and after its own."""
        segment = self.segment
        if not self.on or not segment.n_ended or self.n_tasks is None:
            return None
        left = self.n_tasks - segment.n_before - segment.n_ended
        return self.now_ms() / 1000 / segment.n_ended * max(0, left)

    def rates(self) -> tuple[float, float, float]:
        """Turns, prompt tokens and completion tokens a second over the last WINDOW_S; of all of it once ended."""
        now = self.now_ms() / 1000
        span = max(1.0, min(WINDOW_S, now))
        recent = [entry for entry in self._recent if entry[0] >= now - WINDOW_S]
        turns, prompt, completion = (sum(entry[k] for entry in recent) / span for k in (1, 2, 3))
        return turns, prompt, completion

    def score(self) -> Score | None:
        """As the report scores what there is; None before the first end."""
        if not self.ended:
            return None
        samples = [
            Sample(
                *key,
                outcome_of(str(end.get("status")), str(end.get("ending")), end.get("correct")),
                end.get("confidence"),
            )
            for key, end in self.ended.items()
        ]
        total = None if self.segment.reason == "half_width" else self.n_tasks
        return score(samples, None if total is None else max(total, len(samples)))

    def _run_start(self, event: dict[str, Any]) -> None:
        self.start = event
        self.segment = Segment(int(event.get("segment") or 1), _wall(event), n_before=int(event.get("n_finished") or 0))
        if isinstance(event.get("mono_ms"), int | float) and self.segment.began_s is not None:
            self.segment.began_s -= event["mono_ms"] / 1000
        self.in_flight.clear()
        self.breakers.clear()
        self._recent.clear()
        self.paused = False

    def _task_start(self, event: dict[str, Any]) -> None:
        self.in_flight[key_of(event)] = InFlight(float(event.get("mono_ms") or 0.0), event.get("resumed_at_step") or 1)

    def _llm_call(self, event: dict[str, Any]) -> None:
        prompt, completion = event.get("prompt_tokens") or 0, event.get("completion_tokens") or 0
        turn = event.get("role") == "orchestrator" and event.get("error_type") is None
        self.n_turns += turn
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        second = float(event.get("mono_ms") or 0.0) // 1000
        if not self._recent or self._recent[-1][0] < second:
            self._recent.append([second, 0, 0, 0])
            while self._recent[0][0] < second - 2 * WINDOW_S:
                self._recent.popleft()
        entry = self._recent[-1]
        entry[1] += turn
        entry[2] += prompt
        entry[3] += completion
        if not event.get("rejudge"):
            self._charge(event, int(event.get("cost_usd") is None and event.get("error_type") is None))
        self._fault("model call", event)
        if (task := self.in_flight.get(key_of(event))) is not None:
            task.step = event.get("step") or task.step
            role = event.get("role")
            task.doing = "a tool" if role == "orchestrator" else str(event.get("tool") or role)

    def _tool_call(self, event: dict[str, Any]) -> None:
        self._charge(event, int(event.get("n_unpriced") or 0))
        self._fault("tool", event)
        if (task := self.in_flight.get(key_of(event))) is not None:
            task.step = (event.get("step") or task.step) + 1
            task.doing = "orchestrator"

    def _charge(self, event: dict[str, Any], n_unpriced: int) -> None:
        usd = event.get("cost_usd")
        if isinstance(usd, int | float):
            self.spent_usd = (self.spent_usd or 0.0) + usd
        self.n_unpriced += n_unpriced

    def _fault(self, of: str, event: dict[str, Any]) -> None:
        error = event.get("error_type")
        if error is None:
            return
        fault = self.faults.setdefault((of, str(error)), Fault(of, str(error)))
        fault.n += 1
        fault.first = fault.first or str(event.get("error_message") or "")[:TEXT]

    def _judge(self, event: dict[str, Any]) -> None:
        self._fault("judgement", event)

    def _limit(self, event: dict[str, Any]) -> None:
        self.limits[str(event.get("provider"))] = event

    def _breaker(self, event: dict[str, Any]) -> None:
        self.breakers[str(event.get("service"))] = event

    def _control(self, event: dict[str, Any]) -> None:
        self.controls.append(event)
        act = event.get("act")
        if act in ("pause", "resume"):
            self.paused = act == "pause"
        elif act == "concurrency":
            self.start = {**self.start, "concurrency": event.get("value")}
        elif act == "requeue" and event.get("step") is not None:
            self.in_flight.pop(key_of(event), None)

    def _task_complete(self, event: dict[str, Any]) -> None:
        key = key_of(event)
        self.in_flight.pop(key, None)
        self.segment.n_ended += 1
        self.ended.pop(key, None)
        self.ended[key] = event
        self._fault("task", event)

    def _run_end(self, event: dict[str, Any]) -> None:
        self.segment.reason = str(event.get("reason"))
        self.in_flight.clear()


_HANDLERS: Final[dict[str, Callable[[Totals, dict[str, Any]], None]]] = {
    name: getattr(Totals, f"_{name}")
    for name in (
        *("run_start", "task_start", "llm_call", "tool_call", "judge"),
        *("limit", "breaker", "control", "task_complete", "run_end"),
    )
}


def _wall(event: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(event.get("ts"))).timestamp()
    except ValueError:
        return None
