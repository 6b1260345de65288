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


_DECISIONS: Final = {"yes": True, "true": True, "no": False, "false": False}
_DECODER: Final = json.JSONDecoder(strict=False)
# Possessive throughout: a reply is read in linear time, however many blanks it holds.
_FIELD: Final = r"^[ \t>*_#-]*+[\"']?+{name}[\"']?+[ \t]*+(?:\*\*|__)?+[ \t]*+[:：][ \t]*+(?:\*\*|__)?+[ \t]*+[\"']?+"
_ESCAPE: Final = re.compile(
    r"\\(?:[\\\"/]|u[0-9a-fA-F]{4}|(?P<latex>[bf](?=[a-zA-Z])"
    r"|(?:nabla|neq?|not|nu|rangle|rho|right|rm|tan|tau|text|tfrac|theta|times|to|triangle)(?![a-zA-Z]))"
    r"|[bfnrt]|(?P<other>.))",
    re.DOTALL,
)
"""A backslash in JSON. LaTeX in a reply (`\\alpha`, `\\frac`) is no escape of JSON's, or one that nobody means."""
_DECIDED: Final = re.compile(r"[\s\"'*_`]*+(\w++)[\s.!\"'*_`]*+(?:\(|\Z)")
_FIRST_WORD: Final = re.compile(r"[\s\"'*_`]*+(\w++)[\"'*_`]*+[.,:;!]")


class UnreadableVerdict(ValueError):
    """The reply holds no decision, or both; the message shows its beginning."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge decided. confidence in percent, None where the protocol knows none."""

    correct: bool
    grade: str | None = None
    """correct, incorrect or not_attempted, where the protocol tells a mistake from no answer."""
    extracted_answer: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    confidence_stated: bool | None = None


def json_object(reply: str, needed: str) -> dict[str, Any] | None:
    """The last JSON object in the reply that has the field `needed`, prose and code fences around it or not."""
    found: dict[str, Any] | None = None
    reply = _ESCAPE.sub(lambda match: f"\\{match[0]}" if match["latex"] or match["other"] else match[0], reply)
    at = reply.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(reply, at)
        except (ValueError, RecursionError):  # ValueError: also an integer of more digits than Python reads
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
    """True for the word `yes` (or JSON true), False for `no` (or false), None for anything else.

    A remark in parentheses may follow the word.
    """
    if isinstance(value, bool):
        return value
    match = _DECIDED.match(value) if isinstance(value, str) else None
    return _DECISIONS.get(match[1].casefold()) if match and match[1].casefold() in {yes, no, "true", "false"} else None


def first_word(line: str) -> bool | None:
    """The decision of a sentence that begins with it: `True. The two agree.`"""
    match = _FIRST_WORD.match(line)
    return {"true": True, "false": False}.get(match[1].casefold()) if match else None


def unreadable(reply: str) -> UnreadableVerdict:
    """The error for a reply that cannot be read."""
    shown = reply.strip()[:200]
    return UnreadableVerdict(
        f"the judge's reply holds no verdict: {shown!r}" if shown else "the judge's reply is empty"
    )
