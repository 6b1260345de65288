"""The run at large: its log, its settings and throughput, what became of its tasks, its score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from podium_contracts.records import REJUDGE_LOG

from podium_analysis.load.problems import LISTED, LogProblem
from podium_analysis.load.run_data import RunData, Segment, TaskRow
from podium_analysis.load.schema import IN_TIME
from podium_analysis.scoring.agreement import Agreement
from podium_analysis.scoring.benchmark.score import BenchmarkScore, benchmark_score
from podium_analysis.scoring.groups import Groups, group_scores
from podium_analysis.scoring.judges import Judges, JudgeScore, n_tasks, run_repeats, run_samples
from podium_analysis.scoring.panel import PanelAgreement
from podium_analysis.scoring.repeats import Repeats
from podium_analysis.scoring.scores import Sample, Score, outcome_of, score
from podium_analysis.scoring.screened import ScreenedScore, screened_score
from podium_analysis.section import Count, Section


class Log(Section, frozen=True):
    """What was read. n_problems: lines left out; n_lost_values: lines kept without a value of the wrong type."""

    bytes: Count
    n_events: Count
    by_type: dict[str, Count]
    ended: bool
    n_problems: Count
    n_lost_values: Count
    problems: Annotated[tuple[LogProblem, ...], Meta(max_length=LISTED)]
    segments: tuple[Segment, ...]


class Throughput(Section, frozen=True):
    """The run's settings and speed. wall_ms: its segments together, pauses left out."""

    protocol: str | None
    schema_version: Count | None
    concurrency: Count | None
    max_rounds: Count | None
    n_segments: Count
    wall_ms: float
    tasks_per_hour: float | None
    turns_per_hour: float | None
    orchestrator_output_tokens_per_s: float | None


class TaskCounts(Section, frozen=True):
    """What became of the tasks. n_superseded: endings of attempts that were repeated."""

    n_expected: Count | None
    n_seen: Count
    n_ended: Count
    n_open: Count
    n_superseded: Count
    by_status: dict[str, Count]
    by_ending: dict[str, Count]
    by_outcome: dict[str, Count]


class Scores(Score, frozen=True, kw_only=True):
    """The run's score; where it was rejudged by the grades that the records hold now, every judge's own beside."""

    protocol: str | None
    rejudged: bool
    repeats: Repeats | None
    agreement: Agreement | None
    """Of the newest judge with the run's own."""
    judges: list[JudgeScore]
    panel: PanelAgreement | None
    """Agreement of all judges of the run's protocol; None for one judge."""
    groups: Groups | None
    """By category, subject, answer type, verification class and image."""
    screened: ScreenedScore | None
    """None where no search of the web was screened."""


class Overview(Section, frozen=True):
    """These sections together."""

    log: Log
    run: Throughput
    tasks: TaskCounts
    scores: Scores | None
    benchmark: BenchmarkScore


def overview(run: RunData) -> Overview:
    """The run's log, throughput, tasks and score; scores are None while no task has ended."""
    start = _start(run)
    tasks = run.tasks()
    samples, total = run_samples(run), n_tasks(run)
    return Overview(
        log=_log(run),
        run=_throughput(run, start, tasks),
        tasks=_tasks(run, start, tasks),
        scores=_scores(run, start, tasks),
        benchmark=benchmark_score(run, samples, None if total is None else max(total, len(samples))),
    )


def _start(run: RunData) -> Mapping[str, Any]:
    rows = run.rows(
        "SELECT protocol, concurrency, max_rounds, n_tasks, schema_version FROM events WHERE type = 'run_start' "
        f"ORDER BY ({IN_TIME}) DESC LIMIT 1"
    )
    names = ("protocol", "concurrency", "max_rounds", "n_tasks", "schema_version")
    return dict(zip(names, rows[0], strict=True)) if rows else dict.fromkeys(names)


def _log(run: RunData) -> Log:
    return Log(
        bytes=run.log_bytes,
        n_events=run.n_events,
        by_type=dict(run.rows("SELECT type, sum(n)::BIGINT FROM cells GROUP BY type ORDER BY type")),
        ended=run.ended,
        n_problems=run.n_problems,
        n_lost_values=run.n_lost_values,
        problems=run.problems,
        segments=run.segments,
    )


def _throughput(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> Throughput:
    hours = run.wall_ms / 3_600_000
    turns, output = run.rows(
        "SELECT coalesce(sum(n), 0)::BIGINT, sum(sum_completion_tokens)::BIGINT FROM cells "
        "WHERE type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL"
    )[0]
    ended = sum(task.status != "skipped" for task in tasks)
    return Throughput(
        protocol=start["protocol"] or run.manifest.get("protocol"),
        schema_version=start["schema_version"],
        concurrency=start["concurrency"],
        max_rounds=start["max_rounds"],
        n_segments=len(run.segments),
        wall_ms=run.wall_ms,
        tasks_per_hour=ended / hours if hours else None,
        turns_per_hour=turns / hours if hours else None,
        orchestrator_output_tokens_per_s=output / (hours * 3600) if hours and output is not None else None,
    )


def _tasks(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> TaskCounts:
    known = int(run.rows("SELECT count(*) FROM tasks")[0][0])
    return TaskCounts(
        n_expected=start["n_tasks"],
        n_seen=known,
        n_ended=len(tasks),
        n_open=known - len(tasks),
        n_superseded=sum(task.superseded for task in tasks),
        by_status=_sorted(Counter(task.status for task in tasks)),
        by_ending=_sorted(Counter(task.ending for task in tasks)),
        by_outcome=_sorted(Counter(outcome_of(task.status, task.ending, task.correct) for task in tasks)),
    )


def _sorted(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): counts[name] for name in sorted(counts)}


def _scores(run: RunData, start: Mapping[str, Any], tasks: Sequence[TaskRow]) -> Scores | None:
    if not tasks:
        return None
    samples = own = run_samples(run)
    total = n_tasks(run)
    n_total = None if total is None else max(total, len(samples))
    rejudged = (run.folder / REJUDGE_LOG).exists()
    judges: list[JudgeScore] = []
    panel: PanelAgreement | None = None
    if rejudged or len(run.manifest.get("judges") or ()) > 1:
        records = list(run.records())
        collected = Judges()
        for record in records:
            collected.add(record)
        judges, panel = collected.scores(n_total), collected.panel()
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
    return Scores(
        **msgspec.structs.asdict(score(samples, n_total)),
        protocol=start["protocol"] or run.manifest.get("protocol"),
        rejudged=rejudged,
        repeats=run_repeats(run, own),
        agreement=judges[-1].against_own if judges else None,
        judges=judges,
        panel=panel,
        groups=group_scores(run, samples),
        screened=screened_score(run, samples, n_total),
    )
