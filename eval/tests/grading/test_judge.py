import json
from collections.abc import Callable
from typing import Any

import pytest
from podium_contracts.events import Event, Judge, LlmCall
from podium_contracts.records import Judgement
from podium_eval.clock import SystemClock
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure
from podium_eval.grading.grader import extract_answer
from podium_eval.grading.judge import JudgeGrader
from podium_eval.grading.verdict import Answer
from podium_eval.models.chat import ChatRequest, ChatResult
from podium_eval.prompts.judge_prompt import Template
from podium_eval.settings.judge import JudgeSettings

QUESTION = Question(id="q/1", eid=3, question="2+2? {answer}", answer="4", image="data:image/png;base64,AA==")
IDS: dict[str, Any] = {"run_id": "r", "task_id": "q/1", "eid": 3, "epoch": 2, "step": 5, "segment": 1}
ANSWER = extract_answer("Explanation: e\nAnswer: 4\nConfidence: 90%", "hle")
YES = json.dumps(
    {"extracted_final_answer": "4", "reasoning": "same", "correct": "yes", "confidence": 90, "strict": True}
)


class ScriptedChat:
    """Says the lines it was given, or fails with them; keeps what it was asked."""

    provider, model, vision, context_tokens = "openai", "o3-mini", False, 100_000

    def __init__(self, *script: str | Failure, cost: Callable[[int], float | None] = lambda n: 0.01) -> None:
        self.script, self.cost = list(script), cost
        self.asked: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatResult:
        self.asked.append(request)
        said = self.script[len(self.asked) - 1]
        if isinstance(said, Failure):
            raise said
        return ChatResult(
            text=said,
            reasoning=None,
            tool_calls=(),
            finish_reason="stop",
            provider="openai",
            model="o3-mini-2025-01-31",
            server="http://127.0.0.1/v1",
            duration_ms=12.0,
            limiter_ms=1.0,
            retry_ms=2.0,
            attempts=1,
            prompt_tokens=200,
            completion_tokens=30,
            cost_usd=self.cost(len(self.asked)),
        )


class Sink:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    async def flush(self) -> None: ...

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


async def grade(
    chat: ScriptedChat, answer: Answer | None, protocol: str = "hle", **more: Any
) -> tuple[Judgement, Sink]:
    sink = Sink()
    template = Template("Q {question} R {response} A {answer}")
    settings = JudgeSettings(max_tokens=500, **more)
    grader = JudgeGrader(protocol, chat, template, settings, sink, SystemClock())  # type: ignore[arg-type]
    return await grader.grade(QUESTION, answer, IDS), sink


async def test_a_judgement_its_call_and_its_event_agree():
    chat = ScriptedChat(YES)
    judgement, sink = await grade(chat, ANSWER)
    assert (judgement.correct, judgement.extracted_answer, judgement.confidence) == (True, "4", 90.0)
    assert (judgement.method, judgement.protocol, judgement.judge) == ("model", "hle", "openai/o3-mini")
    assert (judgement.provider, judgement.model, judgement.cost_usd) == ("openai", "o3-mini-2025-01-31", 0.01)
    assert judgement.error_type is None
    assert judgement.duration_ms is not None
    assert judgement.prompt_hash == Template("Q {question} R {response} A {answer}").sha256
    (call,) = sink.of(LlmCall)
    assert (call.role, call.tool, call.task_id, call.epoch, call.step) == ("judge", "answer", "q/1", 2, 5)
    assert (call.wait_ms, call.cost_usd, call.rejudge, call.error_type) == (3.0, 0.01, False, None)
    (event,) = sink.of(Judge)
    assert (event.correct, event.confidence, event.confidence_stated, event.method) == (True, 90.0, True, "model")
    assert event.duration_ms == judgement.duration_ms


async def test_the_judge_sees_question_response_and_reference_but_no_image():
    chat = ScriptedChat(YES)
    await grade(chat, ANSWER, text_chars=64)
    (request,) = chat.asked
    assert request.user == "Q 2+2? {answer} R Explanation: e\nAnswer: 4\nConfidence: 90% A 4"
    assert (request.image, request.temperature, request.max_tokens) == (None, 0.0, 500)
    assert request.form is not None
    assert request.form.json_schema is not None
    assert request.form.json_schema["properties"]["reasoning"] == {"type": "string", "maxLength": 64}


async def test_a_failed_judge_leaves_the_task_ungraded():
    failure = Failure("rate_limit", "429 six times", duration_ms=5.0)
    failure.attempts, failure.limiter_ms, failure.retry_ms = 6, 1.0, 900.0
    judgement, sink = await grade(ScriptedChat(failure), ANSWER)
    assert (judgement.correct, judgement.error_type, judgement.confidence) == (None, "judge_error", None)
    assert judgement.error_message == "rate_limit: 429 six times"
    assert judgement.cost_usd is None
    (call,) = sink.of(LlmCall)
    assert (call.error_type, call.attempts, call.wait_ms, call.provider) == ("rate_limit", 6, 901.0, "openai")
    (event,) = sink.of(Judge)
    assert (event.correct, event.error_type) == (None, "judge_error")


async def test_an_unreadable_reply_is_asked_again_and_both_are_paid():
    judgement, sink = await grade(ScriptedChat("well, hard to say", YES), ANSWER)
    assert (judgement.correct, judgement.error_type, judgement.cost_usd) == (True, None, 0.02)
    assert [call.error_type for call in sink.of(LlmCall)] == ["bad_response", None]
    assert len(sink.of(Judge)) == 1


async def test_replies_that_stay_unreadable_leave_the_task_ungraded():
    chat = ScriptedChat("hm", '{"correct": "maybe"}')
    judgement, sink = await grade(chat, ANSWER)
    assert len(chat.asked) == 2
    assert (judgement.correct, judgement.error_type, judgement.cost_usd) == (None, "judge_error", 0.02)
    assert "no verdict" in (judgement.error_message or "")
    assert sink.of(Judge)[0].correct is None


async def test_a_cost_with_a_hole_is_unknown():
    judgement, _ = await grade(ScriptedChat("hm", YES, cost=lambda n: 0.01 if n == 1 else None), ANSWER)
    assert judgement.cost_usd is None


async def test_an_exact_match_asks_no_judge():
    chat = ScriptedChat()
    judgement, sink = await grade(chat, extract_answer("<answer>4</answer>", "toolorchestra"), "toolorchestra")
    assert (judgement.correct, judgement.method, judgement.judge, judgement.cost_usd) == (
        True,
        "exact_match",
        None,
        None,
    )
    assert chat.asked == []
    (event,) = sink.of(Judge)
    assert (event.method, event.provider, event.model, event.correct) == ("exact_match", None, None, True)


async def test_toolorchestra_asks_the_judge_about_the_extracted_answer_alone():
    chat = ScriptedChat('{"correct": false}')
    judgement, _ = await grade(
        chat, extract_answer("long story <answer>five</answer>", "toolorchestra"), "toolorchestra"
    )
    assert chat.asked[0].user == "Q 2+2? {answer} R five A 4"
    assert (judgement.correct, judgement.confidence, judgement.confidence_stated) == (False, None, None)


@pytest.mark.parametrize(
    ("answer", "protocol"),
    [
        (None, "hle"),
        (extract_answer("<think>…</think> ", "hle"), "hle"),
        (extract_answer("It is 4", "toolorchestra"), "toolorchestra"),
    ],
)
async def test_no_answer_is_wrong_without_asking_anyone(answer: Answer | None, protocol: str):
    chat = ScriptedChat()
    judgement, sink = await grade(chat, answer, protocol)
    assert (judgement.correct, judgement.method, judgement.confidence) == (False, "unanswered", None)
    assert (chat.asked, sink.events) == ([], [])


async def test_thinking_of_the_judge_is_no_verdict():
    judgement, _ = await grade(ScriptedChat('<think>maybe {"correct": "no"}</think>' + YES), ANSWER)
    assert judgement.correct is True
