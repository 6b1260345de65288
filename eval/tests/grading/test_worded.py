"""The judge's word: from JSON, a labelled line or alone; anything else is unreadable, never a grade."""

import json

import pytest
from podium_eval.benchmarks.frames import PROTOCOL as FRAMES
from podium_eval.benchmarks.simpleqa import PROTOCOL as SIMPLEQA
from podium_eval.clock import SystemClock
from podium_eval.dataset.question import Question
from podium_eval.grading.grader import answer_instructions, extract_answer, judge_template
from podium_eval.grading.judge import JudgeGrader
from podium_eval.grading.panel import Panel
from podium_eval.grading.verdict import UnreadableVerdict
from podium_eval.log.sink import Discard
from podium_eval.models.chat import ChatRequest, ChatResult
from podium_eval.settings.judge import JudgeSettings

ANSWER = extract_answer("<think>no</think>Explanation: e\nAnswer: Oslo", SIMPLEQA)


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ('{"explanation": "same", "decision": "CORRECT"}', "correct"),
        ('```json\n{"explanation": "x", "decision": "not attempted"}\n```', "not_attempted"),
        ("Decision: INCORRECT", "incorrect"),
        ('**Decision:** "NOT_ATTEMPTED"', "not_attempted"),
        ("NOT ATTEMPTED", "not_attempted"),
        ("A", "correct"),
        (" b. ", "incorrect"),
        ("C", "not_attempted"),
    ],
)
def test_simpleqa_s_three_grades_are_read(reply: str, grade: str) -> None:
    verdict = SIMPLEQA.read(reply, ANSWER)
    assert (verdict.grade, verdict.correct, verdict.extracted_answer) == (grade, grade == "correct", "Oslo")


@pytest.mark.parametrize(
    "reply",
    ["", "Certainly", "A or B", '{"decision": "MAYBE"}', '{"decision": 1}', "Decision: CORRECT\nDecision: INCORRECT"],
)
def test_what_is_no_word_is_unreadable(reply: str) -> None:
    with pytest.raises(UnreadableVerdict):
        SIMPLEQA.read(reply, ANSWER)


def test_frames_decides_true_or_false() -> None:
    assert FRAMES.read('{"explanation": "all there", "decision": "TRUE"}', ANSWER).reasoning == "all there"
    assert FRAMES.read('{"decision": false}', ANSWER).grade == "incorrect"
    with pytest.raises(UnreadableVerdict):
        FRAMES.read("NOT_ATTEMPTED", ANSWER)
    schema = FRAMES.form(80).json_schema or {}
    assert schema["properties"]["decision"]["enum"] == ["TRUE", "FALSE"]
    assert schema["properties"]["explanation"]["maxLength"] == 80


def test_the_whole_response_is_judged_but_its_thinking() -> None:
    assert SIMPLEQA.response(ANSWER) == "Explanation: e\nAnswer: Oslo"
    assert not SIMPLEQA.answered(extract_answer("<think>Oslo", SIMPLEQA))
    assert SIMPLEQA.settled(Question(id="q", eid=0, question="?", answer="Oslo"), ANSWER) is None


@pytest.mark.parametrize("protocol", [FRAMES, SIMPLEQA])
def test_their_prompts_fill_and_name_their_words(protocol: object) -> None:
    text = judge_template(protocol).fill(question="Q?", response="R.", answer="A!")  # type: ignore[arg-type]
    assert all(part in text for part in ("Q?", "R.", "A!", "decision"))
    schema = protocol.form(None).json_schema  # type: ignore[attr-defined]
    assert all(word in text for word in schema["properties"]["decision"]["enum"])
    assert "Answer:" in answer_instructions(protocol)  # type: ignore[arg-type]
    json.dumps(schema)


class Fixed:
    """A judge that always says the same."""

    provider, vision, context_tokens = "openai", False, 100_000

    def __init__(self, model: str, reply: str) -> None:
        self.model, self.reply = model, reply

    async def complete(self, request: ChatRequest) -> ChatResult:
        return ChatResult(
            text=self.reply, reasoning=None, tool_calls=(), finish_reason="stop", provider="openai", model=self.model,
            server="http://127.0.0.1/v1", duration_ms=1.0, limiter_ms=0.0, retry_ms=0.0, attempts=1, prompt_tokens=1,
            completion_tokens=1, cost_usd=None,
        )  # fmt: skip


async def test_a_majority_keeps_the_grade_of_most() -> None:
    replies = {"a": "INCORRECT", "b": "NOT_ATTEMPTED", "c": "NOT_ATTEMPTED"}
    template = judge_template(SIMPLEQA)
    judges = [
        JudgeGrader(SIMPLEQA, Fixed(name, reply), template, JudgeSettings(), Discard(), SystemClock())  # type: ignore[arg-type]
        for name, reply in replies.items()
    ]
    question = Question(id="q", eid=0, question="?", answer="Oslo")
    found = await Panel(judges, SystemClock()).grade(question, ANSWER, {"run_id": "r"})
    assert (found.correct, found.grade, [vote.grade for vote in found.votes]) == (
        False, "not_attempted", ["incorrect", "not_attempted", "not_attempted"],
    )  # fmt: skip
