"""Questions in HLE's own fields, from JSON rows or Parquet, checked row by row.

Fields: id, question, answer (required texts); image (a URL or bytes, empty for none), answer_type, category,
raw_subject, canary (optional). Everything else of a row stays in the file: rationales must not reach a prompt.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

from podium_eval.dataset.file import decode, is_parquet, raw_rows
from podium_eval.dataset.image import fault_of, image_of_row, type_name
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import MAX_SHOWN, DatasetError, Problem, Selection, select
from podium_eval.dataset.verification import classified, version_of

REQUIRED: Final = ("id", "question", "answer")
OPTIONAL_TEXTS: Final = ("answer_type", "category", "raw_subject", "canary")
UNREAD: Final = frozenset({"rationale", "rationale_image", "image_preview", "author_name", "author_affiliation"})
"""HLE's fields that hold the solution, pictures for people or the author: never loaded into a Question."""


READ: Final = frozenset({*REQUIRED, *OPTIONAL_TEXTS, "image", "images", "json"})
"""What a Question is made of. `json`: HLE-Verified's copy of the whole row, of which only the image is read."""


class Digest(Protocol):
    """A hash object of hashlib."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """questions: the selected ones, in the order they are taken. n: how many the file holds.

    sha256: of the file's bytes (several Parquet files: of their bytes one after the other, in the order of names).
    canary: the first canary text that a row carries.
    """

    questions: tuple[Question, ...]
    sha256: str
    n: int
    path: str
    canary: str | None = None
    version: str | None = None
    """Of a hub dataset the commit, of a file the version in its rows; None: not known."""
    warnings: tuple[Problem, ...] = ()
    """Of the file: questions whose image a model is likely to refuse."""

    @property
    def n_selected(self) -> int:
        return len(self.questions)


@dataclass(slots=True)
class Scan:
    """A whole dataset as read, with everything that is wrong with it."""

    path: str
    is_parquet: bool = False
    sha256: str = ""
    n_rows: int = 0
    """Rows seen, bad ones included."""
    questions: list[Question] = field(default_factory=list[Question])
    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[Problem] = field(default_factory=list[Problem])
    """Questions that can be asked, but whose image a model is likely to refuse."""
    canary: str | None = None
    n_canary: int = 0
    """Rows that carry a canary text."""


def load_questions(path: Path | Sequence[Path], selection: Selection | None = None) -> Dataset:
    """Read a jsonl or Parquet dataset (or the Parquet files of one) and select from it.

    Raises:
        DatasetError: the file is missing or of another kind, a row is bad (every problem listed, the first 20 in the
            message), or the selection names something that is not there or leaves nothing.
    """
    scanned = scan(path)
    if scanned.problems:
        shown = "\n  ".join(str(p) for p in scanned.problems[:MAX_SHOWN])
        more = len(scanned.problems) - MAX_SHOWN
        rest = f"\n  and {more} more: podium-eval data check lists them all" if more > 0 else ""
        raise DatasetError(
            f"{scanned.path}: {len(scanned.problems)} problem(s) in the dataset:\n  {shown}{rest}",
            scanned.problems,
        )
    selection = selection or Selection()
    questions = classified(scanned.questions, selection.class_field, selection.class_file)
    return Dataset(
        questions=select(questions, selection, source=scanned.path),
        sha256=scanned.sha256,
        n=len(scanned.questions),
        path=scanned.path,
        canary=scanned.canary,
        version=version_of(questions),
        warnings=tuple(scanned.warnings),
    )


def scan(path: Path | Sequence[Path]) -> Scan:
    """Read every row and collect every problem; only a file that cannot be read at all raises.

    Raises:
        DatasetError: no such file, a folder, another format, no row at all.
    """
    paths = [path] if isinstance(path, Path) else sorted(path)
    result = Scan(path=", ".join(str(p) for p in paths))
    if not paths:
        raise DatasetError("no dataset file named")
    digest = hashlib.sha256()
    seen: dict[str, str] = {}
    for file in paths:
        result.is_parquet = is_parquet(file)
        _digest_file(file, digest)
        rows = _parquet_rows(file) if result.is_parquet else _json_rows(file, result.problems)
        for where, row in rows:
            result.n_rows += 1
            if row is not None:
                _take(where, row, result, seen)
    result.sha256 = digest.hexdigest()
    if not result.n_rows:
        raise DatasetError(f"{result.path}: holds no question")
    return result


def _digest_file(path: Path, digest: Digest) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def _json_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    for number, line in raw_rows(path):
        where = f"{path}:{number}"
        row: Any = None
        try:
            row = decode(line)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
        else:
            if not isinstance(row, dict):
                problems.append(Problem(where, f"must be a JSON object, it is {type_name(row)}"))
                row = None
        yield where, cast("Mapping[str, Any] | None", row)


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from podium_eval.dataset import parquet  # pyarrow is slow to import and most runs read jsonl

    try:
        for number, row in enumerate(parquet.rows(path, READ, leave_out=UNREAD), start=1):
            yield f"{path} row {number}", row
    except parquet.Unreadable as error:
        raise DatasetError(f"{path}: begins as Parquet but cannot be read: {error}") from error


def _take(where: str, row: Mapping[str, Any], result: Scan, seen: dict[str, str]) -> None:
    problems: list[str] = []
    for name in REQUIRED:
        value = row.get(name)
        if name not in row:
            problems.append(f"field {name!r} is missing")
        elif not isinstance(value, str):
            problems.append(f"{name!r} must be a text, it is {type_name(value)}")
        elif not value.strip():
            problems.append(f"{name!r} is empty")
    for name in OPTIONAL_TEXTS:
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            problems.append(f"{name!r} must be a text, it is {type_name(value)}")
    image: str | None = None
    try:
        image = image_of_row(row)
    except ValueError as error:
        problems.append(str(error))
    question_id = row.get("id")
    if isinstance(question_id, str) and question_id.strip():
        first = seen.setdefault(question_id, where)
        if first != where:
            problems.append(f"id {question_id!r} is already that of {first}")
    if problems:
        result.problems.extend(Problem(where, message) for message in problems)
        return
    canary = row.get("canary")
    if canary:
        result.canary = result.canary or canary
        result.n_canary += 1
    fault = fault_of(image) if image else None
    if fault:
        result.warnings.append(Problem(where, fault))
    result.questions.append(
        Question(
            id=row["id"],
            eid=result.n_rows - 1,
            question=row["question"],
            answer=row["answer"],
            answer_type=row.get("answer_type") or None,
            category=row.get("category") or None,
            subject=row.get("raw_subject") or None,
            image=image,
            extra={k: v for k, v in row.items() if k not in READ | UNREAD and isinstance(v, str | int | float | bool)},
        )
    )
