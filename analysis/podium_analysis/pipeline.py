"""`podium-analysis report`: a run's log into stats.json, figures, report.html and trace.json, by one process."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium_contracts.events import NewerSchema

from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import all_runs, find_run
from podium_analysis.load.run_data import load_run
from podium_analysis.quantities import duration, percent
from podium_analysis.scoring.benchmark.words import measure_lines
from podium_analysis.scoring.screened_words import screened_line
from podium_analysis.settings import AnalysisSettings, SettingError, read_settings

if TYPE_CHECKING:  # what they load is loaded beside the log
    from podium_analysis.stats.compute import Stats
    from podium_analysis.stats.overview import Log, Scores

PROBLEMS_SHOWN = 10
TRACE = "trace.json"
TABLES = "tables"
DRAWING = ("podium_analysis.figures.draw", "podium_analysis.report.write")
"""What statistics alone do without."""


def register(subparsers: Any) -> None:
    """Add `report` to podium-analysis."""
    parser = subparsers.add_parser("report", help="a run's statistics, figures, report.html and trace.json")
    parser.add_argument("run_dir", nargs="?", metavar="RUN", help="a run's id or folder; like --run")
    parser.add_argument(
        "--run", dest="run_id", help="a run's id in RUNS_DIR, or its folder (RUN_ID; default: the latest)"
    )
    parser.add_argument("--all-runs", action="store_true", help="every run in RUNS_DIR, each into its own folder")
    parser.add_argument("--runs-dir", type=Path, help="folder of the run folders (RUNS_DIR)")
    parser.add_argument("--bins", type=int, help="bins of every histogram (ANALYSIS_BINS)")
    parser.add_argument("--formats", help="of png, svg, pdf, separated by commas (ANALYSIS_FORMATS)")
    parser.add_argument("-o", "--out", type=Path, help="default: the run's analysis/ folder")
    parser.add_argument("--stats-only", action="store_true", help="write stats.json and nothing else")
    parser.add_argument("--no-trace", action="store_true", help="write no trace.json")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0: written. 2: settings are wrong, or there is no log that can be read."""
    try:
        settings = read_settings(
            runs_dir=args.runs_dir, run_id=args.run_id, analysis_bins=args.bins, analysis_formats=args.formats
        )
        folders = (
            all_runs(settings.runs_dir)
            if args.all_runs
            else [find_run(settings.runs_dir, args.run_dir or settings.run_id)]
        )
        if not folders:
            raise LoadError(f"no run in {settings.runs_dir}; set RUNS_DIR or give a run's folder")
        if args.out is not None and len(folders) > 1:
            raise LoadError("--out takes one run; leave it out with --all-runs")
        for folder in folders:
            out = args.out or folder / "analysis"
            report(folder, out, settings, stats_only=args.stats_only, trace=not args.no_trace)
        if settings.runs_volume and args.out is None and not args.stats_only:
            print(how_to_see(folders[-1].name, settings.runs_volume))
    except (SettingError, LoadError, NewerSchema, BrokenExecutor, OSError) as error:
        print(f"podium-analysis report: {error}", file=sys.stderr)
        return 2
    return 0


def how_to_see(run_id: str, volume: str) -> str:
    """How to reach the report that a container wrote. volume: as compose names it; with a / it is a folder."""
    page = f"{run_id}/analysis/report.html"
    if "/" in volume:
        return f"to see it, open {volume.rstrip('/')}/{page}"
    return f"to see it: `make analyze` copies the volume {volume} to ./runs; then open runs/{page}"


def report(
    folder: Path, out: Path, settings: AnalysisSettings, *, stats_only: bool = False, trace: bool = True
) -> "Stats":
    """Analyse one run folder into `out`; returns what stats.json holds.

    Raises:
        LoadError, NewerSchema: see load_run.
    """
    with ThreadPoolExecutor(1) as beside:
        # scipy and matplotlib take a while to load: while DuckDB reads, which needs no interpreter.
        statistics = beside.submit(importlib.import_module, "podium_analysis.stats.compute")
        if not stats_only:
            beside.map(importlib.import_module, DRAWING)
        loaded = load_run(folder, memory_mb=settings.analysis_memory_mb, threads=settings.analysis_workers)
    with loaded:
        stats = statistics.result().compute_stats(loaded, bins=settings.analysis_bins)
        statistics.result().write_stats(stats, out / "stats.json")
        for line in summary_lines(stats):
            print(line)
        print(f"wrote {out / 'stats.json'}", flush=True)
        if stats_only:
            return stats
        # Imported here: statistics alone need neither matplotlib nor jinja2.
        from podium_analysis.export.tables import write_tables
        from podium_analysis.figures.draw import Drawing
        from podium_analysis.figures.values import drawn_values
        from podium_analysis.report.write import write_report

        with_trace = trace and stats.log.n_events <= settings.analysis_trace_events
        formats, workers = settings.analysis_formats, settings.analysis_workers
        drawing = Drawing(stats, drawn_values(loaded), out, formats=formats, workers=workers)

        def figures_ready() -> None:
            figures = drawing.finish()
            print(f"wrote {len(figures)} figures as {', '.join(settings.analysis_formats)} to {out}", flush=True)

        made = write_report(
            loaded, stats, out_dir=out, figures_ready=figures_ready, trace=TRACE if with_trace else None,
            copies=TABLES,
        )  # fmt: skip
        write_tables(made.tables, out / TABLES)
        print(f"wrote {made.path} ({made.size_bytes / 1e6:.1f} MB, {made.n_tasks:,} tasks)", flush=True)
        print(f"wrote {len(made.tables)} tables as CSV, Markdown and LaTeX to {out / TABLES}", flush=True)
    if trace and not with_trace:
        print(
            f"no trace.json: {stats.log.n_events:,} events are more than ANALYSIS_TRACE_EVENTS="
            f"{settings.analysis_trace_events:,}; `podium-analysis trace` writes it anyway"
        )
    if not with_trace:
        return stats
    from podium_analysis.export.trace import write_trace

    print(f"wrote {write_trace(folder, out / 'trace.json').path}")
    return stats


def summary_lines(stats: "Stats") -> list[str]:
    """What the terminal shows: tasks, score, where the time went, what could not be read."""
    log, tasks, run_ = stats.log, stats.tasks, stats.run
    ended = ", ".join(f"{n} {status}" for status, n in tasks.by_status.items()) or "none ended"
    state = "" if log.ended else " (no run_end yet: still running, or stopped hard)"
    lines = [
        f"run {stats.run_id}: {log.n_events:,} events, {tasks.n_seen:,} tasks seen, {ended}{state}; "
        f"{run_.n_segments} segment{'s' if run_.n_segments != 1 else ''}, {duration(run_.wall_ms)}"
    ]
    score = stats.scores
    if score and score.accuracy is not None:
        lines.append(
            f"accuracy ({score.protocol}) {score.accuracy:.1f} % ({score.n_right:,} of {score.n:,}), "
            f"{_spread(score)}; "
            f"ungraded {score.n_ungraded}, errors {score.n_error}, not ended {score.n_missing}"
        )
        lines += measure_lines(stats.benchmark)
        if line := screened_line(score.screened):
            lines.append(line)
    data = stats.dataset
    if data.name:
        version = f", version {data.version}" if data.version else ""
        lines.append(f"dataset {data.name}{version}, sha256 {str(data.sha256)[:8]}")
    share = stats.accounting.unexplained_share
    if share.n:
        lines.append(
            f"unexplained share of a task's wall time: median {percent(share.p50, 2)}, "
            f"at most {percent(share.max, 2)} ({share.n:,} tasks)"
        )
    parts = stats.time.overall_share
    biggest = sorted(((v, k) for k, v in parts.items() if v), reverse=True)[:4]
    if biggest:
        labels = stats.time.labels
        lines.append("time: " + ", ".join(f"{labels[name]} {percent(value)}" for value, name in biggest))
    if check := stats.server_check:
        gaps = [(abs(one.ratio - 1), one.name) for one in check.sums if one.ratio is not None]
        largest = "nothing counted by both" if not gaps else f"largest gap {percent(max(gaps)[0])} ({max(gaps)[1]})"
        lines.append(f"Log vs. vLLM counters over {check.n_calls:,} calls: {largest}")
    lines += _problem_lines(log)
    return lines


def _spread(score: "Scores") -> str:
    """The official half width; where questions were asked several times the interval that respects that."""
    if score.clustered is None:
        return f"±{score.half_width:.1f} points"
    return f"95 % interval {score.clustered[0]:.1f} to {score.clustered[1]:.1f} (clustered by question)"


def _problem_lines(log: "Log") -> Sequence[str]:
    bad, lost = log.n_problems, log.n_lost_values
    if not bad + lost:
        return []
    heads = [f"{bad} bad line(s) left out"] if bad else []
    heads += [f"{lost} line(s) with a value of the wrong type, counted as missing"] if lost else []
    shown = [f"  events.jsonl line {one.line}: {one.message}" for one in log.problems[:PROBLEMS_SHOWN]]
    more = bad + lost - len(shown)
    return [f"{'; '.join(heads)}:", *shown, *([f"  … and {more} more"] if more else [])]
