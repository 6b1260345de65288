"""A judge's reply, read: from its JSON where it kept the form, from labelled lines where the server cannot hold it."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, cast


@dataclass(frozen=True, slots=True)
class Answer:
    """What a grading protocol sees: the question's asked answer, extracted or not."""

    text: str
    extracted: str | None
    confidence: float | None = None


_DECODER: Final = json.JSONDecoder(strict=False)
_FIELD: Final = r"^[ \t>*_#-]*[\"']?{name}[\"']?[ \t]*(?:\*\*|__)?[ \t]*[:：][ \t]*(?:\*\*|__)?[ \t]*[\"']?"


class UnreadableVerdict(ValueError):
    """The reply says neither right nor wrong, or both; the message shows its beginning."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge decided. confidence in percent, None where the protocol knows none."""

    correct: bool
    extracted_answer: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    confidence_stated: bool | None = None


def json_object(reply: str, needed: str) -> dict[str, Any] | None:
    """The last JSON object in the reply that has the field `needed`, prose and code fences around it or not."""
    found: dict[str, Any] | None = None
    at = reply.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(reply, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict) and needed in value:
                found = cast("dict[str, Any]", value)
        at = reply.find("{", end)
    return found


def labelled(reply: str, name: str) -> list[str]:
    """What stands behind `name:` at the beginnings of lines, to the end of each line, quotes and commas stripped."""
    pattern = re.compile(_FIELD.format(name=re.escape(name)) + r"(.*)$", re.IGNORECASE | re.MULTILINE)
    return [match[1].strip().rstrip(",").strip("\"'*_ \t") for match in pattern.finditer(reply)]


def decision(value: object, yes: str, no: str) -> bool | None:
    """True for the word `yes` (or JSON true), False for `no` (or false), None for anything else."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().strip(".!\"'*_` ").casefold()
    return {yes: True, "true": True, no: False, "false": False}.get(word)


def unreadable(reply: str) -> UnreadableVerdict:
    """The error for a reply that cannot be read."""
    shown = reply.strip()[:200]
    return UnreadableVerdict(
        f"the judge's reply holds no verdict: {shown!r}" if shown else "the judge's reply is empty"
    )
