"""Runs over the same questions, paired: did the score move, what got slower or dearer, which tasks flipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from podium_analysis.compare import pairing
from podium_analysis.compare.differences import Mismatch, SettingRow, mismatches, setting_rows
from podium_analysis.compare.significance import (
    Interval,
    Measure,
    ScoreDifference,
    bootstrap_mean,
    bootstrap_ratio,
    f_difference,
    mean_by,
    score_difference,
)
from podium_analysis.load.records import BadRecord
from podium_analysis.load.run_data import load_run
from podium_analysis.scoring.benchmark.score import benchmark_of
from podium_analysis.scoring.scores import Outcome


class NotComparable(ValueError):
    """The runs' scores do not measure the same thing; the message names what differs."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One quantity over the n pairs that have it in both runs: means, B less A, and B over A."""

    name: str
    unit: str
    n: int
    mean_a: float | None
    mean_b: float | None
    difference: Interval | None
    ratio: Interval | None


@dataclass(frozen=True, slots=True)
class Flip:
    task_id: str
    epoch: int
    before: Outcome
    after: Outcome
    question: str
    answer_a: str | None
    answer_b: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    run_a: str
    run_b: str
    mismatches: Sequence[Mismatch]
    n_a: int
    n_b: int
    n_shared: int
    not_graded: int
    """Shared tasks that at least one run has no verdict on: left out of the score."""
    score: ScoreDifference | None
    cuts: Mapping[str, Sequence[tuple[str, ScoreDifference]]]
    """By the benchmark's kinds, category, subject, answer type, class and image: the score of the pairs of each value,
    the largest first."""
    measure: Measure | None
    """Where the benchmark has a measure of its own beside the accuracy."""
    shifts: Sequence[Shift]
    flips: Sequence[Flip]
    n_unpriced: int
    """Calls of the shared tasks whose price is not known: in no cost."""
    bad_records: Sequence[BadRecord]


@dataclass(frozen=True, slots=True)
class Compared:
    """The first run against each other one. settings: those that are not the same in all runs, first run first."""

    pairs: Sequence[Comparison]
    settings: Sequence[SettingRow]


def compare_runs(folders: Sequence[Path], *, anyway: bool = False) -> Compared:
    """Pair the first run with each other by (task_id, epoch). anyway: also when protocol or dataset differ.

    Raises:
        NotComparable: protocol or dataset differ, or no task is shared. LoadError, NewerSchema: a log is unreadable.
    """
    first, manifest, bad = _side(folders[0])
    manifests = [manifest]
    pairs: list[Comparison] = []
    for folder in folders[1:]:
        other, other_manifest, other_bad = _side(folder)
        differing = mismatches(manifest, other_manifest)
        if not anyway and any(m.refuses for m in differing):
            what = "; ".join(f"{m.what}: {m.a} against {m.b}" for m in differing if m.refuses)
            raise NotComparable(
                f"{first.run_id} and {other.run_id} are not comparable: {what}. "
                "Give --anyway to see the figures beside each other all the same"
            )
        manifests.append(other_manifest)
        pairs.append(_compare(first, other, manifest, differing, [*bad, *other_bad]))
    return Compared(pairs, setting_rows(manifests))


def _side(folder: Path) -> tuple[pairing.Side, Mapping[str, Any], list[BadRecord]]:
    bad: list[BadRecord] = []
    with load_run(folder) as data:
        return pairing.side(data, bad), data.manifest, bad


def _compare(
    a: pairing.Side,
    b: pairing.Side,
    manifest: Mapping[str, Any],
    differing: Sequence[Mismatch],
    bad: Sequence[BadRecord],
) -> Comparison:
    keys = pairing.shared(a, b)
    if not keys:
        raise NotComparable(f"{a.run_id} and {b.run_id} have no finished task in common")
    graded = [k for k in keys if a.outcome[k] in pairing.GRADED and b.outcome[k] in pairing.GRADED]
    flips = [
        Flip(
            *k, a.outcome[k], b.outcome[k],
            a.question.get(k) or b.question.get(k) or "", a.answer.get(k), b.answer.get(k),
        )
        for k in graded
        if (a.outcome[k] == "right") != (b.outcome[k] == "right")
    ]  # fmt: skip
    flips.sort(key=lambda flip: flip.after == "right")
    about = benchmark_of(manifest)
    kinds = {str(about["kinds"]): _kinds(a, b, graded)} if about.get("kinds") else {}
    return Comparison(
        run_a=a.run_id,
        run_b=b.run_id,
        mismatches=differing,
        n_a=len(a.outcome),
        n_b=len(b.outcome),
        n_shared=len(keys),
        not_graded=len(keys) - len(graded),
        score=_score(a, b, graded) if graded else None,
        cuts=kinds | {cut: _cut(a, b, graded, at) for at, cut in enumerate(pairing.CUTS)},
        measure=_measure(a, b, graded) if about.get("measure") == "f_measure" and graded else None,
        shifts=_shifts(a, b, keys),
        flips=flips,
        n_unpriced=sum(run.unpriced.get(k, 0) for run in (a, b) for k in keys),
        bad_records=bad,
    )


def _cut(
    a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]], at: int
) -> list[tuple[str, ScoreDifference]]:
    values: dict[str, list[tuple[str, int]]] = {}
    for k in keys:
        given = a.cuts.get(k) or b.cuts.get(k)
        values.setdefault(given[at] if given else pairing.NOT_GIVEN, []).append(k)
    return [(name, _score(a, b, found)) for name, found in sorted(values.items(), key=lambda v: (-len(v[1]), v[0]))]


def _kinds(a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]]) -> list[tuple[str, ScoreDifference]]:
    """A question of several kinds is in each."""
    values: dict[str, list[tuple[str, int]]] = {}
    for k in keys:
        for kind in a.kinds.get(k) or b.kinds.get(k) or ():
            values.setdefault(kind, []).append(k)
    return [(name, _score(a, b, found)) for name, found in sorted(values.items(), key=lambda v: (-len(v[1]), v[0]))]


def _measure(a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]]) -> Measure:
    def grades(side: pairing.Side) -> list[str | None]:
        return [side.grade[k] for k in keys]

    return f_difference(grades(a), grades(b), np.array([k[0] for k in keys]))


def _score(a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]]) -> ScoreDifference:
    return score_difference(
        np.array([a.outcome[k] == "right" for k in keys]),
        np.array([b.outcome[k] == "right" for k in keys]),
        np.array([k[0] for k in keys]),
    )


def _shifts(a: pairing.Side, b: pairing.Side, keys: Sequence[tuple[str, int]]) -> list[Shift]:
    """Over tasks that ended by themselves in both runs: a failed task's time is another quantity."""
    done = [k for k in keys if not {a.outcome[k], b.outcome[k]} & {"error", "skipped"}]
    shifts: list[Shift] = []
    left = np.array([a.numbers[k] for k in done]).reshape(len(done), len(pairing.QUANTITIES))
    right = np.array([b.numbers[k] for k in done]).reshape(len(done), len(pairing.QUANTITIES))
    questions = np.array([k[0] for k in done])
    pairs = [(name, unit, left[:, i], right[:, i]) for i, (name, unit, _) in enumerate(pairing.QUANTITIES)]
    for tool in sorted({*a.added, *b.added}):
        x, y = (np.array([side.added.get(tool, {}).get(k, np.nan) for k in done]) for side in (a, b))
        pairs.append((f"{tool}.wall", "ms", x, y))
    for name, unit, x, y in pairs:
        known = ~(np.isnan(x) | np.isnan(y))
        n = int(known.sum())
        if n == 0:
            shifts.append(Shift(name, unit, 0, None, None, None, None))
            continue
        # Epochs of one question are not independent: a question is the unit that is resampled.
        x, y = mean_by(x[known], questions[known]), mean_by(y[known], questions[known])
        shifts.append(
            Shift(name, unit, n, float(x.mean()), float(y.mean()), bootstrap_mean(y - x), bootstrap_ratio(x, y))
        )
    return shifts
