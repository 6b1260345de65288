"""`podium-analysis list`: every run with its state, score, cost and age, by one pass over each log."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson

from podium_analysis.load.find import all_runs
from podium_analysis.settings import SettingError, read_settings

STILL_S: Final = 120
"""A log without an end that nothing was written to for so long belongs to a run that was stopped hard."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """state: running, stopped (no end in the log), or the reason of its last run_end. accuracy in percent of n_tasks.

    usd: of the tasks that ended, those with a known price; None: none has one. age_s: since the log was written last.
    """

    run_id: str
    state: str
    n_ended: int
    n_tasks: int | None
    accuracy: float | None
    usd: float | None
    age_s: float


def describe_run(folder: Path, now: float) -> RunLine:
    """One run. now: seconds of the wall clock."""
    log = folder / "events.jsonl"
    age = max(0.0, now - log.stat().st_mtime)
    state = "running" if age < STILL_S else "stopped"
    ended: dict[tuple[str, int], dict[str, Any]] = {}
    n_tasks: int | None = None
    with log.open("rb") as lines:
        for line in lines:
            # Whole objects are made of the few lines that count alone.
            if b'"task_complete"' not in line and b'"run_start"' not in line and b'"run_end"' not in line:
                continue
            try:
                read: Any = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            event = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
            match event.get("type"):
                case "task_complete":
                    ended[str(event.get("task_id")), int(event.get("epoch") or 1)] = event
                case "run_start":
                    n_tasks = event.get("n_tasks")
                    state = "running" if age < STILL_S else "stopped"
                case "run_end":
                    state = str(event.get("reason"))
                case _:
                    pass
    right = sum(event.get("correct") is True and event.get("status") == "done" for event in ended.values())
    known = [event["cost_usd"] for event in ended.values() if event.get("cost_usd") is not None]
    n = max(n_tasks or 0, len(ended))
    return RunLine(
        run_id=folder.name,
        state=state,
        n_ended=len(ended),
        n_tasks=n_tasks,
        accuracy=100 * right / n if ended else None,
        usd=sum(known) if known else None,
        age_s=age,
    )


def table(runs: list[RunLine]) -> list[str]:
    """The lines to print, newest run first."""
    rows = [("run", "state", "tasks", "accuracy", "cost", "last event")]
    for run in sorted(runs, key=lambda run: run.age_s):
        of = "" if run.n_tasks is None else f" of {run.n_tasks:,}"
        score = "–" if run.accuracy is None else f"{run.accuracy:.1f} %"
        cost = "–" if run.usd is None else f"${run.usd:,.2f}"
        rows.append((run.run_id, run.state, f"{run.n_ended:,}{of}", score, cost, f"{_age(run.age_s)} ago"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def register(subparsers: Any) -> None:
    """Add `list` to podium-analysis."""
    parser = subparsers.add_parser("list", help="the runs: state, score, cost, age")
    parser.add_argument("--runs-dir", type=Path, help="folder of the run folders (RUNS_DIR)")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0. 2: a setting is wrong, or there is no run."""
    try:
        runs_dir = read_settings(runs_dir=args.runs_dir).runs_dir
    except SettingError as error:
        print(f"podium-analysis list: {error}", file=sys.stderr)
        return 2
    folders = all_runs(runs_dir)
    if not folders:
        print(f"podium-analysis list: no run in {runs_dir}; set RUNS_DIR or give --runs-dir", file=sys.stderr)
        return 2
    now = time.time()
    print("\n".join(table([describe_run(folder, now) for folder in folders])))
    return 0
