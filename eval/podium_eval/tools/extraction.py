"""What a tool needs of an expert's text: the query, the program (the answer is grading's)."""

import re
from typing import Final

from podium_eval.grading.extraction import after_thinking

_QUERY: Final = re.compile(r"<query>(.*?)(?:</query>|\Z)", re.IGNORECASE | re.DOTALL)
_PYTHON: Final = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(r"```[ \t]*\r?\n(.*?)\r?\n[ \t]*```", re.DOTALL)


def query_of(text: str) -> str | None:
    """The last <query>…</query> that holds something, on one line; None when there is none."""
    found = [" ".join(match.split()) for match in _QUERY.findall(after_thinking(text))]
    return next((query for query in reversed(found) if query), None)


def program_of(text: str) -> str | None:
    """The last fenced block marked as Python (its end may be cut off), else the last closed unmarked one, else None."""
    text = after_thinking(text)
    for pattern in (_PYTHON, _PLAIN):
        found = [block for block in pattern.findall(text) if block.strip()]
        if found:
            return found[-1].strip("\r\n")
    return None
