"""Finding the final answer in what an expert wrote."""

import re
from typing import Final

# Possessive throughout: what a model writes is read in linear time, however many blanks it holds.
_LABEL: Final = r"[ \t]*+(?:[#>*_-][ \t#>*_-]*+)?+{name}[ \t]*+(?:\*\*|__)?+[ \t]*+[:：][ \t]*+(?:\*\*|__)?+"
_ANSWER: Final = re.compile("^" + _LABEL.format(name=r"(?:exact |final )?answer"), re.IGNORECASE | re.MULTILINE)
_AFTER: Final = re.compile("^" + _LABEL.format(name=r"(?:confidence|explanation)"), re.IGNORECASE | re.MULTILINE)
_CONFIDENCE: Final = re.compile(
    "^"
    + _LABEL.format(name="confidence")
    + r"[ \t]*+(?:about|around|roughly|~|≈)?+[ \t]*+\$?+(\d{1,3}(?:\.\d+)?+)(?![\d.]*\d)"
    + r"[ \t]*+(\\?+%|percent|/[ \t]*+100?\b)?+"
    + r"(?!\$?+[ \t]*+[-–—/][ \t]*+\d)",
    re.IGNORECASE | re.MULTILINE,
)
_TAGS: Final = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
_BOXED: Final = re.compile(r"\\f?boxed\s?\{")
_BRACE: Final = re.compile(r"\\[{}\\]|[{}]")


def after_thinking(text: str) -> str:
    """The text behind the last </think>, for servers that leave thinking in the answer.

    Thinking that was cut off before its </think> is no part of the answer: what it drafts must not be graded.
    """
    return text.rpartition("</think>")[2].partition("<think>")[0]


def labelled_answer(text: str) -> str | None:
    """What the last `Answer:` line says, up to the next label; None without such a line or with nothing behind it."""
    found = list(_ANSWER.finditer(text))
    if not found:
        return None
    rest = text[found[-1].end() :]
    end = _AFTER.search(rest)
    return _clean(rest[: end.start()] if end else rest)


def stated_confidence(text: str) -> float | None:
    """Percent of the last `Confidence:` line; `9/10` and `90/100` are 90.

    None: no such line, above 100, a range such as 85-90%, or a bare fraction such as 0.9, which may mean 90% or 0.9%.
    """
    found = list(_CONFIDENCE.finditer(text))
    if not found:
        return None
    value, unit = float(found[-1][1]), found[-1][2]
    if unit is not None and unit.startswith("/") and unit.endswith("10"):
        value *= 10
    if value > 100 or (unit is None and 0 < value < 1):
        return None
    return value


def tagged_answer(text: str) -> str | None:
    r"""The last <answer>…</answer> (its end may be cut off), else the last \boxed{…}; None when there is neither."""
    tags = _TAGS.findall(text)
    if tags:
        return _clean(tags[-1])
    closed = _braces(text)
    for box in reversed(list(_BOXED.finditer(text))):
        if box.end() - 1 in closed:
            return _clean(text[box.end() : closed[box.end() - 1]])
    return None


def _braces(text: str) -> dict[int, int]:
    """Where each opened brace closes, in one pass: an expert's text may be megabytes of them. Escaped ones are text."""
    opened: list[int] = []
    closed: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closed[opened.pop()] = brace.start()
    return closed


def _clean(text: str) -> str | None:
    text = text.strip()
    for mark in ("**", "__"):
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            text = text[2:-2].strip()
    if text.count("**") % 2:
        text = text.rstrip("*").strip()
    return text or None
