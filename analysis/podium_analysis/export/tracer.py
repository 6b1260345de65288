"""Log events become spans of a trace: a task, its turns, and inside a turn the waits, the calls and the tool.

The events of a row come in order of their end, so what encloses others is written after them; every span is cut to
the one around it, so rows nest and no duration is negative whatever the log holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from podium_contracts.events import check_schema

from podium_analysis.export.spans import TASKS_PID, Call, Span, TraceWriter

_OWN_PART: Final[dict[str, tuple[str, str]]] = {
    # tool: (what comes first and has llm_call events of its own, the part that only tool_call records)
    "search": ("query_ms", "retrieval_ms"),
    "enhance_reasoning": ("expert_ms", "exec_ms"),
}
_RETRIEVAL_PARTS: Final = (
    ("retrieval_queue_ms", "queue"),
    ("retrieval_encode_ms", "encode"),
    ("retrieval_search_ms", "index search"),
    ("web_ms", "web"),
)
_CALL_PARTS: Final = (
    ("queue_ms", "queue"),
    ("prefill_ms", "prefill"),
    ("decode_ms", "decode"),
    ("overhead_ms", "overhead"),
)


@dataclass(slots=True)
class _Task:
    tid: int
    start: float | None = None
    last: float = 0.0
    step: int | None = None
    turn_start: float = 0.0
    floor: float = 0.0
    """Where the last finished span of this row ended: nothing later may begin before it."""
    calls: list[Call] = field(default_factory=list[Call])
    """Finished model calls of the current step that belong inside a tool that has not ended yet."""


class Tracer:
    """Turns events, in the order of the log, into spans."""

    def __init__(self, writer: TraceWriter) -> None:
        self.writer = writer
        self.open: dict[tuple[str, int], _Task] = {}
        self.tids: dict[tuple[str, int], int] = {}
        self.ends: dict[tuple[str, int], float] = {}
        """Where a row's last finished task ended: a later attempt at it may not begin before."""
        self.offsets: dict[int, float] = {}
        """Segment to where it begins: segments lie end to end, the pauses between them are not drawn."""
        self.end = 0.0

    def at(self, event: Mapping[str, Any]) -> float:
        """When the event was written, in ms of the run's own time."""
        segment = int(event.get("segment") or 1)
        now = self.offsets.setdefault(segment, self.end) + float(event["mono_ms"])
        self.end = max(self.end, now)
        return now

    def feed(self, event: Mapping[str, Any]) -> None:
        now = self.at(event)
        kind = event["type"]
        if kind == "run_start":
            check_schema(int(event["schema_version"]))
            for key in list(self.open):  # tasks that the end of the last segment cut off
                self.finish(key, self.open[key].last, {"status": "cut off"})
            return
        if event.get("task_id") is None:
            return
        key = (str(event["task_id"]), int(event.get("epoch") or 1))
        if kind == "judge" and key not in self.open:
            return  # a rejudgement, long after the task
        task = self.task(key, event)
        if kind == "task_start":
            if task.start is not None:
                self.finish(key, task.last, {"status": "cut off"})
                task = self.task(key, event)
            task.start = task.floor = task.turn_start = task.last = max(now, task.floor)
        elif kind == "llm_call":
            self.llm_call(task, event, now)
        elif kind == "tool_call":
            self.tool_call(task, event, now)
        elif kind == "task_complete":
            args = {k: event.get(k) for k in ("status", "ending", "correct", "rounds", "cost_usd", "error_type")}
            if task.start is None:  # its start and turns were filtered away by the log level, or torn off
                task.start = max(now - float(event["duration_ms"]), self.ends.get(key, 0.0))
            self.finish(key, now, args)
            return
        task.last = max(task.last, now)

    def task(self, key: tuple[str, int], event: Mapping[str, Any]) -> _Task:
        task = self.open.get(key)
        if task is None:
            tid = self.tids.get(key)
            if tid is None:
                tid = self.tids[key] = len(self.tids) + 1
                name = key[0] if key[1] == 1 else f"{key[0]} #{key[1]}"
                self.writer.metadata("thread_name", TASKS_PID, tid, {"name": name})
                self.writer.metadata("thread_sort_index", TASKS_PID, tid, {"sort_index": tid})
            end = self.ends.get(key, 0.0)
            task = self.open[key] = _Task(tid, floor=end, turn_start=end)
        return task

    def llm_call(self, task: _Task, event: Mapping[str, Any], now: float) -> None:
        wait = float(event.get("wait_ms") or 0.0)
        begin = now - float(event["duration_ms"])
        name = str(event["role"]) if not event.get("alias") else f"{event['role']} {event['alias']}"
        args = {
            k: event.get(k)
            for k in (
                "model", "provider", "prompt_tokens", "cached_tokens", "completion_tokens", "attempts",
                "finish_reason", "timing_source", "cost_usd", "error_type",
            )
        }  # fmt: skip
        span = Span(name, begin, now, "llm", args)
        call = Call(span, wait, tuple(_split(event, span)))
        if event["role"] == "orchestrator":
            self.close_turn(task)
            task.step = int(event.get("step") or 0)
            task.turn_start = max(begin - wait, task.floor)
            if task.start is None:
                task.start = task.turn_start
            task.floor = self.call(task, call, task.turn_start, max(now, task.turn_start))
        else:
            task.calls.append(call)

    def close_turn(self, task: _Task) -> None:
        """A turn encloses what was written since it began: parents may follow children in the file."""
        if task.step is not None:
            if task.calls:  # a tool that never ended: its calls still count
                for call in task.calls:
                    task.floor = self.call(task, call, task.floor, max(call.span.end, task.floor))
                task.calls = []
            if task.floor > task.turn_start:
                self.writer.span(
                    task.tid, Span(f"turn {task.step}", task.turn_start, task.floor, "turn", {"step": task.step})
                )
        task.step = None

    def tool_call(self, task: _Task, event: Mapping[str, Any], now: float) -> None:
        name = str(event["tool"]) or "no tool"
        args = {
            k: event.get(k)
            for k in (
                "alias", "model", "status", "error_type", "exec_status", "n_documents", "n_new_documents",
                "retrieval_batch_size",
            )
        }  # fmt: skip
        tool = Span(name, max(now - float(event["duration_total_ms"]), task.floor), now, "tool", args)
        if tool.end <= tool.start:
            task.calls = []
            return
        if task.start is None:
            task.start = tool.start
        self.writer.span(task.tid, tool)
        at = tool.start
        for call in task.calls:
            at = self.call(task, call, at, tool.end)
        task.calls = []
        for part, took in _added_parts(event):  # one after another, as they were noted
            stop = max(at, min(at + took, tool.end))
            if stop > at:
                self.writer.span(task.tid, Span(part, at, stop, "part"))
            at = stop
        before, own = _OWN_PART.get(name, (None, None))
        if own and event.get(own) and before:
            start = min(max(at, tool.start + float(event.get(before) or 0.0)), tool.end)
            end = min(start + float(event[own]), tool.end)
            self.writer.span(task.tid, Span(own.removesuffix("_ms"), start, end, "part"))
            for field_name, label in _RETRIEVAL_PARTS if name == "search" else ():
                took = event.get(field_name)
                if took:
                    stop = min(end, start + float(took))
                    self.writer.span(task.tid, Span(label, start, stop, "part"))
                    start = stop
        task.floor = tool.end

    def call(self, task: _Task, call: Call, low: float, high: float) -> float:
        """An expert's or judge's call with its wait and parts, kept within low and high. Returns where it ended."""
        start = min(max(call.span.start, low), high)
        end = min(max(call.span.end, start), high)
        if call.wait_ms:
            self.writer.span(task.tid, Span("wait", max(low, start - call.wait_ms), start, "wait"))
        self.writer.span(task.tid, Span(call.span.name, start, end, "llm", call.span.args))
        for part in call.parts:
            begin, stop = min(max(part.start, start), end), min(max(part.end, start), end)
            if stop > begin:
                self.writer.span(task.tid, Span(part.name, begin, stop, "part"))
        return end

    def finish(self, key: tuple[str, int], now: float, args: dict[str, Any]) -> None:
        task = self.open.pop(key)
        self.close_turn(task)
        start = task.start if task.start is not None else task.turn_start
        end = max(now, task.floor, start)
        self.writer.span(task.tid, Span(key[0], start, end, "task", args))
        self.ends[key] = end

    def close(self) -> None:
        for key in list(self.open):
            self.finish(key, self.open[key].last, {"status": "in flight"})


def _added_parts(event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The own parts of a tool that is not built in."""
    parts: Any = event.get("parts_ms")
    for part, took in cast("dict[str, Any]", parts).items() if isinstance(parts, dict) else ():
        if isinstance(took, int | float):
            yield part, float(took)


def _split(event: Mapping[str, Any], call: Span) -> Iterator[Span]:
    """The server's parts one after another from the call's start; where in the call its overhead lies is not known,
    so it is drawn last."""
    at = call.start
    for name, label in _CALL_PARTS:
        took = event.get(name)
        if took is not None and took > 0:
            yield Span(label, at, at + float(took), "part")
            at += float(took)
