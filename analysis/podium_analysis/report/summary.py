"""The top of report.html: score, cost, time, throughput, where the time went, errors; all of it out of stats.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from podium_analysis.load.records import BadRecord
from podium_analysis.metrics.intervals import highest_percentile
from podium_analysis.metrics.sections import MetricStatistics
from podium_analysis.quantities import duration, moment, money, number, percent
from podium_analysis.report.findings import UNEXPLAINED_LIMIT, notes, score_of
from podium_analysis.report.page import Fact, Score, Segment, Table, segments
from podium_analysis.report.summary_tables import by_kind, by_question, errors, judges, slowest
from podium_analysis.stats.compute import Stats
from podium_analysis.stats.overview import Scores
from podium_analysis.stats.server_check import ServerCheck

TIME_KINDS: Final[Mapping[str, str]] = {
    # part in stats.json: colour of the page
    "admission_ms": "admission",
    "client_wait_ms": "wait",
    "queue_ms": "queue",
    "prefill_ms": "prefill",
    "decode_ms": "decode",
    "overhead_ms": "overhead",
    "untimed_ms": "untimed",
    "search_query_ms": "query",
    "search_retrieval_ms": "retrieval",
    "search_web_ms": "web",
    "reasoning_expert_ms": "expert",
    "reasoning_execution_ms": "exec",
    "answer_expert_ms": "answerer",
    "answer_judge_ms": "judge",
    "tool_rest_ms": "rest",
    "unexplained_ms": "unexplained",
}
UNIT_WORDS: Final = {
    "search": "web searches",
    "extract": "web pages",
    "code_second": "seconds of code",
    "gpu_hour": "GPU hours",
}


@dataclass(frozen=True, slots=True)
class Summary:
    byline: Sequence[str]
    notes: Sequence[str]
    score: Score
    facts: Sequence[Fact]
    outcomes: Sequence[Segment]
    time: Sequence[Segment]
    time_note: str
    tables: Sequence[Table]


def summarise(
    manifest: Mapping[str, Any],
    stats: Stats,
    bad_records: Sequence[BadRecord],
    hrefs: Mapping[tuple[str, int], str],
) -> Summary:
    """hrefs: (task_id, epoch) to the address of its trajectory on the page."""
    time = stats.time
    parts = [
        (time.labels.get(name, name), TIME_KINDS.get(name, "added"), ms, duration(ms))
        for name, ms in time.overall_ms.items()
    ]
    return Summary(
        byline=_byline(manifest, stats),
        notes=notes(stats, bad_records),
        score=score_of(stats.scores, stats.benchmark),
        facts=_facts(stats),
        outcomes=segments([(name, kind, n, number(n)) for name, kind, n in _outcomes(stats.scores)]),
        time=segments(parts),
        time_note="Summed over the tasks that ended; tasks run side by side, so the sum is more than the wall time.",
        tables=[
            table
            for table in (*by_kind(stats), *by_question(stats), judges(stats), errors(stats), slowest(stats, hrefs))
            if table.rows
        ],
    )


def _outcomes(scores: Scores | None) -> list[tuple[str, str, int]]:
    """Name, colour of the page and count of each outcome."""
    if scores is None:
        return []
    return [
        ("right", "right", scores.n_right),
        ("wrong", "wrong", scores.n_wrong),
        ("unanswered", "unanswered", scores.n_unanswered),
        ("ungraded", "ungraded", scores.n_ungraded),
        ("error", "error", scores.n_error),
        ("skipped", "skipped", scores.n_skipped),
        ("not ended", "rest", scores.n_missing),
    ]


def _byline(manifest: Mapping[str, Any], stats: Stats) -> list[str]:
    dataset: Mapping[str, Any] = manifest.get("dataset") or {}
    orchestrator: Mapping[str, Any] = manifest.get("orchestrator") or {}
    lines = [f"protocol {stats.run.protocol or 'unknown'}"]
    if stats.benchmark.name != "hle":
        lines.insert(0, stats.benchmark.title)
    if orchestrator.get("model"):
        served, checkpoint = orchestrator["model"], orchestrator.get("checkpoint")
        lines.append(f"orchestrator: {checkpoint}, served as {served}" if checkpoint else f"orchestrator: {served}")
    if dataset.get("path"):
        name = str(dataset["path"]).rsplit("/", 1)[-1]
        version = f", version {dataset['version']}" if dataset.get("version") else ""
        lines.append(f"{name}{version}, sha256 {str(dataset.get('sha256'))[:8]}")
    lines.append(f"{number(stats.tasks.n_ended)} tasks")
    if manifest.get("created_ts"):
        lines.append(moment(str(manifest["created_ts"])))
    return lines


def _facts(stats: Stats) -> list[Fact]:
    run, tasks, costs, metrics = stats.run, stats.tasks, stats.costs, stats.metrics
    total = costs.total
    cost_lines: list[str] = []
    if total.n_unpriced:
        cost_lines.append(f"{number(total.n_unpriced)} of {number(total.calls)} calls have no known price")
    unknown = [unit.unit for unit in costs.units if unit.quantity and unit.usd is None]
    if unknown:
        cost_lines.append(f"no known price for {' and '.join(UNIT_WORDS.get(unit, unit) for unit in unknown)}")
    if costs.per_correct_usd is not None:
        cost_lines.append(f"{money(costs.per_correct_usd)} for each right answer")
    cost = "unknown"
    if costs.total_usd is not None:
        cost = f"{'≥ ' if costs.at_least else ''}{money(costs.total_usd)}"
    n_error = tasks.by_status.get("error", 0)
    share = stats.accounting.unexplained_share.p50
    call, task = metrics["orchestrator_call_ms"], metrics["task_duration_ms"]
    turns = [f"{number(run.turns_per_hour, 0)} turns/h"] if run.turns_per_hour is not None else []
    if run.orchestrator_output_tokens_per_s is not None:
        turns.append(f"{number(run.orchestrator_output_tokens_per_s, 0)} orchestrator tokens/s out")
    facts = [
        Fact(
            "Wall time",
            duration(run.wall_ms),
            f"{number(run.concurrency)} tasks at once" + (f", {run.n_segments} segments" if run.n_segments > 1 else ""),
        ),
        Fact("Throughput", f"{number(run.tasks_per_hour, 0)} tasks/h", ", ".join(turns)),
        Fact("Cost", cost, "; ".join(cost_lines)),
        Fact("A task takes", duration(task.p50), _tail(task)),
        Fact("An orchestrator turn", duration(call.p50), _tail(call)),
        Fact(
            "Errors",
            number(n_error),
            f"of {number(tasks.n_ended)} tasks"
            + (f": {', '.join(f'{one.error_type} {number(one.n)}' for one in stats.errors.tasks)}" if n_error else ""),
            "bad" if n_error else "",
        ),
        Fact(
            "Unexplained time",
            percent(share, 2),
            "of a task's wall time, at the median",
            "" if share is None else ("good" if abs(share) <= UNEXPLAINED_LIMIT else "bad"),
        ),
    ]
    if check := _server_check(stats.server_check):
        facts.append(check)
    return facts


def _tail(metric: MetricStatistics) -> str:
    """The highest percentile that n carries, else the longest."""
    name = highest_percentile(metric.n) or "max"
    return f"median; {name} {duration(getattr(metric, name))}"


def _server_check(found: ServerCheck | None) -> Fact | None:
    ratios = {
        row.name: row.ratio
        for row in (found.sums if found else ())
        if row.name in ("queue_ms", "prefill_ms", "decode_ms") and row.ratio is not None
    }
    if not ratios:
        return None
    name, worst = max(ratios.items(), key=lambda item: abs(item[1] - 1))
    off = abs(worst - 1)
    detail = f"largest gap, of {name.removesuffix('_ms')}"
    return Fact("Log vs. vLLM counters", percent(off), detail, "good" if off <= 0.02 else "warn")
