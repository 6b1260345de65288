"""Events, in the order of the log, become the spans of one trace a task, by OpenTelemetry's GenAI conventions.

A span ends where its event was written and began its duration before. All times of a segment lie on its monotonic
clock, set by the wall clock at its start.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from podium_contracts.events import check_schema
from podium_contracts.otel import attributes
from podium_contracts.otel.ids import Kind, span_id, trace_id

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
"""The version of the semantic conventions that names and attributes are of; the GenAI part has no stable one yet."""

Record = Mapping[str, Any]
Key = tuple[str, int]


@dataclass(slots=True)
class Moment:
    """An event of a span. time: nanoseconds since 1970."""

    name: str
    time: int
    attributes: dict[str, Any]


@dataclass(slots=True)
class Span:
    """start, end: nanoseconds since 1970. parent: None for a trace's root. error: the failure's name."""

    name: str
    trace: int
    id: int
    parent: int | None
    kind: Literal["internal", "client"]
    start: int
    end: int
    attributes: dict[str, Any]
    error: str | None = None
    moments: list[Moment] = field(default_factory=list[Moment])


@dataclass(slots=True)
class _Open:
    trace: int
    start: int
    segment: int
    last: int
    spans: list[Span] = field(default_factory=list[Span])
    pending: list[Span] = field(default_factory=list[Span])
    """Calls of a tool that has not ended: it becomes their parent."""
    moments: list[Moment] = field(default_factory=list[Moment])
    counts: dict[Kind, int] = field(default_factory=dict[Kind, int])
    provider: str | None = None

    def next_id(self, kind: Kind) -> int:
        n = self.counts[kind] = self.counts.get(kind, 0) + 1
        return span_id(self.trace, kind, n)

    @property
    def root(self) -> int:
        return span_id(self.trace, "task")


class Traces:
    """Takes events, gives back the spans of each task that has ended.

    record: the task's record as JSON by (task_id, epoch), None where there is none; given when content is wanted, which
    is text of questions, models and tools. segment: the only one whose tasks are wanted; None: all.
    """

    def __init__(
        self, record: Callable[[str, int], Record | None] | None = None, *, segment: int | None = None
    ) -> None:
        self._record = record
        self._segment = segment
        self._open: dict[Key, _Open] = {}
        self._starts: dict[tuple[int, Key], int] = {}
        self._zero: dict[int, int] = {}
        """Segment to the wall time of its beginning, in nanoseconds."""
        self._model: str | None = None

    def feed(self, event: Mapping[str, Any]) -> list[Span]:
        """The spans of whatever this event ends; the root last.

        Raises:
            NewerSchema: the log was written by a newer Podium. KeyError, TypeError, ValueError: no event of a log.
        """
        kind, segment = event["type"], int(event.get("segment") or 1)
        if self._segment is not None and segment != self._segment:
            return []
        now = self._at(event, segment)
        if kind == "run_start":
            check_schema(int(event["schema_version"]))
            self._model = event.get("orchestrator_model")
            return self.close()
        if event.get("task_id") is None:
            return []
        key = (str(event["task_id"]), int(event.get("epoch") or 1))
        if kind == "task_start":
            return self._begin(key, event, segment, now)
        task = self._open.get(key)
        if task is None:
            return []  # a task that was never played, or a rejudgement
        task.last = max(task.last, now)
        if kind == "llm_call":
            self._call(task, event, now)
        elif kind == "tool_call":
            self._tool(task, event, now)
        elif kind == "judge":
            task.moments.append(Moment("gen_ai.evaluation.result", now, attributes.evaluation(event)))
        elif kind == "task_complete":
            return self._end(key, event, now)
        return []

    def close(self) -> list[Span]:
        """The spans of tasks that the log never ended, as cut off."""
        cut: list[Span] = []
        for key in list(self._open):
            cut += self._cut(key)
        return cut

    def _at(self, event: Mapping[str, Any], segment: int) -> int:
        mono = round(float(event["mono_ms"]) * 1e6)
        if segment not in self._zero:
            wall = datetime.fromisoformat(str(event["ts"]))
            self._zero[segment] = round(wall.timestamp() * 1000) * 1_000_000 - mono
        return self._zero[segment] + mono

    def _begin(self, key: Key, event: Mapping[str, Any], segment: int, now: int) -> list[Span]:
        before = self._cut(key) if key in self._open else []
        start = self._starts[segment, key] = self._starts.get((segment, key), 0) + 1
        trace = trace_id(str(event["run_id"]), segment, *key, start)
        self._open[key] = _Open(trace, now, segment, now)
        return before

    def _call(self, task: _Open, event: Mapping[str, Any], now: int) -> None:
        orchestrator = event["role"] == "orchestrator"
        values = attributes.chat(event, self._model if orchestrator else None)
        span = Span(
            name=f"chat {event['model']}",
            trace=task.trace,
            id=task.next_id("orchestrator" if orchestrator else "call"),
            parent=task.root,
            kind="client",
            start=now - _ns(event["duration_ms"]),
            end=now,
            attributes=values,
            error=event.get("error_type"),
        )
        task.spans.append(span)
        if orchestrator:
            task.provider = task.provider or event.get("provider")
            task.pending = []
        else:
            task.pending.append(span)

    def _tool(self, task: _Open, event: Mapping[str, Any], now: int) -> None:
        name = str(event["tool"]) or "none"
        error = event.get("error_type") or (None if event.get("status") == "ok" else str(event.get("status")))
        span = Span(
            name=f"execute_tool {name}",
            trace=task.trace,
            id=task.next_id("tool"),
            parent=task.root,
            kind="internal",
            start=now - _ns(event["duration_total_ms"]),
            end=now,
            attributes=attributes.tool(event, name),
            error=error,
        )
        for call in task.pending:
            call.parent = span.id
        task.pending = []
        task.spans.append(span)

    def _cut(self, key: Key) -> list[Span]:
        task = self._open[key]
        names = {"run_id": None, "task_id": key[0], "epoch": key[1], "segment": task.segment, "status": "cut off"}
        return self._end(key, names, task.last)

    def _end(self, key: Key, event: Mapping[str, Any], now: int) -> list[Span]:
        task = self._open.pop(key)
        failed = event.get("status") in ("error", "cut off")
        root = Span(
            name="invoke_agent podium",
            trace=task.trace,
            id=task.root,
            parent=None,
            kind="internal",
            start=task.start,
            end=now,
            attributes=attributes.agent(event, task.provider, self._model),
            error=str(event.get("error_type") or event["status"]) if failed else None,
            moments=task.moments,
        )
        spans = [*task.spans, root]
        if self._record is not None and (record := self._record(*key)) is not None:
            _add_content(spans, record)
        return spans


def _add_content(spans: Iterable[Span], record: Record) -> None:
    turns = {turn.get("step"): turn for turn in record.get("turns") or ()}
    for span in spans:
        if span.parent is None:
            span.attributes |= attributes.agent_content(record)
        elif (turn := turns.get(span.attributes.get("podium.step"))) is not None:
            if span.name.startswith("execute_tool"):
                span.attributes |= attributes.tool_content(turn)
            elif span.attributes.get("podium.role") == "orchestrator":
                span.attributes |= attributes.turn_content(turn)


def _ns(ms: Any) -> int:
    return round(float(ms) * 1e6)
