"""The figures of a run with epochs: mean, spread between and within questions, pass@k."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from podium_analysis.scoring.scores import Sample, Z
from podium_analysis.section import Count, Section


class PassAtK(Section, frozen=True):
    """Mean over questions of the chance that at least one of k draws from its graded samples is right."""

    k: Count
    value: float | None
    n: Count
    """Questions with at least k graded samples."""
    n_missing: Count


class Repeats(Section, frozen=True):
    """The figures of `--epochs k`. accuracies: the official accuracy of each epoch, in the order of epochs."""

    epochs: Count
    n_questions: Count
    accuracies: tuple[float, ...]
    mean: float
    sd: float | None
    """Between epochs (n - 1 in the denominator); None for one epoch."""
    low: float | None
    high: float | None
    """95% interval of the mean, from the spread between questions: a question's samples are not independent."""
    pass_at_k: tuple[PassAtK, ...]


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
