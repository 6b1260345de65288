"""Which questions of a dataset a run takes, and in what order."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from podium_contracts.text.surrogates import lossless_bytes

from podium_eval.dataset.question import Question

MAX_SHOWN: Final = 20
"""Problems or names that one message lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the data. where: `file:line` of a jsonl, `file row n` (from 1) of a Parquet file."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class DatasetError(ValueError):
    """The dataset or the selection cannot be used; the message names file, line and what to do."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which questions of a dataset a run takes: filters, then ids, then shuffle, then limit."""

    text_only: bool = False
    categories: tuple[str, ...] = ()
    answer_types: tuple[str, ...] = ()
    verified_classes: tuple[str, ...] = ()
    class_field: str | None = None
    class_file: Path | None = None
    """Where a question's verification class stands; see verification.classified."""
    ids: tuple[str, ...] | None = None
    shuffle_seed: int | None = None
    limit: int | None = None


def select(questions: Sequence[Question], selection: Selection, *, source: str = "dataset") -> tuple[Question, ...]:
    """Apply a selection; without a shuffle the order of the file is kept, also where ids are named.

    Raises:
        DatasetError: an unknown category, answer type or id, a limit below 1, or nothing left.
    """
    if selection.limit is not None and selection.limit < 1:
        raise DatasetError(f"--limit {selection.limit}: at least 1")
    chosen = list(questions)
    if selection.text_only:
        chosen = [q for q in chosen if q.image is None]
    if selection.categories:
        wanted = _known(selection.categories, [q.category for q in questions], "--category", source)
        chosen = [q for q in chosen if (q.category or "").casefold() in wanted]
    if selection.answer_types:
        wanted = _known(selection.answer_types, [q.answer_type for q in questions], "--answer-type", source)
        chosen = [q for q in chosen if (q.answer_type or "").casefold() in wanted]
    if selection.verified_classes:
        wanted = _known(selection.verified_classes, [q.verified_class for q in questions], "--class", source)
        chosen = [q for q in chosen if (q.verified_class or "").casefold() in wanted]
    if selection.ids is not None:
        ids = frozenset(selection.ids)
        missing = sorted(ids - {q.id for q in questions})
        if missing:
            raise DatasetError(f"--ids: {len(missing)} id(s) are not in {source}: {', '.join(missing[:MAX_SHOWN])}")
        chosen = [q for q in chosen if q.id in ids]
    if selection.shuffle_seed is not None:
        seed = selection.shuffle_seed
        chosen.sort(key=lambda q: shuffle_key(seed, q.id))
    if selection.limit is not None:
        chosen = chosen[: selection.limit]
    if not chosen:
        raise DatasetError(f"{source}: the selection leaves no question of {len(questions)}")
    return tuple(chosen)


def shuffle_key(seed: int, question_id: str) -> bytes:
    """The place of a question in a shuffle: SHA-256 of the decimal seed, a zero byte and the id in UTF-8.

    Questions are sorted by it, so an order depends on seed and ids alone: not on Python's version, nor on the order
    of the file, and a question added later moves no other.
    """
    return hashlib.sha256(lossless_bytes(f"{seed}\0{question_id}")).digest()


def read_ids(path: Path) -> tuple[str, ...]:
    """The ids of an --ids file: one a line, blank lines and lines that begin with '# ' left out.

    Raises:
        DatasetError: the file cannot be read or names no id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"--ids {path}: {reason(error)}; give a text file with one id a line") from error
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.startswith("# ")))
    if not ids:
        raise DatasetError(f"--ids {path}: names no id; give one a line")
    return ids


def _known(wanted: Sequence[str], present: Sequence[str | None], option: str, source: str) -> frozenset[str]:
    names = Counter(name for name in present if name)
    known = {name.casefold() for name in names}
    unknown = [name for name in wanted if name.casefold() not in known]
    if unknown:
        there = ", ".join(sorted(names)) or "none"
        raise DatasetError(f"{option} {', '.join(unknown)}: not in {source}, which has: {there}")
    return frozenset(name.casefold() for name in wanted)


def reason(error: Exception) -> str:
    """What a person needs of an I/O or decoding error, without the file's name."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
