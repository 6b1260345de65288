"""stats.json: everything that the figures, the report, compare and gate say about a run, computed once."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from podium_contracts.records import REJUDGE_LOG

from podium_analysis.load.run_data import RunData, TaskRow
from podium_analysis.load.schema import IN_TIME
from podium_analysis.metrics import intervals as bootstrap
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.summaries import IN_MEMORY, metric_statistics
from podium_analysis.scoring.judges import JudgeScore, judge_scores, n_tasks, run_repeats, run_samples
from podium_analysis.scoring.scores import Sample, outcome_of, score
from podium_analysis.stats.answer_models import answer_models
from podium_analysis.stats.choices import choice_statistics
from podium_analysis.stats.context_latency import context_latency
from podium_analysis.stats.costs import costs, task_costs
from podium_analysis.stats.server_check import server_check
from podium_analysis.stats.slowest import slowest_tasks
from podium_analysis.stats.time_accounting import accounting_statistics, accounts, prepare, time_statistics
from podium_analysis.stats.timeline import timeline
from podium_analysis.stats.usage import error_statistics, token_statistics

STATS_VERSION: Final = 1
"""Of stats.json and its schema (stats_schema.json). Raised when a field changes its meaning or goes."""


def compute_stats(run: RunData, *, bins: int = 10, in_memory: int = IN_MEMORY) -> dict[str, Any]:
    """What stats.json holds, as plain dicts and lists. Its shape is stats_schema.json, in words docs/analysis.md.

    bins: of each histogram. in_memory: sources with more rows are sorted by DuckDB instead of in arrays; the results
    are the same.
    """
    start = _start(run)
    # DuckDB and numpy let go of the interpreter's lock, so two threads share the cores: the longest parts first, then
    # whoever is free takes the next.
    with ThreadPoolExecutor(2, "statistics") as pool:
        metrics = pool.submit(metric_statistics, run, METRICS, bins=bins, in_memory=in_memory)
        parts = [
            pool.submit(_accounted, run),
            pool.submit(_ended, run, start),
            pool.submit(lambda: {"tokens": token_statistics(run), "errors": error_statistics(run)}),
            pool.submit(lambda: {"server_check": server_check(run, run.samples())}),
            pool.submit(lambda: {"timeline": timeline(run, run.samples())}),
            pool.submit(lambda: {"context_latency": context_latency(run)}),
            pool.submit(lambda: {"answer_models": answer_models(run)}),
        ]
    found: dict[str, Any] = {
        "stats_version": STATS_VERSION,
        "run_id": run.run_id,
        "generated_ts": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "podium_version": _version(),
        "log": _log(run),
        "method": {
            "percentiles": "linear interpolation between order statistics",
            "intervals": bootstrap.METHOD,
            "interval_of_mean": "95%, normal theory, from 30 values on",
            "sd": "sample standard deviation (n - 1)",
        },
    }
    for part in parts:
        found |= part.result()
    return found | {"metrics": metrics.result()}


def _accounted(run: RunData) -> dict[str, Any]:
    """What stands on the events that count."""
    prepare(run)
    found = accounts(run)
    return {
        "time": time_statistics(run, found),
        "accounting": accounting_statistics(found),
        "slowest_tasks": slowest_tasks(run, found),
        "choices": choice_statistics(run),
    }


def _ended(run: RunData, start: Mapping[str, Any]) -> dict[str, Any]:
    """What stands on the tasks that have ended."""
    tasks = run.tasks()
    return {
        "run": _run(run, start, tasks),
        "tasks": _tasks(run, start, tasks),
        "scores": _scores(run, start, tasks),
        "costs": _costs(run),
    }


def write_stats(stats: Mapping[str, Any], path: Path) -> None:
    """Write stats.json; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps(stats, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    temporary.replace(path)


def _start(run: RunData) -> Mapping[str, Any]:
    rows = run.rows(
        "SELECT protocol, concurrency, max_rounds, n_tasks, schema_version FROM events WHERE type = 'run_start' "
        f"ORDER BY ({IN_TIME}) DESC LIMIT 1"
    )
    names = ("protocol", "concurrency", "max_rounds", "n_tasks", "schema_version")
    return dict(zip(names, rows[0], strict=True)) if rows else dict.fromkeys(names)


def _log(run: RunData) -> dict[str, Any]:
    return {
        "bytes": run.log_bytes,
        "n_events": run.n_events,
        "by_type": dict(run.rows("SELECT type, sum(n)::BIGINT FROM cells GROUP BY type ORDER BY type")),
        "ended": run.ended,
        "n_problems": run.n_problems,
        "n_lost_values": run.n_lost_values,
        "problems": [asdict(problem) for problem in run.problems],
        "segments": [asdict(segment) for segment in run.segments],
    }


def _run(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> dict[str, Any]:
    hours = run.wall_ms / 3_600_000
    turns, output = run.rows(
        "SELECT coalesce(sum(n), 0)::BIGINT, sum(sum_completion_tokens)::BIGINT FROM cells "
        "WHERE type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL"
    )[0]
    ended = sum(task.status != "skipped" for task in tasks)
    return {
        "protocol": start["protocol"] or run.manifest.get("protocol"),
        "schema_version": start["schema_version"],
        "concurrency": start["concurrency"],
        "max_rounds": start["max_rounds"],
        "n_segments": len(run.segments),
        "wall_ms": run.wall_ms,
        "tasks_per_hour": ended / hours if hours else None,
        "turns_per_hour": turns / hours if hours else None,
        "orchestrator_output_tokens_per_s": output / (hours * 3600) if hours and output is not None else None,
    }


def _tasks(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> dict[str, Any]:
    by_status: dict[str, int] = defaultdict(int)
    by_ending: dict[str, int] = defaultdict(int)
    by_outcome: dict[str, int] = defaultdict(int)
    for task in tasks:
        by_status[task.status] += 1
        by_ending[task.ending] += 1
        by_outcome[outcome_of(task.status, task.ending, task.correct)] += 1
    known = int(run.rows("SELECT count(*) FROM tasks")[0][0])
    return {
        "n_expected": start["n_tasks"],
        "n_seen": known,
        "n_ended": len(tasks),
        "n_open": known - len(tasks),
        "n_superseded": sum(task.superseded for task in tasks),
        "by_status": dict(sorted(by_status.items())),
        "by_ending": dict(sorted(by_ending.items())),
        "by_outcome": dict(sorted(by_outcome.items())),
    }


def _scores(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> dict[str, Any] | None:
    """By the log; where the run was rejudged by the grades that the records hold now, with every judge's own beside."""
    if not tasks:
        return None
    samples = own = run_samples(run)
    total = n_tasks(run)
    n_total = None if total is None else max(total, len(samples))
    rejudged = (run.folder / REJUDGE_LOG).exists()
    judges: list[JudgeScore] = []
    if rejudged:
        records = list(run.records())
        judges = judge_scores(records, n_total)
        now = {
            (record.task_id, record.epoch): Sample(
                record.task_id,
                record.epoch,
                outcome_of(record.status, record.ending, record.correct),
                record.confidence,
            )
            for record in records
        }
        samples = [now.get((sample.task_id, sample.epoch), sample) for sample in samples]
    repeated = run_repeats(run, own)
    return {
        "protocol": start["protocol"] or run.manifest.get("protocol"),
        "rejudged": rejudged,
        **asdict(score(samples, n_total)),
        "repeats": asdict(repeated) if repeated else None,
        "agreement": asdict(judges[-1].against_own) if judges and judges[-1].against_own else None,
        "judges": [asdict(judge) for judge in judges],
    }


def _costs(run: RunData) -> dict[str, Any]:
    """Of the tasks the ten dearest: task_cost_usd has the distribution of all, the records each one's."""
    return asdict(costs(run)) | {"dearest_tasks": [asdict(task) for task in task_costs(run, dearest=10)]}


def _version() -> str:
    """Of the installed package; a source tree on PYTHONPATH has none."""
    try:
        return version("podium-analysis")
    except PackageNotFoundError:
        return "source tree"
