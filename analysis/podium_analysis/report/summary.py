"""The top of report.html: score, cost, time, throughput, where the time went, errors; all of it out of stats.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from podium_analysis.report.page import (
    Cell,
    Column,
    Fact,
    Score,
    Segment,
    Table,
    duration,
    money,
    number,
    number_cell,
    percent,
    segments,
    text_cell,
)
from podium_analysis.report.trajectories import BadRecord

OUTCOMES: Final = (
    # name, colour of the page, count in stats.json's scores
    *((name, name, f"n_{name}") for name in ("right", "wrong", "unanswered", "ungraded", "error", "skipped")),
    ("not ended", "rest", "n_missing"),
)
TIME_KINDS: Final[Mapping[str, str]] = {
    # part in stats.json: colour of the page
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
UNEXPLAINED_LIMIT: Final = 0.02
"""Median share of a task's wall time beyond which the profile does not account for the run."""


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
    stats: Mapping[str, Any],
    bad_records: Sequence[BadRecord],
    hrefs: Mapping[tuple[str, int], str],
) -> Summary:
    """hrefs: (task_id, epoch) to the address of its trajectory on the page."""
    scores: Mapping[str, int] = stats["scores"] or {}
    time: Mapping[str, Any] = stats["time"]
    parts = [
        (time["labels"].get(name, name), TIME_KINDS.get(name, "rest"), ms, duration(ms))
        for name, ms in time["overall_ms"].items()
        if ms is not None
    ]
    return Summary(
        byline=_byline(manifest, stats),
        notes=_notes(stats, bad_records),
        score=_score(stats),
        facts=_facts(stats),
        outcomes=segments(
            [(name, kind, scores.get(key, 0), number(scores.get(key, 0))) for name, kind, key in OUTCOMES]
        ),
        time=segments(parts),
        time_note="Summed over the tasks that ended; tasks run side by side, so the sum is more than the wall time.",
        tables=[table for table in (_judges(stats), _errors(stats), _slowest(stats, hrefs)) if table.rows],
    )


def _byline(manifest: Mapping[str, Any], stats: Mapping[str, Any]) -> list[str]:
    dataset: Mapping[str, Any] = manifest.get("dataset") or {}
    orchestrator: Mapping[str, Any] = manifest.get("orchestrator") or {}
    lines = [f"protocol {stats['run']['protocol'] or 'unknown'}"]
    if orchestrator.get("model"):
        lines.append(f"orchestrator {orchestrator['model']}")
    if dataset.get("path"):
        name = str(dataset["path"]).rsplit("/", 1)[-1]
        lines.append(f"{name}, sha256 {str(dataset.get('sha256'))[:8]}")
    lines.append(f"{number(stats['tasks']['n_ended'])} tasks")
    if manifest.get("created_ts"):
        lines.append(str(manifest["created_ts"])[:16].replace("T", " "))
    return lines


def _notes(stats: Mapping[str, Any], bad_records: Sequence[BadRecord]) -> list[str]:
    """What a reader must know before citing a figure of this page."""
    notes: list[str] = []
    log, tasks, accounting = stats["log"], stats["tasks"], stats["accounting"]
    if not log["ended"]:
        notes.append("The log has no end: the run is still going, or was stopped. The figures are of what is there.")
    missing = (tasks["n_expected"] or 0) - tasks["n_ended"]
    if missing > 0:
        notes.append(
            f"{number(missing)} of {number(tasks['n_expected'])} tasks have not ended; the score counts them as wrong."
        )
    for key, is_lost, said in (
        ("n_problems", False, "lines of the log were left out"),
        ("n_lost_values", True, "lines of the log have a value of the wrong type, which counts as missing"),
    ):
        if log[key]:
            listed = [one for one in log["problems"] if (one["kind"] == "lost_value") == is_lost]
            first = f"; the first, line {listed[0]['line']}: {listed[0]['message']}" if listed else ""
            notes.append(f"{number(log[key])} {said}{first}.")
    if bad_records:
        record = bad_records[0]
        notes.append(f"{number(len(bad_records))} task records could not be read; {record.file}: {record.reason}.")
    if stats["scores"] and stats["scores"]["rejudged"]:
        notes.append("The answers were judged again: the score is of the grades in force; all judges are below.")
    if accounting["n_without_calls"]:
        notes.append(
            f"The log holds no calls of {number(accounting['n_without_calls'])} tasks (its level kept them out, or it "
            "was cut): they are in no figure of time."
        )
    if web := stats["errors"].get("web"):
        whys = ", ".join(f"{one['web_error']} {number(one['n'])}" for one in web)
        notes.append(f"The web failed for {number(sum(one['n'] for one in web))} searches ({whys}).")
    share = accounting["unexplained_share"]["p50"]
    if share is not None and abs(share) > UNEXPLAINED_LIMIT:
        notes.append(f"At the median {percent(share)} of a task's wall time is not explained by its parts.")
    return notes


def _score(stats: Mapping[str, Any]) -> Score:
    scores: Mapping[str, Any] | None = stats["scores"]
    if not scores or scores["accuracy"] is None:
        return Score("Accuracy", "–", ["No task has ended yet."])
    lines: list[str] = []
    if scores["wilson"]:
        low, high = scores["wilson"]
        lines.append(
            f"95 % interval {low:.1f} to {high:.1f} (Wilson); official half width ±{scores['half_width']:.1f} points"
        )
    lines.append(
        f"{number(scores['n_right'])} right of {number(scores['n'])}, protocol {scores['protocol']}. "
        f"Counted as wrong: {number(scores['n_unanswered'])} unanswered, {number(scores['n_ungraded'])} ungraded, "
        f"{number(scores['n_error'])} errors, {number(scores['n_skipped'])} skipped, "
        f"{number(scores['n_missing'])} not ended."
    )
    graded = scores["accuracy_graded"]
    if graded["value"] is not None and graded["n"] != scores["n"]:
        lines.append(f"Of the {number(graded['n'])} graded: {graded['value']:.1f} %")
    official, corrected = scores["calibration_official"], scores["calibration_corrected"]
    if official["value"] is not None or corrected["value"] is not None:
        shown = "n/a (needs 100)" if official["value"] is None else f"{number(official['value'], 1)} points"
        lines.append(
            f"Calibration error ({number(scores['n_confidence'])} answers): official {shown}; "
            f"corrected {number(corrected['value'], 1)} points"
        )
        if official["value"] is not None:
            lines.append(
                "The official code leaves the order of equal confidences undefined, so its value differs between "
                "machines; here they stand in the order of the tasks."
            )
    repeats: Mapping[str, Any] | None = scores["repeats"]
    if repeats:
        interval = "" if repeats["low"] is None else f", 95 % {repeats['low']:.1f} to {repeats['high']:.1f}"
        passes = ", ".join(f"pass@{p['k']} {number(p['value'], 1)} %" for p in repeats["pass_at_k"])
        lines.append(f"{repeats['epochs']} epochs: mean {repeats['mean']:.1f} %{interval}; {passes}")
    kappa: Mapping[str, Any] | None = scores["agreement"]
    if kappa:
        lines.append(
            f"Two judges over {number(kappa['n'])} answers: agreement {number(kappa['share'], 1)} %, "
            f"kappa {number(kappa['kappa'], 2)}"
        )
    return Score("Accuracy", f"{scores['accuracy']:.1f} %", lines)


def _facts(stats: Mapping[str, Any]) -> list[Fact]:
    run, tasks, costs, metrics = stats["run"], stats["tasks"], stats["costs"], stats["metrics"]
    total: Mapping[str, Any] = costs["total"]
    cost_lines: list[str] = []
    if total["n_unpriced"]:
        cost_lines.append(f"{number(total['n_unpriced'])} of {number(total['calls'])} calls have no known price")
    unknown = [str(unit["unit"]) for unit in costs["units"] if unit["quantity"] and unit["usd"] is None]
    if unknown:
        cost_lines.append(f"no known price for {' and '.join(UNIT_WORDS.get(unit, unit) for unit in unknown)}")
    if costs["per_correct_usd"] is not None:
        cost_lines.append(f"{money(costs['per_correct_usd'])} for each right answer")
    cost = "unknown"
    if costs["total_usd"] is not None:
        cost = f"{'≥ ' if costs['at_least'] else ''}{money(costs['total_usd'])}"
    n_error = tasks["by_status"].get("error", 0)
    share = stats["accounting"]["unexplained_share"]["p50"]
    call, task = metrics["orchestrator_call_ms"], metrics["task_duration_ms"]
    turns = [f"{number(run['turns_per_hour'], 0)} turns/h"] if run["turns_per_hour"] is not None else []
    if run["orchestrator_output_tokens_per_s"] is not None:
        turns.append(f"{number(run['orchestrator_output_tokens_per_s'], 0)} orchestrator tokens/s out")
    facts = [
        Fact(
            "Wall time",
            duration(run["wall_ms"]),
            f"{number(run['concurrency'])} tasks at once"
            + (f", {run['n_segments']} segments" if run["n_segments"] > 1 else ""),
        ),
        Fact("Throughput", f"{number(run['tasks_per_hour'], 0)} tasks/h", ", ".join(turns)),
        Fact("Cost", cost, "; ".join(cost_lines)),
        Fact("A task takes", duration(task["p50"]), f"median; p99 {duration(task['p99'])}"),
        Fact("An orchestrator turn", duration(call["p50"]), f"median; p99 {duration(call['p99'])}"),
        Fact(
            "Errors",
            number(n_error),
            f"of {number(tasks['n_ended'])} tasks"
            + (f": {_listing(stats['errors']['tasks'], 'error_type')}" if n_error else ""),
            "bad" if n_error else "",
        ),
        Fact(
            "Unexplained time",
            percent(share, 2),
            "of a task's wall time, at the median",
            "" if share is None else ("good" if abs(share) <= UNEXPLAINED_LIMIT else "bad"),
        ),
    ]
    if check := _server_check(stats["server_check"]):
        facts.append(check)
    return facts


def _server_check(found: Mapping[str, Any] | None) -> Fact | None:
    ratios = {
        row["name"]: row["ratio"]
        for row in (found or {}).get("sums", [])
        if row["name"] in ("queue_ms", "prefill_ms", "decode_ms") and row["ratio"] is not None
    }
    if not ratios:
        return None
    name, worst = max(ratios.items(), key=lambda item: abs(item[1] - 1))
    off = abs(worst - 1)
    detail = f"largest gap between the log's sums and vLLM's own counters ({name.removesuffix('_ms')})"
    return Fact("Against the server", percent(off), detail, "good" if off <= 0.02 else "warn")


def _listing(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    return ", ".join(f"{row[key]} {number(row['n'])}" for row in rows)


def _slowest(stats: Mapping[str, Any], hrefs: Mapping[tuple[str, int], str]) -> Table:
    rows = [
        [
            text_cell(task["task_id"], hrefs.get((task["task_id"], task["epoch"]), "")),
            number_cell(task["duration_ms"], text=duration(task["duration_ms"])),
            number_cell(task["rounds"]),
            text_cell(task["why"]),
        ]
        for task in stats["slowest_tasks"]
    ]
    columns = [Column("task"), Column("time", True), Column("turns", True), Column("why", wide=True)]
    return Table("slowest", "The slowest tasks", columns, rows)


def _judges(stats: Mapping[str, Any]) -> Table:
    """Every judge's view of the same answers, the run's own first; none unless the run was judged again."""
    judges: Sequence[Mapping[str, Any]] = stats["scores"]["judges"] if stats["scores"] else []
    rows: list[list[Cell]] = []
    for entry in judges:
        name, score = entry["name"], entry["score"]
        kappa: Mapping[str, Any] = entry["against_own"] or {"share": None, "kappa": None}
        low, high = score["wilson"] or (None, None)
        rows.append(
            [
                text_cell(name["judge"] or "no model"),
                text_cell(name["protocol"]),
                text_cell((name["prompt_hash"] or "")[:8] or None),
                number_cell(score["accuracy"], 1),
                text_cell(None if low is None else f"{low:.1f} to {high:.1f}"),
                *(number_cell(score[f"n_{key}"]) for key in ("right", "wrong", "ungraded")),
                number_cell(kappa["share"], 1),
                number_cell(kappa["kappa"], 2),
                number_cell(entry["usd"], text=money(entry["usd"])),
            ]
        )
    numbers = ("right", "wrong", "ungraded", "agreement %", "kappa", "cost")
    columns = [
        *(Column(heading) for heading in ("judge", "protocol", "prompt")),
        Column("accuracy %", True),
        Column("95 %"),
        *(Column(heading, True) for heading in numbers),
    ]
    return Table("judges", "Judges", columns, rows, "Agreement and kappa are with the run's own judge.")


def _errors(stats: Mapping[str, Any]) -> Table:
    """A row an error type, where it struck; by model and tool it is among the statistics."""
    groups = ("tasks", "calls", "tools", "judgements")
    counts: dict[str, dict[str, int]] = {}
    for group in groups:
        for row in stats["errors"][group]:
            by_group = counts.setdefault(str(row["error_type"]), dict.fromkeys(groups, 0))
            by_group[group] += row["n"]
    rows = [
        [text_cell(name), *(number_cell(by_group[group]) for group in groups)]
        for name, by_group in sorted(counts.items(), key=lambda item: [-n for n in item[1].values()])
    ]
    columns = [Column("error"), *(Column(name, True) for name in ("tasks", "model calls", "tools", "judgements"))]
    return Table("errors", "Errors by type", columns, rows)
