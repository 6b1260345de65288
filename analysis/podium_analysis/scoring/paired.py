"""The paired comparison of two runs on the same questions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from podium_analysis.scoring.scores import Z


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
