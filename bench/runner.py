"""What the runner itself costs: real podium-eval processes against one stub of fixed latency.

Each task makes 6 model calls one after the other (search, enhance_reasoning and answer, each with the orchestrator's
turn before it), one search and one execution, graded by exact match. The stub (eval/tests/loopback/openai_server.py)
is a process of its own on the same machine.

    python bench/runner.py                   512 tasks at once, then 2,500 tasks; the goals of docs/reliability.md
    python bench/runner.py --soak 20000      memory over a long run, figure in docs/figures/soak.svg

The exit status is 1 when a goal was missed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
CALLS = 6
ANSWER = "42"
SETTLED = 2000
"""Finished tasks after which memory stays where it is: the mean over the last so many is at most 5% above the mean over
the first so many behind them."""


def _call(tool: str, alias: str) -> dict[str, Any]:
    return {"text": None, "tool_calls": [[tool, json.dumps({"model": alias})]]}


SCRIPT: list[dict[str, Any]] = [
    {"contains": ["Call one tool now"], "absent": ["## Document"], "replies": [_call("search", "search-1")]},
    {
        "contains": ["Call one tool now"],
        "absent": ["## Program"],
        "replies": [_call("enhance_reasoning", "reasoner-1")],
    },
    {"contains": ["Call one tool now"], "replies": [_call("answer", "answer-1")]},
    {"contains": ["Write one query"], "replies": [{"text": "<query>the melting point of gallium</query>"}]},
    {"contains": ["Write one Python program"], "replies": [{"text": "```python\nprint(6 * 7)\n```"}]},
    {"contains": ["Answer the problem"], "replies": [{"text": f"It is plain.\n<answer>{ANSWER}</answer>"}]},
]


@dataclass
class Sampled:
    """One look at the eval process and the stub. mono: this script's clock, seconds. calls: of models, so far."""

    mono: float
    rss_mb: float
    fds: int
    in_flight: int
    calls: int


@dataclass
class Outcome:
    """One run. wall_s is from run_start to run_end, so Python's own start is left out."""

    tasks: int
    wall_s: float
    cpu_s: float
    chat_requests: int
    started: float
    ended: float
    done: int
    samples: list[Sampled] = field(default_factory=list)

    @property
    def rss_mb(self) -> float:
        return max(sample.rss_mb for sample in self.samples)

    @property
    def fds(self) -> int:
        return max(sample.fds for sample in self.samples)

    def mean_in_flight(self, after_s: float, before_end_s: float) -> float | None:
        """Mean of the calls under way at the stub, from after_s behind the start to before_end_s before the end."""
        found = [
            sample.in_flight
            for sample in self.samples
            if self.started + after_s <= sample.mono <= self.ended - before_end_s
        ]
        return statistics.fmean(found) if found else None


@contextmanager
def stub(folder: Path, latency_s: float):
    """The stub's address; it lives as long as the block."""
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    server = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "eval/tests/loopback/openai_server.py")),
            *("--script", str(script), "--latency", str(latency_s)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def dataset(folder: Path, n: int) -> Path:
    """n questions of no meaning."""
    path = folder / f"questions-{n}.jsonl"
    with path.open("w") as file:
        for number in range(n):
            text = f"Question {number}: " + "what is the value of the quantity described in the passage? " * 8
            file.write(json.dumps({"id": f"q{number:06}", "question": text, "answer": ANSWER}) + "\n")
    return path


def play(
    folder: Path, address: str, tasks: int, concurrency: int, *, every_s: float, extra: Sequence[str] = ()
) -> Outcome:
    """One podium-eval process from start to end, looked at every `every_s` seconds."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "ORCHESTRATOR_URL": f"{address}/v1",
        "EXPERT_DEFAULT": f"vllm/expert@{address}/v1",
        "JUDGE": f"vllm/judge@{address}/v1",
        "RETRIEVAL_URL": address,
        "SANDBOX_URL": address,
        "PROTOCOL": "toolorchestra",
        "NO_COLOR": "1",
    }
    before = _stats(address)["chat_requests"]
    run_id = f"bench-{tasks}-{time.monotonic_ns()}"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "podium_eval", "run", "--no-check", "--run-id", run_id),
            *("--dataset", str(dataset(folder, tasks)), "--runs-dir", str(folder / "runs")),
            *("--concurrency", str(concurrency), *extra),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    watched = psutil.Process(process.pid)
    samples: list[Sampled] = []
    while process.poll() is None:
        try:
            now = _stats(address)
            in_flight, calls = now["in_flight"] - 1, now["chat_requests"] - before
            rss_mb = watched.memory_info().rss / 1e6
            samples.append(Sampled(time.monotonic(), rss_mb, watched.num_fds(), in_flight, calls))
        except psutil.Error:
            break
        time.sleep(every_s)
    if process.wait() != 0:
        raise SystemExit(f"podium-eval ended with {process.returncode}; see {folder}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    events = folder / "runs" / run_id / "events.jsonl"
    start, end = _ends(events)
    # Both processes read the same monotonic clock, so the log's last line places the run on this script's.
    wall_s = (end["mono_ms"] - start["mono_ms"]) / 1000
    ended = samples[-1].mono
    return Outcome(
        tasks, wall_s, cpu_s, _stats(address)["chat_requests"] - before, ended - wall_s, ended, end["n_done"], samples
    )


def _ends(events: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with events.open("rb") as file:
        first = json.loads(file.readline())
        file.seek(-4096, os.SEEK_END)
        return first, json.loads(file.read().splitlines()[-1])


def _stats(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/_loopback", timeout=30) as answer:
        return json.load(answer)


def report(outcome: Outcome, concurrency: int, latency_s: float, goals: bool) -> bool:
    """Print one run's figures; whether its goals were met."""
    waves = -(-outcome.tasks // concurrency)
    ideal = CALLS * latency_s * waves
    mean = outcome.mean_in_flight(latency_s, CALLS * latency_s if waves > 1 else latency_s)
    share = None if mean is None else mean / concurrency
    calls = outcome.chat_requests
    print(f"{outcome.tasks} tasks, {concurrency} at once, {CALLS} calls of {latency_s:g} s each")
    print(
        f"  ideal {ideal:.1f} s, wall {outcome.wall_s:.2f} s, {outcome.wall_s / ideal:.3f} of it; done {outcome.done}"
    )
    if mean is not None and share is not None:
        print(f"  mean calls in flight in the steady part {mean:.0f} ({share:.1%} of {concurrency})")
    print(
        f"  CPU {outcome.cpu_s:.2f} s, {outcome.cpu_s / calls * 1000:.2f} ms a model call "
        f"({calls} calls; Python's start included)"
    )
    print(f"  memory at most {outcome.rss_mb:.0f} MB, open files at most {outcome.fds}")
    if not goals:
        return True
    met = [
        ("every task done", outcome.done == outcome.tasks),
        ("memory <= 600 MB", outcome.rss_mb <= 600),
        (f"open files <= {concurrency + 200}", outcome.fds <= concurrency + 200),
        ("in flight >= 95%", share is not None and share >= 0.95),
    ]
    if waves == 1:
        met.append((f"wall <= {ideal * 1.15:.1f} s", outcome.wall_s <= ideal * 1.15))
    for name, good in met:
        print(f"  {'met   ' if good else 'MISSED'} {name}")
    return all(good for _, good in met)


def soak(folder: Path, tasks: int, concurrency: int, latency_s: float, figure: Path) -> bool:
    """A long run; memory against finished tasks."""
    # On a busy machine a connection may wait for the stub's turn on a processor; that is not what is measured here.
    patience = ("--model-connect-timeout-s", "300", "--connect-timeout-s", "300")
    with stub(folder, latency_s) as address:
        outcome = play(folder, address, tasks, concurrency, every_s=1.0, extra=patience)
    report(outcome, concurrency, latency_s, goals=False)
    points = [(sample.calls / CALLS, sample.rss_mb) for sample in outcome.samples if sample.mono >= outcome.started]
    settled = [(x, y) for x, y in points if x >= SETTLED]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope * 1000
    first = statistics.fmean(y for x, y in settled if x < 2 * SETTLED)
    last = statistics.fmean(y for x, y in settled if x > tasks - SETTLED)
    print(
        f"  memory: {first:.1f} MB over tasks {SETTLED:,}-{2 * SETTLED:,}, {last:.1f} MB over the last {SETTLED:,}; "
        f"{slope:+.2f} MB a 1,000 tasks"
    )
    flat = last <= 1.05 * first
    print(f"  {'met   ' if flat else 'MISSED'} memory flat after {SETTLED:,} tasks (within 5%)")
    draw(points, tasks, figure)
    return flat


def draw(points: Sequence[tuple[float, float]], tasks: int, path: Path) -> None:
    """Memory over tasks as a small SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "podium"
    figure, axes = pyplot.subplots(figsize=(7, 2.8), layout="constrained")
    axes.plot([x for x, _ in points], [y for _, y in points], linewidth=1.2)
    axes.axvline(SETTLED, color="0.6", linewidth=0.8, linestyle="--")
    top = 1.25 * max(y for _, y in points)
    axes.text(SETTLED, top, f" {SETTLED:,}", va="top", fontsize="small", color="0.4")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel=f"tasks finished, of {tasks:,}", ylabel="resident memory, MB", ylim=(0, top), xlim=(0, tasks))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """0 when every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="*", default=[512, 2500])
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds of each model call")
    parser.add_argument(
        "--soak", type=int, metavar="N", help=f"instead: N tasks (over {2 * SETTLED:,}), memory over time"
    )
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/figures/soak.svg")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        folder = Path(name)
        if arguments.soak:
            return 0 if soak(folder, arguments.soak, arguments.concurrency, arguments.latency, arguments.figure) else 1
        met = True
        for tasks in arguments.tasks:
            with stub(folder, arguments.latency) as address:
                outcome = play(folder, address, tasks, arguments.concurrency, every_s=0.1)
            met &= report(outcome, arguments.concurrency, arguments.latency, goals=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
