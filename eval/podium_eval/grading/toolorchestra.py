"""ToolOrchestra's grading: exact match first, else a judge that says true or false; no confidence."""

import re
from typing import Final

from podium_contracts import names

from podium_eval.dataset.question import Question
from podium_eval.grading import extraction as answer_text
from podium_eval.grading import verdict
from podium_eval.grading.verdict import Answer, Verdict
from podium_eval.models.chat import Form

_TAG: Final = re.compile(r"<correct>([^<]*+)</correct>", re.IGNORECASE)
_SCHEMA: Final = {
    "type": "object",
    "properties": {"correct": {"type": "boolean"}},
    "required": ["correct"],
    "additionalProperties": False,
}


class ToolOrchestraProtocol:
    """Only the extracted answer counts; without one, or with one of too many words, the question is unanswered."""

    name: names.Protocol = "toolorchestra"
    judge_prompt = "judge_toolorchestra.md"
    answer_prompt = "judge_toolorchestra_answer.md"
    answer_form = Form(regex=r"<answer>[^<>\n]{1,150}</answer>", name="answer")

    def extract(self, text: str, max_words: int, *, asked: names.Protocol | None = None) -> Answer:
        said = answer_text.after_thinking(text)
        found = answer_text.tagged_answer(said)
        if found is None and asked == "hle":
            found = answer_text.labelled_answer(said)
        if found is not None and len(found.split()) > max_words:
            found = None
        return Answer(text=said.strip(), extracted=found)

    def answered(self, answer: Answer) -> bool:
        return bool(answer.extracted and answer.extracted.strip())

    def settled(self, question: Question, answer: Answer) -> Verdict | None:
        """Right when the two are equal but for case and outer blanks: no model needs to say so."""
        extracted = (answer.extracted or "").strip()
        if extracted.casefold() == question.answer.strip().casefold():
            return Verdict(correct=True, extracted_answer=extracted)
        return None

    def response(self, answer: Answer) -> str:
        return answer.extracted or ""

    def form(self, max_chars: int | None) -> Form:
        return Form(json_schema=_SCHEMA, name="judgement")

    def read(self, reply: str, answer: Answer) -> Verdict:
        """Raises UnreadableVerdict: no JSON, `correct: …`, its tag, nor the word itself; or two that differ."""
        fields = verdict.json_object(reply, "correct")
        decisions = {verdict.decision(fields["correct"], "yes", "no")} if fields else _decisions(reply)
        if len(decisions) != 1 or None in decisions:
            raise verdict.unreadable(reply)
        return Verdict(correct=decisions.pop(), extracted_answer=answer.extracted)  # type: ignore[arg-type]


def _decisions(reply: str) -> set[bool | None]:
    """What labelled lines and tags decide; without any the last line, and the first sentence's first word."""
    named = [*verdict.labelled(reply, "correct"), *_TAG.findall(reply)]
    if named:
        return {verdict.decision(value, "yes", "no") for value in named}
    lines = reply.strip().splitlines() or [""]
    decided = (verdict.decision(lines[-1], "true", "false"), verdict.first_word(lines[0]))
    return {value for value in decided if value is not None}
