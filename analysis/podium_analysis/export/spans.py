"""Spans of a trace, and how they are written: as complete events of the trace event format."""

from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import orjson

TASKS_PID: Final = 1
COUNTERS_PID: Final = 2


@dataclass(slots=True)
class Span:
    """Milliseconds since the run's first event."""

    name: str
    start: float
    end: float
    category: str
    args: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Call:
    """A model call, what it waited before, and its parts one after another."""

    span: Span
    wait_ms: float
    parts: tuple[Span, ...]


class TraceWriter:
    """Writes spans as complete events, in whole microseconds rounded the same way everywhere, so that nesting holds."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.n = 0
        out.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')

    def event(self, event: dict[str, Any]) -> None:
        if self.n:
            self.out.write(b",\n")
        self.out.write(orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS))
        self.n += 1

    def span(self, tid: int, span: Span) -> None:
        start, end = round(span.start * 1000), round(span.end * 1000)
        event: dict[str, Any] = {
            "ph": "X",
            "name": span.name,
            "cat": span.category,
            "pid": TASKS_PID,
            "tid": tid,
            "ts": start,
            "dur": max(0, end - start),
        }
        args = {k: v for k, v in span.args.items() if v is not None}
        if args:
            event["args"] = args
        self.event(event)

    def metadata(self, name: str, pid: int, tid: int, args: dict[str, Any]) -> None:
        self.event({"ph": "M", "name": name, "pid": pid, "tid": tid, "ts": 0, "args": args})

    def close(self) -> None:
        self.out.write(b"\n]}\n")
