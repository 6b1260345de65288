"""Scores of a run: accuracy with its intervals, calibration, repeats, and the paired comparison of two runs.

All shares are percent, 0 to 100. A figure that cannot be had is None and says why. docs/scoring.md defines each one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Z: Final = 1.96
"""The official half width uses 1.96; the intervals here do too, so that they differ in method alone."""
BIN: Final = 100
"""Samples in a bin of the official calibration error."""
LIMITS: Final = frozenset({"round_limit", "context_limit", "time_limit"})

Outcome = Literal["right", "wrong", "unanswered", "ungraded", "error", "skipped"]
"""right, wrong: graded answers. unanswered: the episode ended without one. ungraded: answered, but the judge failed.
error: infrastructure kept the task from its end. skipped: never asked, by a setting."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """One task's ending as scoring sees it; confidence in percent, None where none is known."""

    task_id: str
    epoch: int
    outcome: Outcome
    confidence: float | None = None

    @property
    def correct(self) -> bool:
        """As the official accuracy counts: whatever is not right is not correct."""
        return self.outcome == "right"

    @property
    def graded(self) -> bool:
        """It has a grade of its own: right, wrong, or no answer given."""
        return self.outcome in ("right", "wrong", "unanswered")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value in percent over n samples; None with the reason where it cannot be computed."""

    value: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one pass over the questions. n: all questions asked for, whatever became of them."""

    n: int
    n_right: int
    n_wrong: int
    n_unanswered: int
    n_ungraded: int
    n_error: int
    n_skipped: int
    n_missing: int
    """Tasks that have not ended (yet)."""
    accuracy: float | None
    """Official: right / n; all others, n_ungraded, n_error, n_skipped and n_missing included, count as wrong."""
    half_width: float | None
    """Official 95% half width: 1.96 * sqrt(a * (100 - a) / n)."""
    wilson: tuple[float, float] | None
    """Wilson's 95% interval of the accuracy, which stays honest near 0 and 100 and for small n."""
    accuracy_graded: Figure
    """right / (right + wrong + unanswered): what had no grade is left out."""
    calibration_official: Figure
    calibration_corrected: Figure
    n_confidence: int
    """Graded answers with a confidence, which calibration is computed from."""


@dataclass(frozen=True, slots=True)
class PassAtK:
    """Mean over questions of the chance that at least one of k draws from its graded samples is right."""

    k: int
    value: float | None
    n: int
    """Questions with at least k graded samples."""
    n_missing: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """The figures of `--epochs k`. accuracies: the official accuracy of each epoch, in the order of epochs."""

    epochs: int
    n_questions: int
    accuracies: tuple[float, ...]
    mean: float
    sd: float | None
    """Between epochs (n - 1 in the denominator); None for one epoch."""
    low: float | None
    high: float | None
    """95% interval of the mean, from the spread between questions: a question's samples are not independent."""
    pass_at_k: tuple[PassAtK, ...]


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs on the same questions, B less A. p: McNemar's exact two-sided test; interval after Agresti and Min."""

    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


def outcome_of(status: str, ending: str, correct: bool | None) -> Outcome:
    """What a task_complete event (or a task's record) comes to."""
    if status == "skipped":
        return "skipped"
    if ending in LIMITS and status == "done":
        return "unanswered"
    if correct is not None and status == "done":
        return "right" if correct else "wrong"
    return "ungraded" if ending == "answered" else "error"


def score(samples: Sequence[Sample], n_total: int | None = None) -> Score:
    """One pass over the questions. n_total: tasks of the run, so that tasks that never ended count (None: all ended).

    Raises:
        ValueError: more samples than n_total, or a task twice.
    """
    n = len(samples) if n_total is None else n_total
    if len(samples) > n:
        raise ValueError(f"{len(samples)} samples of {n} tasks")
    if len({(s.task_id, s.epoch) for s in samples}) != len(samples):
        raise ValueError("a task has two samples")
    count = Counter(s.outcome for s in samples)
    right = count["right"]
    graded = right + count["wrong"] + count["unanswered"]
    rated = [s for s in samples if s.outcome in ("right", "wrong") and s.confidence is not None]
    confidence = np.array([s.confidence for s in rated], dtype=np.float64)
    correct = np.array([s.correct for s in rated], dtype=np.bool_)
    accuracy = 100 * right / n if n else None
    return Score(
        n=n,
        n_right=right,
        n_wrong=count["wrong"],
        n_unanswered=count["unanswered"],
        n_ungraded=count["ungraded"],
        n_error=count["error"],
        n_skipped=count["skipped"],
        n_missing=n - len(samples),
        accuracy=accuracy,
        half_width=None if accuracy is None else half_width(accuracy, n),
        wilson=wilson(right, n) if n else None,
        accuracy_graded=Figure(100 * right / graded if graded else None, graded, None if graded else "nothing graded"),
        calibration_official=official_calibration(confidence, correct),
        calibration_corrected=corrected_calibration(confidence, correct),
        n_confidence=len(rated),
    )


def half_width(accuracy: float, n: int) -> float:
    """The official 95% half width in percent points of an accuracy in percent over n questions."""
    return Z * math.sqrt(accuracy * (100 - accuracy) / n)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's score interval (z = 1.96) in percent."""
    p = right / n
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    # The ends are exact at 0 and n; rounding would leave them a hair off.
    return (0.0 if right == 0 else 100 * (middle - half), 100.0 if right == n else 100 * (middle + half))


def official_calibration(confidence: Floats, correct: Bools) -> Figure:
    """The official calibration error, its fault included: the last bin is left out of the sum, but not of its weights.

    Sorted by confidence (ties in the order given), cut into n // 100 bins of 100, the last one taking the rest; root of
    the mean of (mean confidence - accuracy)², weighted by bin size over n. So it is 0 for 100 to 199 samples and the
    official code fails below 100: None here.
    """
    n = len(confidence)
    if n < BIN:
        return Figure(None, n, f"the official code fails below {BIN} graded answers with a confidence")
    order = np.argsort(confidence, kind="stable")
    gaps = _squared_gaps(confidence[order], correct[order].astype(np.float64))
    reason = "one bin only, which the official code leaves out: 0 says nothing" if n < 2 * BIN else None
    return Figure(math.sqrt(sum(gaps[:-1]) / n), n, reason)


def corrected_calibration(confidence: Floats, correct: Bools) -> Figure:
    """The same with every bin counted, at least one bin, and ties without an order.

    Samples of equal confidence may fall into two bins; each then carries the mean correctness of all its equals, so
    that the value does not depend on the order of the questions.
    """
    n = len(confidence)
    if n == 0:
        return Figure(None, 0, "no graded answer has a confidence")
    order = np.argsort(confidence, kind="stable")
    rated = confidence[order]
    _, group, sizes = np.unique(rated, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=correct[order].astype(np.float64)) / sizes
    return Figure(math.sqrt(sum(_squared_gaps(rated, shares[group])) / n), n)


def _squared_gaps(confidence: Floats, correct: Floats) -> list[float]:
    """Of each bin: size times squared gap between mean confidence and accuracy, in percent²."""
    n = len(confidence)
    starts = [at * BIN for at in range(max(1, n // BIN))]
    ends = [*starts[1:], n]
    return [
        (end - start) * (float(confidence[start:end].mean()) - 100 * float(correct[start:end].mean())) ** 2
        for start, end in zip(starts, ends, strict=True)
    ]


def pass_at_k(n: int, right: int, k: int) -> float:
    """Unbiased estimate, 0 to 1, from n samples of which `right` are: 1 - C(n - right, k) / C(n, k).

    Raises:
        ValueError: not 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} samples")
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def repeats(samples: Iterable[Sample], epochs: int, n_questions: int) -> Repeats:
    """The figures of a run whose every question was asked `epochs` times; what is missing counts as wrong, but not in
    pass@k, which is over graded samples alone.
    """
    by_question: defaultdict[str, list[Sample]] = defaultdict(list)
    right_of_epoch = [0] * epochs
    for sample in samples:
        by_question[sample.task_id].append(sample)
        right_of_epoch[sample.epoch - 1] += sample.correct
    accuracies = tuple(100 * right / n_questions for right in right_of_epoch)
    mean = sum(accuracies) / epochs
    means = [100 * sum(s.correct for s in group) / epochs for group in by_question.values()]
    means += [0.0] * (n_questions - len(means))
    error = float(np.std(means, ddof=1)) / math.sqrt(n_questions) if n_questions > 1 else None
    return Repeats(
        epochs=epochs,
        n_questions=n_questions,
        accuracies=accuracies,
        mean=mean,
        sd=float(np.std(accuracies, ddof=1)) if epochs > 1 else None,
        low=None if error is None else max(0.0, mean - Z * error),
        high=None if error is None else min(100.0, mean + Z * error),
        pass_at_k=tuple(_pass_at(k, by_question.values(), n_questions) for k in range(1, epochs + 1)),
    )


def _pass_at(k: int, questions: Iterable[Sequence[Sample]], n_questions: int) -> PassAtK:
    values: list[float] = []
    for group in questions:
        graded = [s for s in group if s.graded]
        if len(graded) >= k:
            values.append(pass_at_k(len(graded), sum(s.correct for s in graded), k))
    mean = 100 * sum(values) / len(values) if values else None
    return PassAtK(k, mean, len(values), n_questions - len(values))


def paired(a: Sequence[bool], b: Sequence[bool]) -> Paired:
    """Compare two runs question by question: a[i] and b[i] are the same question's grades.

    Raises:
        ValueError: of different lengths.
    """
    pairs = list(zip(a, b, strict=True))
    n = len(pairs)
    both, only_a = sum(x and y for x, y in pairs), sum(x and not y for x, y in pairs)
    only_b = sum(y and not x for x, y in pairs)
    if n == 0:
        return Paired(0, 0, 0, 0, 0, None, None, None, None)
    # Agresti and Min (2005): half a pair added to each cell keeps the interval open when few pairs differ.
    more, less, all_ = only_b + 0.5, only_a + 0.5, n + 2
    middle = (more - less) / all_
    half = Z * math.sqrt((more + less) / all_ - middle * middle) / math.sqrt(all_)
    return Paired(
        n=n,
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=n - both - only_a - only_b,
        difference=100 * (only_b - only_a) / n,
        low=100 * max(-1.0, middle - half),
        high=100 * min(1.0, middle + half),
        p=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p of McNemar's test, from the pairs of which just one is right; 1 where there is none."""
    n = only_a + only_b
    tail = sum(math.comb(n, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**n)
