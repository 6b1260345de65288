"""What a tool needs of an expert's text: the query, the program (the answer is grading's)."""

import re
from typing import Final

from podium_eval.grading.extraction import after_thinking

_QUERY: Final = re.compile(r"<query>(.*?)(?:</query>|\Z)", re.IGNORECASE | re.DOTALL)
_PYTHON: Final = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(r"```[ \t]*+\r?\n")
_CLOSED: Final = re.compile(r"\r?\n[ \t]*+```")


def query_of(text: str) -> str | None:
    """The last <query>…</query> that holds something, on one line; None when there is none."""
    queries = [" ".join(match.split()) for match in _QUERY.findall(after_thinking(text))]
    return next((query for query in reversed(queries) if query), None)


def program_of(text: str) -> str | None:
    """The last fenced block marked as Python (its end may be cut off), else the last closed unmarked one, else None."""
    text = after_thinking(text)
    for blocks in (_PYTHON.findall(text), _plain_blocks(text)):
        programs = [block for block in blocks if block.strip()]
        if programs:
            return programs[-1].strip("\r\n")
    return None


def _plain_blocks(text: str) -> list[str]:
    """The closed unmarked blocks. Once a block has no end no later one has: each part of the text is read once."""
    blocks: list[str] = []
    opened = _PLAIN.search(text)
    while opened is not None and (closed := _CLOSED.search(text, opened.end())) is not None:
        blocks.append(text[opened.end() : closed.start()])
        opened = _PLAIN.search(text, closed.end())
    return blocks
