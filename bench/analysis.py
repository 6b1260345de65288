"""How fast and how lean the analysis is: `make bench-analysis`.

Writes run folders with generate_log.py, runs `podium-analysis report` on them in processes of their own and reports the
wall and CPU time of the fastest and, of one run more, peak memory: the largest sum of proportional set sizes (shared
pages count once) of the process and its children that sampling saw. Beside it a plain pandas.read_json of the same log
with the same percentiles.

    python bench/analysis.py                          # 1,000,000 events
    python bench/analysis.py --large 10000000         # and 10,000,000: statistics alone, memory beside the first's
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

GOALS = {"stats": 3.0, "all": 10.0}
GOAL_MB = 1024
INTERVAL_S = 0.05
"""Counting shared pages takes the kernel milliseconds, and one of two cores: a timed run is not sampled."""

PANDAS = """
import sys, pandas
events = pandas.read_json(sys.argv[1], lines=True)
turns = events[(events.type == "llm_call") & (events.role == "orchestrator") & events.error_type.isna()]
names = ["queue_ms", "prefill_ms", "decode_ms", "duration_ms", "prompt_tokens", "completion_tokens"]
print(turns[names].describe(percentiles=[0.5, 0.9, 0.95, 0.99]).to_string(), file=sys.stderr)
"""
READ_ONLY = "import pathlib,sys\nfor _ in pathlib.Path(sys.argv[1]).open('rb'): pass"


@dataclass(frozen=True, slots=True)
class Run:
    """One command. peak_mb: of the process and its children together; 0 when it was not sampled."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(name: str, command: list[str], *, sampled: bool) -> Run:
    """Run to its end; sampled: for its memory, which slows it.

    Raises:
        SystemExit: the command failed; its output is shown.
    """
    peak = 0
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(INTERVAL_S):
            peak = max(peak, _memory(process.pid))

    watcher = threading.Thread(target=watch)
    if sampled:
        watcher.start()
    output, _ = process.communicate()
    wall = time.perf_counter() - began
    done.set()
    if sampled:
        watcher.join()
    after = os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(name, wall, cpu, peak / 2**20)


def _memory(pid: int) -> int:
    """Bytes of a process and those it started, shared pages once (PSS, as Linux counts it)."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(_memory(int(child)) for child in (task / "children").read_text().split())
    except (OSError, ValueError):
        pass  # it has just ended
    return total


def analyse(folder: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "podium_analysis", "report", str(folder), "--out", str(out), *options]


def generate(folder: Path, events: int, *, records: bool) -> None:
    if (folder / "run.json").exists():
        return
    began = time.perf_counter()
    script = Path(__file__).parent / "generate_log.py"
    command = [sys.executable, str(script), "--out", str(folder), "--events", str(events), "--mean-rounds", "20"]
    command += ["--concurrency", "512", *([] if records else ["--no-records"])]
    subprocess.run(command, check=True)
    print(f"generated in {time.perf_counter() - began:.0f} s", flush=True)


def describe(folder: Path) -> str:
    log = folder / "events.jsonl"
    tasks = sum(1 for _ in (folder / "tasks").glob("*.json")) if (folder / "tasks").is_dir() else 0
    with log.open("rb") as lines:
        n = sum(1 for _ in lines)
    return f"{n:,} events, {log.stat().st_size / 1e6:,.0f} MB, {tasks:,} task records"


def row(run: Run, goal: float | None = None) -> str:
    verdict = "" if goal is None else f"  goal {goal:g} s: {'met' if run.wall_s <= goal else 'MISSED'}"
    return f"{run.name:<44}{run.wall_s:>8.2f} s{run.cpu_s:>9.2f} s CPU{run.peak_mb:>9.0f} MB{verdict}"


def main() -> int:
    """0 when every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=0, help="a second log of so many events, for its memory alone")
    parser.add_argument("--work", type=Path, help="where the logs are kept and looked for; default: a temporary folder")
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many runs counts; 0: the sampled one")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--no-pandas", action="store_true")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="podium-bench-"))
    try:
        return bench(options, work)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)


def bench(options: argparse.Namespace, work: Path) -> int:
    folder = work / f"events-{options.events}"
    generate(folder, options.events, records=True)
    print(
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {describe(folder)}",
        flush=True,
    )
    out = work / "out"
    found: list[Run] = []
    missed = False

    def best(name: str, command: list[str], goal: float | None = None) -> Run:
        nonlocal missed
        memory = measure(name, command, sampled=True)
        timed = [measure(name, command, sampled=False) for _ in range(options.repeat)]
        fastest = min(timed, key=lambda run: run.wall_s, default=memory)
        found.append(replace(fastest, peak_mb=memory.peak_mb))
        missed |= goal is not None and (found[-1].wall_s > goal or found[-1].peak_mb > GOAL_MB)
        print(row(found[-1], goal), flush=True)
        return found[-1]

    log = str(folder / "events.jsonl")
    best("reading the log's lines, nothing else", [sys.executable, "-c", READ_ONLY, log])
    small = best("stats.json", analyse(folder, out, "--stats-only"), GOALS["stats"])
    best("stats.json, all figures, report.html", analyse(folder, out, "--no-trace"), GOALS["all"])
    if not options.no_pandas:
        options.repeat = min(options.repeat, 1)
        best("pandas.read_json and percentiles of 6 columns", [sys.executable, "-c", PANDAS, log])
    if options.large:
        options.repeat = 0
        large = work / f"events-{options.large}"
        generate(large, options.large, records=False)
        print(describe(large), flush=True)
        again = best(f"stats.json of {options.large:,} events", analyse(large, out, "--stats-only"))
        share, times = again.peak_mb / small.peak_mb, options.large / options.events
        print(f"memory: {share:.2f} of the smaller log's for {times:g} times the events")
        missed |= again.peak_mb > GOAL_MB
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in found], indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
