"""What a run's page shows, in the report's own parts: facts, bars, tables, score."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, cast

import msgspec
from podium_analysis.quantities import duration, money, number, percent
from podium_analysis.report.findings import score_of
from podium_analysis.report.page import Fact, Segment, segments
from podium_analysis.report.page import Score as PageScore
from podium_analysis.report.summary import TIME_KINDS
from podium_analysis.scoring.scores import Score, wilson
from podium_analysis.stats.overview import Scores

from podium_live.follow.follower import Follower
from podium_live.follow.tables import list_of, load, mapping_of, number_of, tables

TIME_NOTE: Final = "Summed over the tasks that ended; tasks run side by side, so the sum is more than the wall time."
Tone = dict[str, str]
STATE_TONES: Final[Tone] = {"running": "good", "finished": "good", "half_width": "good", "paused": "warn"}


def snapshot(follower: Follower, *, controls: bool) -> dict[str, Any]:
    """Everything that changes on the page; lists and strings alone, as JSON has them."""
    totals = follower.totals
    score = totals.score()
    return {
        "run": follower.run_id,
        "state": follower.state,
        "tone": STATE_TONES.get(follower.state, "bad"),
        "facts": [asdict(fact) for fact in facts(follower)],
        "score": asdict(_words(follower, score)),
        "outcomes": [asdict(piece) for piece in _outcomes(score)],
        "time": [asdict(piece) for piece in _time(follower)],
        "time_note": TIME_NOTE,
        "load": load(follower),
        "tables": [asdict(table) for table in tables(follower)],
        "n_rows": len(follower.order),
        "n_events": totals.n_events,
        "n_bad": follower.n_bad,
        "controls": controls and totals.on,
        "providers": sorted(totals.limits),
    }


def facts(follower: Follower) -> list[Fact]:
    """The numbers at the top."""
    totals = follower.totals
    eta = totals.eta_s()
    turns, prompt, completion = totals.rates()
    n_errors = sum(end.get("status") == "error" for end in totals.ended.values())
    first = [
        Fact(
            "Ended",
            number(len(totals.ended)) + (f" of {number(totals.n_tasks)}" if totals.n_tasks is not None else ""),
        ),
        Fact("Errors", number(n_errors), "of the tasks that ended", "bad" if n_errors else ""),
        Fact("In flight", number(len(totals.in_flight)), f"{number(totals.start.get('concurrency'))} at once at most"),
        Fact(
            "This start runs for" if totals.on else "This start ran for",
            duration(totals.now_ms()),
            ""
            if not totals.on
            else f"about {duration(eta * 1000)} left"
            if eta is not None
            else "time left not known yet",
        ),
        Fact("Turns", f"{number(turns, 1)}/s", f"over the last minute; {number(totals.n_turns)} in all"),
        Fact("Tokens", f"{number(completion, 0)}/s out", f"{number(prompt, 0)}/s in, all models"),
        _cost(follower),
    ]
    return [*first, *(_load(follower) if totals.on else [])]


def _cost(follower: Follower) -> Fact:
    totals = follower.totals
    settings: Any = follower.manifest.get("settings")
    budget = cast("dict[str, Any]", settings).get("budget") if isinstance(settings, dict) else None
    lines = [f"of a budget of {money(budget)}"] if isinstance(budget, int | float) else ["no budget is set"]
    if totals.n_unpriced:
        lines.append(f"{number(totals.n_unpriced)} calls have no known price")
    shown = "unknown" if totals.spent_usd is None else money(totals.spent_usd)
    if totals.spent_usd is not None and totals.n_unpriced:
        shown = f"≥ {shown}"
    over = isinstance(budget, int | float) and totals.spent_usd is not None and totals.spent_usd >= budget
    return Fact("Cost", shown, "; ".join(lines), "warn" if over else "")


def _load(follower: Follower) -> list[Fact]:
    """The newest sample, where one was taken."""
    if not follower.samples:
        return []
    sample = follower.samples[-1]
    found: list[Fact] = []
    vllm = mapping_of(sample.get("vllm"))
    if vllm:
        kv = number_of(vllm.get("kv_use"))
        waiting = f"{number(number_of(vllm.get('waiting')), 0)} waiting"
        found.append(
            Fact("vLLM", f"{number(number_of(vllm.get('running')), 0)} running", f"{waiting}; KV {percent(kv)}")
        )
    gpus = [mapping_of(gpu) for gpu in list_of(sample.get("gpus"))]
    use = [value for gpu in gpus if (value := number_of(gpu.get("util_pct"))) is not None]
    power = [value for gpu in gpus if (value := number_of(gpu.get("power_w"))) is not None]
    if use or power:
        shown = f"{sum(use) / len(use):.0f} %" if use else "–"
        found.append(Fact("GPUs", shown, f"{number(sum(power), 0)} W together" if power else "power not known"))
    return found


def _words(follower: Follower, score: Score | None) -> PageScore:
    """The report's words; while tasks are missing also the score of those that ended."""
    words = score_of(_scores(follower, score), None)
    if score is None or not score.n_missing:
        return words
    n = score.n - score.n_missing
    low, high = wilson(score.n_right, n)
    shown = f"{100 * score.n_right / n:.1f} % of the {number(n)} that ended"
    so_far = f"So far {shown}, 95 % interval {low:.1f} to {high:.1f} (Wilson)"
    return PageScore(words.label, words.value, [so_far, *words.details])


def _scores(follower: Follower, score: Score | None) -> Scores | None:
    if score is None:
        return None
    nothing: dict[str, Any] = dict.fromkeys(("repeats", "agreement", "panel", "groups", "screened"))
    protocol = follower.totals.start.get("protocol")
    return Scores(**msgspec.structs.asdict(score), protocol=protocol, rejudged=False, judges=[], **nothing)


def _outcomes(score: Score | None) -> Sequence[Segment]:
    if score is None:
        return []
    counts = [
        ("right", "right", score.n_right), ("wrong", "wrong", score.n_wrong),
        ("unanswered", "unanswered", score.n_unanswered), ("ungraded", "ungraded", score.n_ungraded),
        ("error", "error", score.n_error), ("skipped", "skipped", score.n_skipped),
        ("not ended", "rest", score.n_missing),
    ]  # fmt: skip
    return segments([(name, kind, n, number(n)) for name, kind, n in counts])


def _time(follower: Follower) -> Sequence[Segment]:
    labels = follower.parts.labels
    return segments(
        [
            (labels[name], TIME_KINDS.get(name, "added"), ms, duration(ms))
            for name, ms in follower.parts.overall_ms.items()
        ]
    )
