"""What a tool needs of an expert's text: the query, the program, the answer."""

import re
from typing import Final

from podium_contracts.names import Protocol

from podium_eval.answer_text import after_thinking, labelled_answer, stated_confidence, tagged_answer
from podium_eval.ports import Answer

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


def answer_of(text: str, protocol: Protocol, max_words: int) -> Answer:
    """The answer as the protocol's grader sees it.

    hle reads the `Answer:` line first, then tags and boxes; toolorchestra the other way round. More than max_words
    words are no answer (extracted None).
    """
    said = after_thinking(text)
    readers = (labelled_answer, tagged_answer) if protocol == "hle" else (tagged_answer, labelled_answer)
    extracted = readers[0](said) or readers[1](said)
    if extracted is not None and len(extracted.split()) > max_words:
        extracted = None
    return Answer(text=said, extracted=extracted, confidence=stated_confidence(said))
