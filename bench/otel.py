"""What OpenTelemetry costs a run: nothing but ids is made in its process, a process beside it exports from the log.

    python bench/otel.py                     the run's own thread for 1,000,000 events; then pairs of whole runs
    python bench/otel.py --pairs 10 --tasks 512 --latency 0.5

First the event log takes 1,000,000 events of tasks, in blocks with and without trace ids in turn; the difference is the
CPU time of the emitting thread. It is set against the CPU time that podium-eval takes for as many events in the runs
without export. Then runs against the stub (bench/runner.py) in pairs, with a collector that takes everything and
without one, in changing order. The exit status is 1 when the cost of 1,000,000 events is above 1%.
"""

import argparse
import asyncio
import gc
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium_contracts.events import Event, LlmCall, TaskComplete, TaskStart, ToolCall
from podium_eval.log.event_log import EventLog
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter
from podium_eval.telemetry.trace_context import TraceContext, next_traceparent
from runner import Outcome, play, stub

EVENTS = 1_000_000
BLOCK_TASKS = 500
COLLECTOR = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Take(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
"""


def task(number: int) -> list[Event]:
    """The events of a task of three turns."""
    ids = {"run_id": "bench", "task_id": f"q{number:07}", "eid": number}
    events: list[Event] = [TaskStart(**ids)]
    for step, tool in enumerate(("search", "enhance_reasoning", "answer"), 1):
        call = {"provider": "vllm", "model": "m", "duration_ms": 900.0, "prompt_tokens": 1800, "completion_tokens": 64}
        parts = {"queue_ms": 12.25, "prefill_ms": 80.5, "decode_ms": 800.75}
        events += [
            LlmCall(**ids, step=step, role="orchestrator", **call, **parts),
            LlmCall(**ids, step=step, role="expert", tool=tool, **call, **parts),
            ToolCall(**ids, step=step, tool=tool, status="ok", duration_ms=950.0, duration_total_ms=950.0),
        ]
    return [*events, TaskComplete(**ids, status="done", ending="answered", correct=True, rounds=3, duration_ms=5000.0)]


async def emitting() -> tuple[float, float]:
    """CPU seconds of the emitting thread for EVENTS events: without ids, and what ids add."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        folder = Path(name)
        writer = LogWriter(folder / "events.jsonl", folder / "eval.log", redactor=Redactor(), on_failure=print)
        writer.start()
        plain, traced = EventLog(writer), EventLog(writer, observers=(TraceContext().observe,))
        block = [task(number) for number in range(BLOCK_TASKS)]
        n = sum(map(len, block))
        took: dict[bool, list[float]] = {False: [], True: []}
        while n * (len(took[False]) + len(took[True])) < 2 * EVENTS:
            for with_ids in (False, True) if len(took[False]) % 2 else (True, False):
                log = traced if with_ids else plain
                gc.collect()
                began = time.thread_time()
                for events in block:
                    for event in events:
                        log.emit(event)
                        if with_ids and type(event) is LlmCall and event.role == "orchestrator":
                            next_traceparent()
                took[with_ids].append(time.thread_time() - began)
                await log.flush()
        writer.close()
    scale = EVENTS / n
    differences = [with_ids - without for without, with_ids in zip(took[False], took[True], strict=True)]
    return statistics.fmean(took[False]) * scale, statistics.fmean(differences) * scale


@contextmanager
def collecting() -> Iterator[str]:
    """The address of a collector that takes everything."""
    collector = subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True)
    assert collector.stdout is not None
    try:
        yield collector.stdout.readline().strip()
    finally:
        collector.terminate()
        collector.wait()


async def written(folder: Path, least: int) -> int:
    """A log of at least so many events; how many it has."""
    writer = LogWriter(folder / "events.jsonl", folder / "eval.log", redactor=Redactor(), on_failure=print)
    writer.start()
    log, n, number = EventLog(writer), 0, 0
    while n < least:
        for event in task(number):
            log.emit(event)
            n += 1
        number += 1
    await log.flush()
    writer.close()
    return n


def beside(endpoint: str) -> float:
    """CPU seconds of the exporting process for EVENTS events, its start included, from a tenth of them."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        n = asyncio.run(written(Path(name), EVENTS // 10))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "podium_eval.telemetry.follow", name, endpoint),
                *("--run-id", "bench", "--segment", "1", "--finish-s", "600"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert '"dropped": 0' in done.stdout, done.stdout
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * EVENTS / n


def runs(endpoint: str, pairs: int, tasks: int, latency_s: float) -> list[tuple[Outcome, Outcome]]:
    """(without export, with) of each pair."""
    found: list[tuple[Outcome, Outcome]] = []
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name, stub(Path(name), latency_s) as address:
        for number in range(pairs):
            made: dict[bool, Outcome] = {}
            for export in (False, True) if number % 2 else (True, False):
                extra = ("--otel-exporter-otlp-endpoint", endpoint) if export else ()
                made[export] = play(Path(name), address, tasks, tasks, every_s=0.5, extra=extra)
            found.append((made[False], made[True]))
    return found


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=512)
    parser.add_argument("--latency", type=float, default=0.5)
    given = parser.parse_args()
    emit_s, ids_s = asyncio.run(emitting())
    print(f"{EVENTS:,} events: emitting {emit_s:.2f} s of the run's thread, trace ids {ids_s:+.2f} s more")
    with collecting() as endpoint:
        print(f"the process beside the run: {beside(endpoint):.0f} s CPU for as many, at the lowest priority")
        found = runs(endpoint, given.pairs, given.tasks, given.latency)
    events_a_task = len(task(0)) + 1  # and the judgement
    own_s = statistics.fmean(without.cpu_s for without, _ in found) / (given.tasks * events_a_task) * EVENTS
    share = ids_s / own_s
    print(f"podium-eval takes {own_s:.0f} s CPU for as many events in these runs: the ids are {share:.3%} of it")
    walls = [with_export.wall_s / without.wall_s - 1 for without, with_export in found]
    half = 1.96 * statistics.stdev(walls) / len(walls) ** 0.5 if len(walls) > 1 else float("nan")
    print(f"{given.pairs} pairs of {given.tasks} tasks: wall {statistics.fmean(walls):+.2%} (95% +-{half:.2%})")
    met = share <= 0.01
    print("met" if met else "MISSED", f"{EVENTS:,} events cost the run at most 1%")
    return met


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
