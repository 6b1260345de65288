"""What the live page costs: its own CPU with viewers, the eval's wall beside it, freshness, a large run's opening.

Real processes on one machine: podium-eval with 512 tasks at once against bench/runner.py's stub, podium-live over its
runs folder, viewers that hold the run's stream open. Pairs: each with and without the page, in turn, so that what else
the machine does falls on both.

    python bench/live.py [--pairs 3] [--tasks 512] [--latency 2]

Goals: at most 2% of a core with one viewer and 5% with ten, the eval's wall within 1%, a message at most 2 s behind the
log, the page of 2,500 tasks within 1 s. The exit status is 1 when one was missed.
"""

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
from runner import play, stub

ROOT = Path(__file__).resolve().parent.parent
CPU_GOALS = {0: 0.02, 1: 0.02, 10: 0.05}
"""Viewers to share of a core."""


@contextlib.contextmanager
def page(runs: Path) -> Generator[tuple[str, psutil.Process]]:
    """podium-live over a folder: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "podium_live", "serve", "--runs-dir", str(runs), "--port", str(port)],
        cwd=runs, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            time.sleep(0.1)
        yield address, psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


class Viewer(threading.Thread):
    """Holds a stream open from the run's first line on. late: seconds from a log's line to the message that has it."""

    def __init__(self, address: str, runs: Path, measure: bool) -> None:
        super().__init__(daemon=True)
        self.address, self.runs, self.measure = address, runs, measure
        self.before = set(runs.glob("*/events.jsonl"))
        self.done = threading.Event()
        self.late: list[float] = []
        self.messages = 0

    def run(self) -> None:
        while not self.done.is_set():
            for log in set(self.runs.glob("*/events.jsonl")) - self.before:
                with contextlib.suppress(OSError, ValueError):
                    self.watch(log)
                return
            time.sleep(0.1)

    def watch(self, log: Path) -> None:
        seen, shown = Appearances(log), 0
        with urllib.request.urlopen(f"{self.address}/stream/runs/{log.parent.name}", timeout=60) as stream:
            for line in stream:
                if self.done.is_set():
                    return
                if line.startswith(b"data: "):
                    self.messages += 1
                    if self.measure:
                        data = json.loads(line[6:])
                        # Until this moment a reader saw the message before.
                        self.late += seen.older_than(shown) if shown else []
                        shown = data["n_events"]
                        if data["state"] == "finished":
                            return


class Appearances:
    """When lines stood in the log, looked at every 50 ms: what a message lacks must be younger than the goal."""

    def __init__(self, log: Path) -> None:
        self.log, self.counts = log, [(time.monotonic(), 0)]
        threading.Thread(target=self.look, daemon=True).start()

    def look(self) -> None:
        n = 0
        with self.log.open("rb") as file:
            while True:
                data = file.read()
                n += data.count(b"\n")
                self.counts.append((time.monotonic(), n))
                if b'"run_end"' in data:
                    return
                time.sleep(0.05)

    def older_than(self, n: int) -> list[float]:
        """Age of the oldest line that a message of n events lacks; 0 where it lacks none."""
        now = time.monotonic()
        return [max((now - at for at, count in self.counts if count > n), default=0.0)]


def measured(folder: Path, address: str, tasks: int, viewers: int | None) -> tuple[float, float | None, list[float]]:
    """One run: its wall, the page's CPU as a share of a core while it went, freshness. viewers None: no page."""
    runs = folder / "runs"
    runs.mkdir(exist_ok=True)
    if viewers is None:
        return play(folder, address, tasks, tasks, every_s=0.5).wall_s, None, []
    with page(runs) as (live, process):
        watching = [Viewer(live, runs, measure=n == 0) for n in range(viewers)]
        for viewer in watching:
            viewer.start()
        before = process.cpu_times()
        outcome = play(folder, address, tasks, tasks, every_s=0.5)
        after = process.cpu_times()
        # Of the run alone: while the eval starts and ends the service has next to nothing to do.
        cpu = (after.user + after.system - before.user - before.system) / outcome.wall_s
        for viewer in watching:
            viewer.done.set()
        late = [one for viewer in watching for one in viewer.late]
        few = min((viewer.messages for viewer in watching), default=None)
        if few is not None and few < outcome.wall_s / 3:
            raise SystemExit(f"a viewer had {few} messages in {outcome.wall_s:.0f} s")
    return outcome.wall_s, cpu, late


def opened(folder: Path, address: str, tasks: int) -> float:
    """Seconds from asking a new service for a run's page to its first numbers and 500 rows of tasks."""
    play(folder, address, tasks, 512, every_s=0.5)
    log = max((folder / "runs").glob("*/events.jsonl"), key=lambda log: log.stat().st_mtime)
    times: list[float] = []
    for _ in range(5):
        with page(folder / "runs") as (live, _):
            began = time.monotonic()
            name = log.parent.name
            for path in (f"/runs/{name}", "/assets/page.css", "/assets/live.css", "/assets/page.js", "/assets/live.js"):
                urllib.request.urlopen(live + path, timeout=60).read()
            with urllib.request.urlopen(f"{live}/stream/runs/{name}", timeout=60) as stream:
                while not stream.readline().startswith(b"data: "):
                    continue
            urllib.request.urlopen(f"{live}/runs/{name}/rows?start=0", timeout=60).read()
            times.append(time.monotonic() - began)
    return statistics.median(times)


def main() -> int:
    """0 when every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=512)
    parser.add_argument("--opened", type=int, default=2500, help="tasks of the run that is opened")
    parser.add_argument("--latency", type=float, default=2.0, help="seconds of each model call")
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    met: list[tuple[str, bool]] = []
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as name:
        folder = Path(name)
        with stub(folder, given.latency) as address:
            measured(folder, address, given.tasks, None)  # the files of the programs are read once
            shares: dict[int, list[float]] = {n: [] for n in CPU_GOALS}
            ratios: list[float] = []
            late: list[float] = []
            for pair in range(given.pairs):
                for viewers in CPU_GOALS:
                    order = (None, viewers) if pair % 2 else (viewers, None)
                    walls: dict[Any, float] = {}
                    for way in order if viewers == 1 else (viewers,):
                        walls[way], cpu, ages = measured(folder, address, given.tasks, way)
                        if cpu is not None:
                            shares[viewers].append(cpu)
                        late += ages
                    if viewers == 1:
                        ratios.append(walls[1] / walls[None])
        for viewers, goal in CPU_GOALS.items():
            share = statistics.median(shares[viewers])
            each = ", ".join(f"{x:.2%}" for x in shares[viewers])
            print(f"CPU of the service, {viewers} viewers: {share:.2%} of a core ({each})")
            met.append((f"CPU with {viewers} viewers <= {goal:.0%}", share <= goal))
        ratio = statistics.median(ratios)
        print(
            f"eval's wall with the page and one viewer / without: {ratio:.4f} ({', '.join(f'{x:.4f}' for x in ratios)})"
        )
        met.append(("wall within 1%", ratio <= 1.01))
        print(f"a message lacks lines of at most: median {statistics.median(late):.2f} s, worst {max(late):.2f} s")
        met.append(("at most 2 s old", max(late) <= 2.0))
        with stub(folder, 0.2) as address:
            seconds = opened(folder, address, given.opened)
        print(f"a run of {given.opened:,} tasks opens in {seconds:.2f} s (a new service, numbers and the first rows)")
        met.append(("opens within 1 s", seconds <= 1.0))
    for what, good in met:
        print(f"  {'met   ' if good else 'MISSED'} {what}")
    return 0 if all(good for _, good in met) else 1


if __name__ == "__main__":
    sys.exit(main())
