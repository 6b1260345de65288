"""Intervals of a score whose questions were asked several times: a question's samples are not independent."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

from podium_analysis.section import Interval

Z: Final = 1.96
"""The official half width uses 1.96; the intervals here do too, so that they differ in method alone."""


class Asked(Protocol):
    """A sample of a question."""

    @property
    def task_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...


def by_question(samples: Sequence[Asked], values: Sequence[float], n: int) -> list[tuple[float, int]] | None:
    """Of each question the sum of its samples' values, and its size; None where no question was asked twice.

    n: of all samples, those that have not ended too: each of them is 0, in a question that lacks an epoch or is unseen.
    """
    epochs = max((sample.epoch for sample in samples), default=1)
    sums: defaultdict[str, float] = defaultdict(float)
    sizes: defaultdict[str, int] = defaultdict(int)
    for sample, value in zip(samples, values, strict=True):
        sums[sample.task_id] += value
        sizes[sample.task_id] += 1
    if len(sizes) == len(samples) and (epochs < 2 or n == len(samples)):
        return None
    missing = n - len(samples)
    found: list[tuple[float, int]] = []
    for question, size in sizes.items():
        lacking = min(missing, max(0, epochs - size))
        missing -= lacking
        found.append((sums[question], size + lacking))
    while missing > 0:
        found.append((0.0, min(epochs, missing)))
        missing -= epochs
    return found


def clustered(samples: Sequence[Asked], right: Sequence[bool], n: int) -> Interval | None:
    """Wilson's 95% interval in percent with the number of independent samples that n are worth, at most n.

    That number is p(1 - p) over the variance of the share right from the spread between questions (linearised, Q - 1
    in the denominator); where all are right, all wrong, or there is one question, it is the number of questions Q.
    None where no question was asked twice.
    """
    questions = by_question(samples, [float(one) for one in right], n)
    if questions is None:
        return None
    count, p = len(questions), sum(total for total, _ in questions) / n
    worth = float(count)
    if 0 < p < 1 and count > 1:
        spread = sum((total - p * size) ** 2 for total, size in questions) * count / (count - 1) / n**2
        worth = float(n) if spread == 0 else min(float(n), p * (1 - p) / spread)
    return wilson(p * worth, worth)


def wilson(right: float, n: float) -> Interval:
    """Wilson's score interval (z = 1.96) in percent."""
    p = right / n
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(max(0.0, p * (1 - p)) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    # The ends are exact at 0 and n; rounding would leave them a hair off.
    return (0.0 if right == 0 else 100 * (middle - half), 100.0 if right == n else 100 * (middle + half))
