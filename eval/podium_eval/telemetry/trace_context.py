"""Which span a task's next orchestrator call will be, so that the server's own spans can join it.

The ids follow from the order of the task's events (podium_contracts.otel.ids).
"""

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass

from podium_contracts.events import Event, LlmCall, TaskStart
from podium_contracts.otel.ids import span_id, trace_id, traceparent


@dataclass(slots=True)
class _Task:
    trace: int
    calls: int = 0
    """Orchestrator calls that the log has."""


_playing: ContextVar[_Task | None] = ContextVar("podium_trace", default=None)


def next_traceparent() -> str | None:
    """The header for the orchestrator call that the task of this context makes; None: nothing is traced."""
    task = _playing.get()
    return None if task is None else traceparent(task.trace, span_id(task.trace, "orchestrator", task.calls + 1))


class TraceContext:
    """An EventLog observer. A task's events are emitted in the context in which its calls are made."""

    def __init__(self) -> None:
        self._starts: Counter[tuple[str, int]] = Counter()

    def observe(self, event: Event) -> None:
        """Begin a trace with a task, count its orchestrator calls."""
        if isinstance(event, LlmCall):
            task = _playing.get()
            if task is not None and event.role == "orchestrator":
                task.calls += 1
        elif isinstance(event, TaskStart):
            key = (event.task_id or "", event.epoch)
            self._starts[key] += 1
            _playing.set(_Task(trace_id(event.run_id, event.segment, *key, self._starts[key])))
