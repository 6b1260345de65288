"""Accuracy by what is known of the questions: category, subject, kind of answer, image."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from podium_analysis.load.records import parsed, record_files
from podium_analysis.load.run_data import RunData
from podium_analysis.scoring.scores import Sample, wilson
from podium_analysis.section import Count, Interval, Section

TRAITS: Final = ("category", "subject", "answer_type", "verified_class", "has_image")

Traits = tuple[Any, ...]
"""Values of TRAITS."""


class GroupScore(Section, frozen=True):
    """Tasks that ended and have this value in common; None: the dataset gives none.

    accuracy: official, in percent: whatever is not right counts as wrong. wilson: its 95% interval; a run with epochs
    has it too narrow, since samples of one question are not independent.
    """

    value: str | bool | None
    n: Count
    n_right: Count
    n_unanswered: Count
    n_ungraded: Count
    """Without a grade for other reasons than an answer that is missing: the judge, infrastructure or a setting."""
    accuracy: float
    wilson: Interval


class Groups(Section, frozen=True):
    """The groups of each trait, largest first."""

    category: list[GroupScore]
    subject: list[GroupScore]
    answer_type: list[GroupScore]
    verified_class: list[GroupScore]
    has_image: list[GroupScore]


def group_scores(run: RunData, samples: Iterable[Sample]) -> Groups | None:
    """Accuracy by trait; None where neither the log nor the task records have any."""
    traits = _traits(run)
    if not traits:
        return None
    counts = [defaultdict[Any, Counter[str]](Counter) for _ in TRAITS]
    for sample in samples:
        values = traits.get((sample.task_id, sample.epoch), (None,) * len(TRAITS))
        for of_trait, value in zip(counts, values, strict=True):
            of_trait[value][sample.outcome] += 1
    return Groups(*(_groups(of_trait) for of_trait in counts))


def _groups(counts: Mapping[Any, Counter[str]]) -> list[GroupScore]:
    found: list[GroupScore] = []
    for value, outcomes in counts.items():
        n, right = outcomes.total(), outcomes["right"]
        ungraded = outcomes["ungraded"] + outcomes["error"] + outcomes["skipped"]
        found.append(GroupScore(value, n, right, outcomes["unanswered"], ungraded, 100 * right / n, wilson(right, n)))
    return sorted(found, key=lambda group: (-group.n, group.value is None, str(group.value)))


def _traits(run: RunData) -> dict[tuple[str, int], Traits]:
    names = ", ".join(TRAITS)
    rows = run.rows(
        f"SELECT task_id, epoch, {names} FROM final WHERE coalesce({names.replace('has_image', 'NULL')}) "
        "IS NOT NULL OR has_image IS NOT NULL"
    )
    return {row[:2]: row[2:] for row in rows} or dict(_from_records(run))


def _from_records(run: RunData) -> Iterable[tuple[tuple[str, int], Traits]]:
    """Traits from the task records, for logs whose task_complete lacks them; unreadable records are skipped here."""
    for path in record_files(run.folder):
        try:
            record: Any = parsed(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            found = cast("dict[str, Any]", record)
            traits = tuple(found.get(name) for name in TRAITS)
            if all(value is None or isinstance(value, str | bool) for value in traits):
                yield (str(found.get("task_id")), int(found.get("epoch") or 1)), traits
