"""What a run's benchmark reports beside the accuracy: its own measure, and the score by its kinds of questions."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from podium_contracts.names import NOT_ATTEMPTED
from podium_contracts.records import KINDS

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.scoring.clustered import Z, by_question, clustered, wilson
from podium_analysis.scoring.scores import Sample
from podium_analysis.section import Count, Interval, Section


class Attempts(Section, frozen=True):
    """Answers of three grades (SimpleQA). Shares in percent of n, all questions asked; None where nothing is counted.

    A task that ended without an answer did not attempt one; one without a grade counts in n alone.
    """

    n: Count
    n_correct: Count
    n_incorrect: Count
    n_not_attempted: Count
    n_ungraded: Count
    """The judge, infrastructure or a setting kept them from a grade, or they have not ended."""
    correct: float | None
    attempted: float | None
    correct_given_attempted: float | None
    """Of those attempted; None where none was."""
    f_measure: float | None
    """Harmonic mean of correct and correct_given_attempted; 0 where nothing is correct."""
    f_interval: Interval | None
    """95%, from the spread between questions (delta method); None where there is no spread."""


class KindScore(Section, frozen=True):
    """The questions of one kind; one of several kinds counts in each. accuracy in percent, as officially."""

    kind: str
    n: Count
    n_right: Count
    n_unanswered: Count
    accuracy: float
    wilson: Interval
    clustered: Interval | None

    @property
    def interval(self) -> Interval:
        """The one to cite."""
        return self.clustered or self.wilson


class BenchmarkScore(Section, frozen=True):
    """measure: what the benchmark is ranked by. attempts, kinds: None where the benchmark does not report them."""

    name: str
    title: str
    measure: str
    attempts: Attempts | None
    kinds_name: str | None
    kinds: list[KindScore] | None
    """Largest first."""


def benchmark_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """What run.json tells of the benchmark; an older run is of HLE."""
    given: Any = manifest.get("benchmark")
    if isinstance(given, dict) and isinstance(cast("dict[str, Any]", given).get("name"), str):
        return cast("dict[str, Any]", given)
    return {"name": "hle", "title": "Humanity's Last Exam"}


def benchmark_score(run: RunData, samples: Sequence[Sample], n_total: int | None) -> BenchmarkScore:
    """n_total: tasks of the run, those that have not ended too; None: all ended."""
    about = benchmark_of(run.manifest)
    n = len(samples) if n_total is None else n_total
    measure, kinds = str(about.get("measure") or "accuracy"), about.get("kinds")
    return BenchmarkScore(
        name=str(about["name"]),
        title=str(about.get("title") or about["name"]),
        measure=measure,
        attempts=attempts(samples, n) if measure == "f_measure" else None,
        kinds_name=str(kinds) if kinds else None,
        kinds=kind_scores(samples, kinds_of(run)) if kinds else None,
    )


def attempts(samples: Sequence[Sample], n: int) -> Attempts:
    """Counts, shares and F over n tasks, of which samples have ended."""
    grades = Counter(grade_of(sample) for sample in samples)
    correct, incorrect = grades["correct"], grades["incorrect"]
    tried = correct + incorrect
    f = None if n == 0 else 200 * correct / (n + tried)
    return Attempts(
        n=n,
        n_correct=correct,
        n_incorrect=incorrect,
        n_not_attempted=grades[NOT_ATTEMPTED],
        n_ungraded=n - tried - grades[NOT_ATTEMPTED],
        correct=100 * correct / n if n else None,
        attempted=100 * tried / n if n else None,
        correct_given_attempted=100 * correct / tried if tried else None,
        f_measure=f,
        f_interval=None if f is None else _f_interval(samples, n, f / 100),
    )


def grade_of(sample: Sample) -> str | None:
    """correct, incorrect, not_attempted; None: no grade."""
    match sample.outcome:
        case "right":
            return "correct"
        case "wrong":
            return NOT_ATTEMPTED if sample.grade == NOT_ATTEMPTED else "incorrect"
        case "unanswered":
            return NOT_ATTEMPTED
        case _:
            return None


def kind_scores(samples: Sequence[Sample], kinds: Mapping[tuple[str, int], Sequence[str]]) -> list[KindScore]:
    """The score of each kind; kinds: of each task (id, epoch)."""
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        for kind in kinds.get((sample.task_id, sample.epoch), ()):
            groups[kind].append(sample)
    found: list[KindScore] = []
    for kind, group in groups.items():
        right, n = [sample.correct for sample in group], len(group)
        unanswered = sum(sample.outcome == "unanswered" for sample in group)
        accuracy, interval = 100 * sum(right) / n, wilson(sum(right), n)
        found.append(KindScore(kind, n, sum(right), unanswered, accuracy, interval, clustered(group, right, n)))
    return sorted(found, key=lambda score: (-score.n, score.kind))


def kinds_of(run: RunData) -> dict[tuple[str, int], list[str]]:
    """The kinds of each task (id, epoch) whose question has any."""
    rows = run.rows(
        "SELECT task_id, coalesce(epoch, 1), kinds FROM events WHERE type = 'task_complete' AND kinds IS NOT NULL "
        f"ORDER BY ({IN_TIME})"
    )
    return {(task, epoch): kinds.split(KINDS) for task, epoch, kinds in rows}


def _f_interval(samples: Sequence[Sample], n: int, f: float) -> Interval | None:
    """F is 2R / (n + A): a ratio of sums, so its error is that of the sum of 2r - F(1 + a) over questions."""
    grades = [grade_of(sample) for sample in samples]
    rest = [2 * (g == "correct") - f * (g in ("correct", "incorrect")) for g in grades]
    questions = by_question(samples, rest, n)
    if questions is None:
        questions = [*((one, 1) for one in rest), *((0.0, 1) for _ in range(n - len(samples)))]
    count = len(questions)
    squares = sum((total - f * size) ** 2 for total, size in questions)
    if count < 2 or squares == 0:
        return None
    tried = sum(g in ("correct", "incorrect") for g in grades)
    half = Z * math.sqrt(squares * count / (count - 1)) / (n + tried)
    return 100 * max(0.0, f - half), 100 * min(1.0, f + half)
