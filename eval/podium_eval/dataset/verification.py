"""How well each question was checked: its verification class, from the dataset's rows or a file beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from podium_eval.dataset.file import decode, raw_rows
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import DatasetError, reason

FIELDS: Final = ("Verified_Classes", "verified_class", "verification_class", "verification", "class")
"""Fields that are recognised in a row, the first of HLE-Verified; of any other name with CLASS_FIELD."""
_NAMES: Final = {"gold": "certified", "revision": "revised"}
"""HLE-Verified's own words."""


def classified(questions: Sequence[Question], field: str | None, file: Path | None) -> list[Question]:
    """The questions with their class, None where neither file nor row has one.

    Raises:
        DatasetError: the file cannot be read or a row of it is bad; no row has the field that was named.
    """
    if field and file is None and not any(field in question.extra for question in questions):
        raise DatasetError(f"CLASS_FIELD={field}: no row has this field")
    names = (field,) if field else FIELDS
    by_id = {} if file is None else _read(file, names)
    return [
        replace(question, verified_class=by_id.get(question.id) or class_of(question.extra, names))
        for question in questions
    ]


def class_of(row: Mapping[str, Any], names: Sequence[str] = FIELDS) -> str | None:
    """A row's class in one word: `Gold subset` is certified, `Revision subset` revised; any other as it stands."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            word = value.strip().casefold().removesuffix(" subset")
            return _NAMES.get(word, word)
    return None


def version_of(questions: Sequence[Question]) -> str | None:
    """The version that the rows give in `dataset_version` or `version`; None where they give none, or several."""
    classes = {
        str(value)
        for question in questions
        for name in ("dataset_version", "version")
        if (value := question.extra.get(name)) is not None
    }
    return classes.pop() if len(classes) == 1 else None


def _read(path: Path, names: Sequence[str]) -> dict[str, str]:
    by_id: dict[str, str] = {}
    try:
        for number, line in raw_rows(path):
            row: Any = decode(line)
            fields: Mapping[str, Any] = cast("Mapping[str, Any]", row) if isinstance(row, dict) else {}
            verified_class = class_of(fields, names)
            if not isinstance(fields.get("id"), str) or verified_class is None:
                raise DatasetError(f"CLASS_FILE {path}:{number}: needs a text in id and in {names[0]}")
            by_id[fields["id"]] = verified_class
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"CLASS_FILE {path}: {reason(error)}; give jsonl with id and class") from error
    return by_id
