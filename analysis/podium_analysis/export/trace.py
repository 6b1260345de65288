"""trace.json: the log as a Chrome trace, for Perfetto (ui.perfetto.dev, open file) or chrome://tracing.

One row a task; on it the task, its turns, in a turn the waits, the orchestrator's call with its queue, prefill, decode
and overhead, and the tool with its parts. One row of counters a service, from samples.jsonl. The log is read once and
written as it is read: memory holds the tasks in flight, not the run.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from podium_contracts.files import replacing

from podium_analysis.export.spans import COUNTERS_PID, TASKS_PID, TraceWriter
from podium_analysis.export.tracer import Tracer
from podium_analysis.load.find import run_folder

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


@dataclass(frozen=True, slots=True)
class TraceFile:
    path: Path
    n_events: int
    n_tasks: int
    bad_lines: tuple[int, ...]


def write_trace(run_dir: Path, out: Path | None = None) -> TraceFile:
    """Write `out` (default analysis/trace.json of the run). Lines that are no events are skipped and named.

    Raises:
        FileNotFoundError: no events.jsonl. NewerSchema: the log is newer than this code.
    """
    out = out or run_dir / "analysis" / "trace.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    bad: list[int] = []
    with (run_dir / "events.jsonl").open("rb") as log, replacing(out) as temporary, temporary.open("wb") as sink:
        writer = TraceWriter(sink)
        writer.metadata("process_name", TASKS_PID, 0, {"name": f"tasks of {run_dir.name}"})
        writer.metadata("process_name", COUNTERS_PID, 0, {"name": "services"})
        tracer = Tracer(writer)
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
    return TraceFile(out, writer.n, len(tracer.tids), tuple(bad))


def _counters(run_dir: Path, tracer: Tracer, writer: TraceWriter) -> None:
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
            for name, value in _values(sample):
                writer.event(
                    {"ph": "C", "name": name, "pid": COUNTERS_PID, "tid": 0, "ts": ts, "args": {"value": value}}
                )


def _values(sample: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The counters that the sample has."""
    for name, path in _COUNTERS:
        value: Any = sample
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(value, int | float):
            yield name, value * 100 if name.endswith("%") else value
    for gpu in sample.get("gpus") or ():
        for key, unit in (("util_pct", "use %"), ("power_w", "power W")):
            if isinstance(gpu.get(key), int | float):
                yield f"GPU {gpu.get('index')} {unit}", gpu[key]


def register(subparsers: Any) -> None:
    """Add `trace` to podium-analysis."""
    parser = subparsers.add_parser("trace", help="write trace.json for Perfetto: a row a task, spans and counters")
    parser.add_argument("run", metavar="RUN", help="a run's id or folder")
    parser.add_argument("-o", "--out", type=Path, help="default: RUN/analysis/trace.json")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 when there is no readable log."""
    try:
        made = write_trace(run_folder(args.run), args.out)
    except (OSError, ValueError) as error:
        print(f"podium-analysis trace: {error}", file=sys.stderr)
        return 2
    for number in made.bad_lines:
        print(f"podium-analysis trace: line {number} is no event; skipped", file=sys.stderr)
    print(f"{made.path}: {made.n_events:,} trace events of {made.n_tasks:,} tasks; open it at ui.perfetto.dev")
    return 0
