"""Two runs, one verdict: better, worse or not told apart, and how many questions it would take."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from podium_contracts.events import NewerSchema

from podium_analysis.compare import pairing
from podium_analysis.compare.comparison import NotComparable
from podium_analysis.compare.differences import mismatches
from podium_analysis.compare.significance import Floats, mean_by
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder
from podium_analysis.load.run_data import load_run

POWER: Final = 0.8
"""The chance to see a difference of that size, which the number of questions is for."""
LEVEL: Final = 0.05
SMALLEST: Final = 2.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Accuracy of the run less the baseline's, in percent points, with its interval at 1 - level.

    n_questions: shared and graded in both. n_needed: questions that would show `smallest` with a power of 0.8.
    """

    word: Literal["better", "worse", "not told apart"]
    n_questions: int
    n_needed: int
    difference: float
    low: float
    high: float
    level: float
    smallest: float

    def __str__(self) -> str:
        small = abs(self.difference) < self.smallest and (self.low > 0 or self.high < 0)
        why = f": a difference, but below the {self.smallest:g} points of interest" if small else ""
        return (
            f"{self.word}{why}: {self.difference:+.2f} points, {100 * (1 - self.level):g} % interval "
            f"{self.low:+.2f} to {self.high:+.2f}, {self.n_questions} questions; {self.smallest:g} points at level "
            f"{self.level:g} with power {POWER:g} take about {self.n_needed} questions"
        )


def verdict(differences: Sequence[float] | Floats, level: float = LEVEL, smallest: float = SMALLEST) -> Verdict:
    """differences: of each question the run's share right less the baseline's, -1 to 1; the mean over its epochs.

    Half a question better and half a question worse are added, twice over (as Agresti and Min do for pairs), so that
    few or equal questions give no interval of width 0.

    Raises:
        ValueError: there is no question, or level or smallest is out of range.
    """
    if not len(differences) or not 0 < level < 1 or not smallest > 0:
        raise ValueError("a verdict needs a question, a level between 0 and 1, and a smallest difference above 0")
    given = np.asarray(differences, dtype=float)
    n, total = len(given), len(given) + 2
    middle = float(given.sum()) / total
    variance = (float((given**2).sum()) + 1) / total - middle**2
    z = NormalDist().inv_cdf(1 - level / 2)
    half = z * math.sqrt(variance / total)
    value, low, high = 100 * float(given.mean()), 100 * max(-1.0, middle - half), 100 * min(1.0, middle + half)
    word: Literal["better", "worse", "not told apart"] = "not told apart"
    if abs(value) >= smallest and (low > 0 or high < 0):
        word = "better" if low > 0 else "worse"
    reach = z + NormalDist().inv_cdf(POWER)
    needed = math.ceil(variance * (100 * reach / smallest) ** 2)
    return Verdict(word, n, needed, value, low, high, level, smallest)


def verdict_of(run: Path, baseline: Path, level: float, smallest: float) -> Verdict:
    """The run against the baseline over the questions that both graded.

    Raises:
        NotComparable: protocol or dataset differ, or no graded question is shared. LoadError, NewerSchema.
    """
    with load_run(baseline) as before, load_run(run) as after:
        a, b = pairing.side(before, []), pairing.side(after, [])
        refused = [m for m in mismatches(before.manifest, after.manifest) if m.refuses]
    if refused:
        what = "; ".join(f"{m.what}: {m.a} against {m.b}" for m in refused)
        raise NotComparable(f"{a.run_id} and {b.run_id} are not comparable: {what}")
    keys = [k for k in pairing.shared(a, b) if {a.outcome[k], b.outcome[k]} <= pairing.GRADED]
    if not keys:
        raise NotComparable(f"{a.run_id} and {b.run_id} have no graded task in common")
    moved = np.array([float(b.outcome[k] == "right") - float(a.outcome[k] == "right") for k in keys])
    return verdict(mean_by(moved, np.array([k[0] for k in keys])), level, smallest)


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """The options of `gate` that a verdict needs."""
    parser.add_argument("--baseline", metavar="RUN", help="exit 1 when the run is worse than this one")
    parser.add_argument("--level", type=float, default=LEVEL, help="of the test, two-sided (%(default)s)")
    parser.add_argument(
        "--smallest", type=float, default=SMALLEST, help="smallest difference of interest in points (%(default)s)"
    )


def baseline_status(args: argparse.Namespace) -> int:
    """Print the verdict. 0: better or not told apart, 1: worse, 2: there is none."""
    try:
        found = verdict_of(run_folder(args.run), run_folder(args.baseline), args.level, args.smallest)
    except (LoadError, NewerSchema, NotComparable, ValueError) as error:
        print(f"podium-analysis gate: {error}", file=sys.stderr)
        return 2
    print(found)
    return int(found.word == "worse")
