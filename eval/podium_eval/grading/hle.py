"""HLE's official grading: the judge extracts the final answer, says yes or no, and reads the stated confidence."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from podium_contracts import names

from podium_eval.dataset.question import Question
from podium_eval.grading import extraction as answer_text
from podium_eval.grading import verdict
from podium_eval.grading.verdict import Answer, Verdict
from podium_eval.models.chat import Form

DEFAULT_CONFIDENCE: Final = 100.0
"""Percent that stands in where an answer states none, as in the official scoring."""


class HleProtocol:
    """The judge sees the whole response; any response that is not blank is judged."""

    name: names.Protocol = "hle"
    judge_prompt = "judge_hle.md"
    answer_prompt = "judge_hle_answer.md"
    answer_form = Form(
        regex=r"Explanation: [^\n]{1,400}\nAnswer: [^\n]{1,150}\nConfidence: (100|[1-9]?[0-9])%", name="answer"
    )

    def extract(self, text: str, max_words: int, *, asked: names.Protocol | None = None) -> Answer:
        """max_words plays no part: the official scoring knows no limit."""
        said = answer_text.after_thinking(text)
        return Answer(
            text=said.strip(),
            extracted=answer_text.labelled_answer(said) or answer_text.tagged_answer(said),
            confidence=answer_text.stated_confidence(said),
        )

    def answered(self, answer: Answer) -> bool:
        return bool(answer.text.strip())

    def settled(self, question: Question, answer: Answer) -> Verdict | None:
        """None: every answer goes to the judge."""
        return None

    def response(self, answer: Answer) -> str:
        return answer.text

    def form(self, max_chars: int | None) -> Form:
        """The five official fields. max_chars bounds the two texts, for a small judge that would never end them."""
        text: Mapping[str, Any] = (
            {"type": "string"} if max_chars is None else {"type": "string", "maxLength": max_chars}
        )
        properties = {
            "extracted_final_answer": text,
            "reasoning": text,
            "correct": {"type": "string", "enum": ["yes", "no"]},
            "confidence": {"type": "integer"},
            "strict": {"type": "boolean", "enum": [True]},
        }
        return Form(
            json_schema={
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
            name="judgement",
        )

    def read(self, reply: str, answer: Answer) -> Verdict:
        """The confidence is the judge's, as officially; where the judge gives none that is a percentage, the one the
        answer's own `Confidence:` line states; else 100, which is then not stated.

        Raises:
            UnreadableVerdict: the reply says neither yes nor no, or both.
        """
        fields = verdict.json_object(reply, "correct") or _lines(reply)
        correct = verdict.decision(fields.get("correct"), "yes", "no")
        if correct is None:
            raise verdict.unreadable(reply)
        judged = _percent(fields.get("confidence"))
        confidence = judged if judged is not None else answer.confidence
        # The judge writes 100 for "none stated"; only the answer itself can tell that from a stated 100.
        stated = answer.confidence is not None or (judged is not None and judged != DEFAULT_CONFIDENCE)
        return Verdict(
            correct=correct,
            extracted_answer=_text(fields.get("extracted_final_answer")),
            reasoning=_text(fields.get("reasoning")),
            confidence=DEFAULT_CONFIDENCE if confidence is None else confidence,
            confidence_stated=stated,
        )


def _lines(reply: str) -> dict[str, Any]:
    names_ = ("extracted_final_answer", "reasoning", "correct", "confidence")
    found = {name: verdict.labelled(reply, name) for name in names_}
    decisions = {verdict.decision(value, "yes", "no") for value in found["correct"]}
    if len(decisions) > 1:
        raise verdict.unreadable(reply)
    return {name: values[-1] for name, values in found.items() if values}


def _percent(value: object) -> float | None:
    """A percentage from 0 to 100. None: none, or a bare fraction such as 0.9, which may mean 90% or 0.9%."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if not 0 <= value <= 100 or 0 < value < 1:  # before float(), which an integer of 400 digits overflows
            return None
        number = float(value)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%?\s*", str(value))
        if match is None:
            return None
        number = float(match[1])
    return number if math.isfinite(number) and 0 <= number <= 100 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
