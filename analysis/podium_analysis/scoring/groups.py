"""Accuracy by what is known of the questions: category, subject, kind of answer, image."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from podium_analysis.load.records import parsed, record_files
from podium_analysis.load.run_data import RunData
from podium_analysis.scoring.clustered import clustered, wilson
from podium_analysis.scoring.scores import Sample
from podium_analysis.section import Count, Interval, Section

TRAITS: Final = ("category", "subject", "answer_type", "verified_class", "has_image")

Traits = tuple[Any, ...]
"""Values of TRAITS."""


class GroupScore(Section, frozen=True):
    """Tasks that ended and have this value in common; None: the dataset gives none.

    accuracy: official, in percent: whatever is not right counts as wrong. wilson: its 95% interval, too narrow for
    questions that were asked several times: clustered is theirs, None where each was asked once.
    """

    value: str | bool | None
    n: Count
    n_right: Count
    n_unanswered: Count
    n_ungraded: Count
    """Without a grade for other reasons than an answer that is missing: the judge, infrastructure or a setting."""
    accuracy: float
    wilson: Interval
    clustered: Interval | None = None

    @property
    def interval(self) -> Interval:
        """The one to cite."""
        return self.clustered or self.wilson


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
    groups = [defaultdict[Any, list[Sample]](list) for _ in TRAITS]
    for sample in samples:
        values = traits.get((sample.task_id, sample.epoch), (None,) * len(TRAITS))
        for of_trait, value in zip(groups, values, strict=True):
            of_trait[value].append(sample)
    return Groups(*(_groups(of_trait) for of_trait in groups))


def _groups(groups: Mapping[Any, Sequence[Sample]]) -> list[GroupScore]:
    found: list[GroupScore] = []
    for value, samples in groups.items():
        outcomes = Counter(sample.outcome for sample in samples)
        n, right = len(samples), outcomes["right"]
        ungraded = outcomes["ungraded"] + outcomes["error"] + outcomes["skipped"]
        by_question = clustered(samples, [sample.correct for sample in samples], n)
        accuracy, interval = 100 * right / n, wilson(right, n)
        found.append(GroupScore(value, n, right, outcomes["unanswered"], ungraded, accuracy, interval, by_question))
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
