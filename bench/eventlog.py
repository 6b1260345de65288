"""What the event log costs: events a second through the one writer, and the loop's time for one emit.

python bench/eventlog.py
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from podium_contracts.events import LlmCall
from podium_eval.log.event_log import EventLog
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter

EVENTS = 300_000
SECRETS = [f"sk-{n}-0123456789abcdef" for n in range(4)]
EVENT = LlmCall(
    run_id="bench-20260101T000000Z",
    task_id="0123456789abcdef01234567",
    eid=7,
    step=3,
    role="expert",
    tool="search",
    alias="search-1",
    provider="vllm",
    model="Qwen/Qwen3-32B",
    server="http://127.0.0.1:8000/v1",
    duration_ms=1234.5678,
    queue_ms=12.25,
    prefill_ms=80.5,
    decode_ms=1130.75,
    prompt_tokens=1800,
    completion_tokens=64,
)


def fail(error: OSError) -> None:
    raise SystemExit(f"the log cannot be written: {error}")


async def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        folder = Path(name)
        writer = LogWriter(folder / "events.jsonl", folder / "eval.log", redactor=Redactor(SECRETS), on_failure=fail)
        writer.start()
        log = EventLog(writer)
        began = time.perf_counter()
        for _ in range(EVENTS):
            log.emit(EVENT)
        await log.flush()
        rate = EVENTS / (time.perf_counter() - began)
        # In a run events come a few at a time between a loop's other work, with the writer at work beside it.
        took: list[int] = []
        for n in range(20_000):
            at = time.perf_counter_ns()
            log.emit(EVENT)
            took.append(time.perf_counter_ns() - at)
            if n % 20 == 0:
                await asyncio.sleep(0.001)
        writer.close()
    took.sort()
    mean, p99 = statistics.fmean(took) / 1000, took[int(len(took) * 0.99)] / 1000
    print(f"{rate:,.0f} events/s, formatted, redacted ({len(SECRETS)} secrets) and on the disk")
    print(f"emit: mean {mean:.1f} us, median {took[len(took) // 2] / 1000:.1f} us, p99 {p99:.1f} us")
    met = rate >= 50_000 and mean <= 20
    print("met" if met else "MISSED", "50,000 events/s and 20 us a call")
    return met


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
