"""Questions in HLE's own fields, or a benchmark's, from JSON rows, Parquet or a table, checked row by row.

HLE's: id, question, answer (required texts); image (a URL or bytes, empty for none), answer_type, category,
raw_subject, canary (optional). Everything else of a row stays in the file: rationales must not reach a prompt.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from podium_eval.dataset.fields import Fields, made_id, texts_of
from podium_eval.dataset.file import decode, is_parquet, raw_rows
from podium_eval.dataset.image import fault_of, type_name
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import MAX_SHOWN, DatasetError, Problem, Selection, select
from podium_eval.dataset.table import is_table, table_rows
from podium_eval.dataset.verification import classified, version_of


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
    fields: Fields = field(default_factory=Fields)
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


def load_questions(
    path: Path | Sequence[Path], selection: Selection | None = None, fields: Fields | None = None
) -> Dataset:
    """Read a jsonl, Parquet, CSV or TSV dataset (or the Parquet files of one) and select from it. fields None: HLE's.

    Raises:
        DatasetError: the file is missing or of another kind, a row is bad (every problem listed, the first 20 in the
            message), or the selection names something that is not there or leaves nothing.
    """
    scanned = scan(path, fields)
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


def scan(path: Path | Sequence[Path], fields: Fields | None = None) -> Scan:
    """Read every row and collect every problem; only a file that cannot be read at all raises.

    Raises:
        DatasetError: no such file, a folder, another format, no row at all.
    """
    paths = [path] if isinstance(path, Path) else sorted(path)
    result = Scan(path=", ".join(str(p) for p in paths), fields=fields or Fields())
    if not paths:
        raise DatasetError("no dataset file named")
    digest = hashlib.sha256()
    seen: dict[str, str] = {}
    for file in paths:
        table = is_table(file)
        result.is_parquet = is_parquet(file) and not table
        _digest_file(file, digest)
        if result.is_parquet:
            rows = _parquet_rows(file, result.fields)
        else:
            rows = _table_rows(file, result.problems) if table else _json_rows(file, result.problems)
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


def _table_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    for number, row in table_rows(path):
        where = f"{path}:{number}"
        if isinstance(row, str):
            problems.append(Problem(where, row))
        yield where, None if isinstance(row, str) else row


def _parquet_rows(path: Path, fields: Fields) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from podium_eval.dataset import parquet  # pyarrow is slow to import and most runs read jsonl

    try:
        for number, row in enumerate(parquet.rows(path, fields.read, leave_out=fields.unread), start=1):
            yield f"{path} row {number}", row
    except parquet.Unreadable as error:
        raise DatasetError(f"{path}: begins as Parquet but cannot be read: {error}") from error


def _take(where: str, row: Mapping[str, Any], result: Scan, seen: dict[str, str]) -> None:
    fields = result.fields
    if fields.prepare is not None:
        try:
            row = fields.prepare(row)
        except ValueError as error:
            result.problems.append(Problem(where, str(error)))
            return
    found: dict[str, Any]
    found, problems = texts_of(row, fields)
    question_id: Any = found.get("id")
    if "id" not in found and isinstance(found["question"], str):
        question_id = _unused(made_id(found["question"]), seen)
    if isinstance(question_id, str) and question_id.strip():
        first = seen.setdefault(question_id, where)
        if first != where:
            problems.append(f"id {question_id!r} is already that of {first}")
    if problems:
        result.problems.extend(Problem(where, message) for message in problems)
        return
    canary, image = found.pop("canary", None), found["image"]
    if canary:
        result.canary = result.canary or canary
        result.n_canary += 1
    fault = fault_of(image) if image else None
    if fault:
        result.warnings.append(Problem(where, fault))
    kept = fields.read | fields.unread
    extra = {k: v for k, v in row.items() if k not in kept and isinstance(v, str | int | float | bool)}
    found |= {"id": question_id, "eid": result.n_rows - 1, "extra": extra}
    result.questions.append(Question(**found))


def _unused(made: str, seen: Mapping[str, str]) -> str:
    """The made id, with a number where the same question stands in the file before."""
    name, n = made, 1
    while name in seen:
        n += 1
        name = f"{made}-{n}"
    return name
