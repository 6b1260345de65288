"""Grading by a judge that sees the whole response and decides for one of a few words, as benchmarks of facts do."""

import re
from collections.abc import Mapping
from typing import Any, Final

from podium_contracts import names

from podium_eval.dataset.question import Question
from podium_eval.grading import extraction as answer_text
from podium_eval.grading import verdict
from podium_eval.grading.verdict import Answer, Verdict
from podium_eval.models.chat import Form

_FIELD: Final = "decision"
_EDGES: Final = " \t\r\n\"'*_`.,:;!"
_BLANKS: Final = re.compile(r"[\s-]+")


class WordedProtocol:
    """Every response that is not blank is judged. The grades: correct, incorrect, not_attempted."""

    def __init__(
        self,
        name: names.Protocol,
        words: Mapping[str, str],
        *,
        judge_prompt: str,
        answer_prompt: str = "judge_worded_answer.md",
        short: Mapping[str, str] | None = None,
    ) -> None:
        """words: what the judge may decide, and the grade that it means. short: other spellings of these words.

        judge_prompt asks for JSON with the field `decision`; both prompts are names of built-in files or paths.
        """
        self.name = name
        self.judge_prompt = judge_prompt
        self.answer_prompt = answer_prompt
        self.answer_form = Form(regex=r"Explanation: [^\n]{1,400}\nAnswer: [^\n]{1,150}", name="answer")
        self._words = words
        self._grades = {_plain(word): grade for word, grade in words.items()}
        self._grades |= {_plain(other): words[word] for other, word in (short or {}).items()}

    def extract(self, text: str, max_words: int, *, asked: names.Protocol | None = None) -> Answer:
        """max_words plays no part: the whole response is judged."""
        said = answer_text.after_thinking(text)
        extracted = answer_text.labelled_answer(said) or answer_text.tagged_answer(said)
        return Answer(text=said.strip(), extracted=extracted)

    def answered(self, answer: Answer) -> bool:
        return bool(answer.text.strip())

    def settled(self, question: Question, answer: Answer) -> Verdict | None:
        """None: every answer goes to the judge."""
        return None

    def response(self, answer: Answer) -> str:
        return answer.text

    def form(self, max_chars: int | None) -> Form:
        """An explanation, then the decision. max_chars bounds the explanation."""
        text: dict[str, Any] = {"type": "string"} if max_chars is None else {"type": "string", "maxLength": max_chars}
        properties = {"explanation": text, _FIELD: {"type": "string", "enum": list(self._words)}}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return Form(json_schema=schema | {"additionalProperties": False}, name="judgement")

    def read(self, reply: str, answer: Answer) -> Verdict:
        """From JSON, a line `Decision:`, or the word alone.

        Raises:
            UnreadableVerdict: the reply has no word of the protocol, or two that differ.
        """
        fields = verdict.json_object(reply, _FIELD)
        if fields is not None:
            found = {self._grade(fields[_FIELD])}
        else:
            found = {self._grade(one) for one in verdict.labelled(reply, _FIELD)} or {self._grade(reply)}
        grade = found.pop() if len(found) == 1 else None
        if grade is None:
            raise verdict.unreadable(reply)
        explanation = (fields or {}).get("explanation")
        return Verdict(
            correct=grade == "correct",
            grade=grade,
            extracted_answer=answer.extracted,
            reasoning=explanation if isinstance(explanation, str) and explanation else None,
        )

    def _grade(self, value: object) -> str | None:
        if isinstance(value, bool):
            value = str(value)
        return self._grades.get(_plain(value)) if isinstance(value, str) else None


def _plain(word: str) -> str:
    return _BLANKS.sub("_", word.strip(_EDGES)).casefold()
