"""trace.json: the log as a Chrome trace, for Perfetto (ui.perfetto.dev, open file) or chrome://tracing.

One row a task; on it the task, its turns, in a turn the waits, the orchestrator's call with its queue, prefill, decode
and overhead, and the tool with its parts. One row of counters a service, from samples.jsonl. The log is read once and
written as it is read: memory holds the tasks in flight, not the run.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from podium_contracts.events import check_schema

TASKS_PID: Final = 1
COUNTERS_PID: Final = 2

_TOOL_PARTS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    # In the order in which a tool does them; an expert's or judge's call is drawn from its own llm_call event.
    "search": (("query_ms", "query"), ("retrieval_ms", "retrieval")),
    "enhance_reasoning": (("expert_ms", "expert"), ("exec_ms", "execution")),
    "answer": (("expert_ms", "expert"), ("judge_ms", "judge")),
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
_COUNTERS: Final = (
    # name of the counter, where it is in a sample
    ("tasks in flight", ("in_flight",)),
    ("event loop lag ms", ("loop_lag_ms",)),
    ("vllm running", ("vllm", "running")),
    ("vllm waiting", ("vllm", "waiting")),
    ("vllm KV use %", ("vllm", "kv_use")),
    ("vllm preemptions", ("vllm", "preemptions_total")),
    ("retrieval queue", ("retrieval", "queue")),
    ("retrieval batch size", ("retrieval", "batch_size")),
)


@dataclass(slots=True)
class Span:
    """Milliseconds since the run's first event."""

    name: str
    start: float
    end: float
    category: str
    args: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class _Task:
    tid: int
    start: float | None = None
    last: float = 0.0
    step: int | None = None
    turn_start: float = 0.0
    floor: float = 0.0
    """Where the last finished span of this row ended: nothing later may begin before it."""
    calls: list[Span] = field(default_factory=list[Span])
    """Finished model calls of the current step that belong inside a tool that has not ended yet."""


@dataclass(frozen=True, slots=True)
class TraceFile:
    path: Path
    n_events: int
    n_tasks: int
    bad_lines: tuple[int, ...]


class _Writer:
    """Writes spans as complete events; a child is cut to its parent, so rows always nest and no duration is negative."""

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


class _Tracer:
    """Turns events, in the order of the log, into spans."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer
        self.open: dict[tuple[str, int], _Task] = {}
        self.tids: dict[tuple[str, int], int] = {}
        self.offsets: dict[int, float] = {}
        """Segment to the milliseconds between the run's first event and that segment's mono_ms of 0."""
        self.origin: float | None = None
        self.end = 0.0

    def at(self, event: Mapping[str, Any]) -> float:
        """When the event was written, in ms since the run began. Segments are joined by the wall clock."""
        segment = int(event.get("segment") or 1)
        mono = float(event["mono_ms"])
        if segment not in self.offsets:
            wall = datetime.fromisoformat(str(event["ts"])).timestamp() * 1000 - mono
            if self.origin is None:
                self.origin = wall
            # A clock that was set back must not lay a segment over the one before it.
            self.offsets[segment] = max(wall - self.origin, self.end if self.offsets else 0.0)
        now = self.offsets[segment] + mono
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
            task.start = task.floor = task.turn_start = task.last = now
        elif kind == "llm_call":
            self.llm_call(task, event, now)
        elif kind == "tool_call":
            self.tool_call(task, event, now)
        elif kind == "task_complete":
            args = {k: event.get(k) for k in ("status", "ending", "correct", "rounds", "cost_usd", "error_type")}
            if task.start is None:
                task.start = max(0.0, now - float(event["duration_ms"]))
                task.floor = max(task.floor, task.start)
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
            task = self.open[key] = _Task(tid)
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
        call = Span(name, begin, now, "llm", args)
        call_parts = Span("wait", begin - wait, begin, "wait")
        if event["role"] == "orchestrator":
            self.new_turn(task, event, begin - wait)
            for span in (call_parts, call):
                self.put(task, span, _split(event, span) if span is call else ())
        else:
            args["parts"] = [_as_list(part) for part in _split(event, call)]
            args["wait_ms"] = wait or None
            task.calls.append(call)

    def new_turn(self, task: _Task, event: Mapping[str, Any], begin: float) -> None:
        self.close_turn(task)
        task.step = int(event.get("step") or 0)
        task.turn_start = max(begin, task.floor)

    def close_turn(self, task: _Task) -> None:
        """A turn encloses what was written since it began: parents may follow children in the file."""
        if task.step is not None:
            if task.calls:  # a tool that never ended: its calls still count
                for call in task.calls:
                    self.call(task, call, call.start, call.end)
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
        start, calls = tool.start, task.calls
        task.calls = []
        self.writer.span(task.tid, tool)
        at = tool.start
        for call in calls:
            at = self.call(task, call, max(at, tool.start), tool.end)
        at = tool.start
        for field_name, label in _TOOL_PARTS.get(name, ()):
            took = event.get(field_name)
            if took is None:
                continue
            end = min(tool.end, at + float(took))
            if label in ("retrieval", "execution"):
                self.writer.span(task.tid, Span(label, at, end, "part"))
                if label == "retrieval":
                    self.pieces(task, event, at, end)
            at = end
        task.floor = max(task.floor, tool.end, start)

    def pieces(self, task: _Task, event: Mapping[str, Any], at: float, end: float) -> None:
        for field_name, label in _RETRIEVAL_PARTS:
            took = event.get(field_name)
            if took:
                stop = min(end, at + float(took))
                self.writer.span(task.tid, Span(label, at, stop, "part"))
                at = stop

    def call(self, task: _Task, call: Span, low: float, high: float) -> float:
        """An expert's or judge's call with its wait and parts, kept within low and high. Returns where it ended."""
        parts = call.args.pop("parts", [])
        wait = float(call.args.pop("wait_ms", None) or 0.0)
        start = min(max(call.start, low), high)
        end = min(max(call.end, start), high)
        if wait:
            self.writer.span(task.tid, Span("wait", max(low, start - wait), start, "wait"))
        self.writer.span(task.tid, Span(call.name, start, end, "llm", call.args))
        for label, begin, stop in parts:
            begin, stop = min(max(begin, start), end), min(max(stop, start), end)
            if stop > begin:
                self.writer.span(task.tid, Span(label, begin, stop, "part"))
        return end

    def put(self, task: _Task, span: Span, parts: Iterator[Span] | tuple[()] = ()) -> None:
        span.start = max(span.start, task.floor)
        if span.end <= span.start:
            return
        self.writer.span(task.tid, span)
        for part in parts:
            part.start, part.end = max(part.start, span.start), min(part.end, span.end)
            if part.end > part.start:
                self.writer.span(task.tid, part)
        task.floor = span.end

    def finish(self, key: tuple[str, int], now: float, args: dict[str, Any]) -> None:
        task = self.open.pop(key)
        self.close_turn(task)
        start = task.start if task.start is not None else task.turn_start
        self.writer.span(task.tid, Span(key[0], min(start, now), max(now, task.floor), "task", args))

    def close(self) -> None:
        for key in list(self.open):
            self.finish(key, self.open[key].last, {"status": "in flight"})


def write_trace(run_dir: Path, out: Path | None = None) -> TraceFile:
    """Write `out` (default analysis/trace.json of the run). Lines that are no events are skipped and named.

    Raises:
        FileNotFoundError: no events.jsonl. NewerSchema: the log is newer than this code.
    """
    out = out or run_dir / "analysis" / "trace.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    bad: list[int] = []
    temporary = out.with_name(f".{out.name}.tmp")
    with (run_dir / "events.jsonl").open("rb") as log, temporary.open("wb") as sink:
        writer = _Writer(sink)
        writer.metadata("process_name", TASKS_PID, 0, {"name": f"tasks of {run_dir.name}"})
        writer.metadata("process_name", COUNTERS_PID, 0, {"name": "services"})
        tracer = _Tracer(writer)
        for number, line in enumerate(log, 1):
            try:
                event = orjson.loads(line)
                if "type" not in event:
                    raise KeyError("type")
            except (orjson.JSONDecodeError, KeyError, TypeError):
                bad.append(number)
                continue
            try:
                tracer.feed(event)
            except (KeyError, TypeError) as error:
                raise ValueError(f"{run_dir / 'events.jsonl'} line {number}: {error!r} in {event['type']}") from error
        tracer.close()
        _counters(run_dir, tracer, writer)
        writer.close()
    temporary.replace(out)
    return TraceFile(out, writer.n, len(tracer.tids), tuple(bad))


def _counters(run_dir: Path, tracer: _Tracer, writer: _Writer) -> None:
    try:
        samples = (run_dir / "samples.jsonl").open("rb")
    except FileNotFoundError:
        return
    with samples:
        for line in samples:
            try:
                sample = orjson.loads(line)
                ts = round(tracer.at(sample) * 1000)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue  # the last line of a run that is still going may be cut off
            for name, path in _COUNTERS:
                value: Any = sample
                for part in path:
                    value = value.get(part) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                if isinstance(value, int | float):
                    shown = value * 100 if name.endswith("%") else value
                    writer.event(
                        {"ph": "C", "name": name, "pid": COUNTERS_PID, "tid": 0, "ts": ts, "args": {"value": shown}}
                    )


def _split(event: Mapping[str, Any], call: Span) -> Iterator[Span]:
    """The server's parts one after another from the call's start; where in the call its overhead lies is not known,
    so it is drawn last."""
    at = call.start
    for name, label in _CALL_PARTS:
        took = event.get(name)
        if took is not None and took > 0:
            yield Span(label, at, at + float(took), "part")
            at += float(took)


def _as_list(span: Span) -> list[Any]:
    return [span.name, span.start, span.end]


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `trace` to podium-analysis."""
    parser = subparsers.add_parser("trace", help="write trace.json for Perfetto: a row a task, spans and counters")
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("-o", "--out", type=Path, help="default: RUN/analysis/trace.json")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 when there is no readable log."""
    try:
        made = write_trace(args.run_dir, args.out)
    except (OSError, ValueError) as error:
        print(f"podium-analysis trace: {error}", file=sys.stderr)
        return 2
    for number in made.bad_lines:
        print(f"podium-analysis trace: line {number} is no event; skipped", file=sys.stderr)
    print(f"{made.path}: {made.n_events:,} trace events of {made.n_tasks:,} tasks; open it at ui.perfetto.dev")
    return 0
