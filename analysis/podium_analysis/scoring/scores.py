"""The score of a run: what became of its tasks, accuracy with its intervals.

All shares are percent, 0 to 100. A figure that cannot be computed is None, with its reason.
docs/scoring.md defines each one.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from podium_analysis.scoring.calibration import Figure, corrected_calibration, official_calibration
from podium_analysis.scoring.clustered import Z as Z
from podium_analysis.scoring.clustered import clustered
from podium_analysis.scoring.clustered import wilson as wilson
from podium_analysis.section import Count, Interval, Section

LIMITS: Final = frozenset({"round_limit", "context_limit", "time_limit"})

Outcome = Literal["right", "wrong", "unanswered", "ungraded", "error", "skipped"]
"""right, wrong: graded answers. unanswered: the episode ended without one. ungraded: answered, but the judge failed.
error: infrastructure kept the task from its end. skipped: never asked, by a setting."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One task's ending as scoring sees it; confidence in percent, None where none is known."""

    task_id: str
    epoch: int
    outcome: Outcome
    confidence: float | None = None
    grade: str | None = None
    """Where the protocol has more grades than two."""

    @property
    def correct(self) -> bool:
        """As the official accuracy counts: whatever is not right is not correct."""
        return self.outcome == "right"

    @property
    def graded(self) -> bool:
        """It has a grade of its own: right, wrong, or no answer given."""
        return self.outcome in ("right", "wrong", "unanswered")


class Score(Section, frozen=True):
    """The figures of one pass over the questions. n: all questions asked for, whatever became of them."""

    n: Count
    n_right: Count
    n_wrong: Count
    n_unanswered: Count
    n_ungraded: Count
    n_error: Count
    n_skipped: Count
    n_missing: Count
    """Tasks that have not ended (yet)."""
    accuracy: float | None
    """Official: right / n; all others, n_ungraded, n_error, n_skipped and n_missing included, count as wrong."""
    half_width: float | None
    """Official 95% half width: 1.96 * sqrt(a * (100 - a) / n)."""
    wilson: Interval | None
    """Wilson's 95% interval of the accuracy, which stays honest near 0 and 100 and for small n."""
    accuracy_graded: Figure
    """right / (right + wrong + unanswered): what had no grade is left out."""
    calibration_official: Figure
    calibration_corrected: Figure
    n_confidence: Count
    """Graded answers with a confidence, which calibration is computed from."""
    clustered: Interval | None = None
    """95% interval of the accuracy where questions were asked several times; None where each was asked once."""

    @property
    def interval(self) -> Interval | None:
        """The one to cite."""
        return self.clustered or self.wilson


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
        clustered=clustered(samples, [s.correct for s in samples], n) if n else None,
    )


def half_width(accuracy: float, n: int) -> float:
    """The official 95% half width in percent points of an accuracy in percent over n questions."""
    return Z * math.sqrt(accuracy * (100 - accuracy) / n)
