"""Which fields of a row a question is made of; the defaults are HLE's own."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from podium_eval.dataset.image import image_of_row, type_name

TEXTS: Final = {"answer_type": "answer_type", "category": "category", "subject": "raw_subject", "canary": "canary"}
UNREAD: Final = frozenset({"rationale", "rationale_image", "image_preview", "author_name", "author_affiliation"})
"""HLE's fields that hold the solution, pictures for people or the author: never loaded into a Question."""
IMAGES: Final = frozenset({"image", "images", "json"})
"""`json`: HLE-Verified's copy of the whole row, of which only the image is read."""


@dataclass(frozen=True, slots=True)
class Fields:
    """question and answer: names that a row may give them, the first that is there counts. id None: always made.

    A row whose id may be made and has none is named by a hash of its question, whatever its place in the file.
    """

    id: str | None = "id"
    id_needed: bool = True
    question: Sequence[str] = ("question",)
    answer: Sequence[str] = ("answer",)
    numbers: bool = False
    """An id or answer that is a number is taken as its text."""
    texts: Mapping[str, str] | None = None
    """Of a question's answer_type, category, subject and canary the row's name; None: HLE's."""
    unread: frozenset[str] = UNREAD
    """Fields that must not reach a prompt: solutions, sources of the answer."""
    kinds: tuple[str, str] | None = None
    """A field that holds several kinds in one text, and what stands between them."""
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Makes the row that is read of the one that the file has; ValueError with what is wrong with it."""
    prepared: frozenset[str] = frozenset()
    """Fields that `prepare` reads."""

    @property
    def named(self) -> Mapping[str, str]:
        """See texts."""
        return TEXTS if self.texts is None else self.texts

    @property
    def read(self) -> frozenset[str]:
        """The fields that a question is made of."""
        kinds = () if self.kinds is None else self.kinds[:1]
        own = () if self.id is None else (self.id,)
        return IMAGES | {*own, *self.question, *self.answer, *self.named.values(), *kinds, *self.prepared}


def name_in(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of the names that the row has; the first of all where it has none."""
    return next((name for name in names if name in row), names[0])


def texts_of(row: Mapping[str, Any], fields: Fields) -> tuple[dict[str, Any], list[str]]:
    """What a question is made of, by a Question's own names, and all that is wrong with it."""
    problems: list[str] = []
    needed = {"question": name_in(row, fields.question), "answer": name_in(row, fields.answer)}
    if fields.id is not None and (fields.id_needed or row.get(fields.id) not in (None, "")):
        needed = {"id": fields.id, **needed}
    found: dict[str, Any] = {}
    for part, name in needed.items():
        value = row.get(name)
        if fields.numbers and part != "question" and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if name not in row:
            problems.append(f"field {name!r} is missing")
        elif not isinstance(value, str):
            problems.append(f"{name!r} must be a text, it is {type_name(value)}")
        elif not value.strip():
            problems.append(f"{name!r} is empty")
        found[part] = value
    for part, name in fields.named.items():
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            problems.append(f"{name!r} must be a text, it is {type_name(value)}")
        found[part] = value or None
    if fields.kinds is not None:
        name, between = fields.kinds
        kinds = row.get(name)
        if not isinstance(kinds, str) or not kinds.strip(f" {between}"):
            problems.append(f"{name!r} must name the question's kinds as text, {between.strip()!r} between them")
        else:
            found["kinds"] = tuple(dict.fromkeys(kind for one in kinds.split(between.strip()) if (kind := one.strip())))
    try:
        found["image"] = image_of_row(row)
    except ValueError as error:
        problems.append(str(error))
    return found, problems


def made_id(question: str) -> str:
    """The id of a question that has none."""
    return f"q-{hashlib.sha256(question.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
