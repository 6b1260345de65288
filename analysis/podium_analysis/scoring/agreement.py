"""How far two judges of the same answers agree: Cohen's kappa."""

import math
from collections.abc import Iterable

from podium_analysis.scoring.scores import Z
from podium_analysis.section import Count, Section


class Agreement(Section, frozen=True):
    """Two judges over the answers that both graded. share in percent; kappa 1 is agreement, 0 what chance would give.

    low, high: kappa's 95% interval (large-sample variance of Fleiss, Cohen and Everitt). None with the reason.
    """

    n: Count
    n_missing: Count
    """Answers that at least one of the two did not grade."""
    both_right: Count
    only_first: Count
    only_second: Count
    both_wrong: Count
    share: float | None
    kappa: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def agreement(pairs: Iterable[tuple[bool | None, bool | None]]) -> Agreement:
    """Agreement of (first judge, second judge) on the same answers; None: not graded by that judge."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    missing = 0
    for first, second in pairs:
        if first is None or second is None:
            missing += 1
        else:
            counts[first, second] += 1
    n = sum(counts.values())
    both, first_only, second_only, neither = counts.values()
    if n == 0:
        return Agreement(0, missing, 0, 0, 0, 0, None, None, None, None, "no answer was graded by both")
    seen = (both + neither) / n
    first_right, second_right = (both + first_only) / n, (both + second_only) / n
    chance = first_right * second_right + (1 - first_right) * (1 - second_right)
    if chance == 1:
        reason = "both judges gave every answer the same grade: kappa is not defined"
        return Agreement(n, missing, both, first_only, second_only, neither, 100 * seen, None, None, None, reason)
    if {first_right, second_right} & {0.0, 1.0}:
        reason = "one judge gave every answer the same grade: kappa is 0 whatever the other says"
        return Agreement(n, missing, both, first_only, second_only, neither, 100 * seen, 0.0, None, None, reason)
    kappa = (seen - chance) / (1 - chance)
    error = _standard_error([[both / n, first_only / n], [second_only / n, neither / n]], seen, chance, n)
    low, high = max(-1.0, kappa - Z * error), min(1.0, kappa + Z * error)
    return Agreement(n, missing, both, first_only, second_only, neither, 100 * seen, kappa, low, high)


def _standard_error(p: list[list[float]], seen: float, chance: float, n: int) -> float:
    rows = [sum(p[0]), sum(p[1])]
    columns = [p[0][0] + p[1][0], p[0][1] + p[1][1]]
    kappa = (seen - chance) / (1 - chance)
    diagonal = sum(p[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(2))
    beside = (1 - kappa) ** 2 * sum(p[i][j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    rest = (kappa - chance * (1 - kappa)) ** 2
    return math.sqrt(max(0.0, diagonal + beside - rest) / n) / (1 - chance)
