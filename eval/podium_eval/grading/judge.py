"""The one Grader: decides what needs no model, asks the judge for the rest, and logs each judgement."""

from collections.abc import Mapping
from typing import Any

from podium_contracts import names
from podium_contracts.events import Judge, LlmCall
from podium_contracts.records import Judgement

from podium_eval.clock import Clock, iso
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure
from podium_eval.grading.extraction import after_thinking
from podium_eval.grading.protocol import GradingProtocol, grading_of
from podium_eval.grading.verdict import Answer, UnreadableVerdict, Verdict
from podium_eval.log.sink import EventSink
from podium_eval.models.chat import Chat, ChatRequest, ChatResult, call_fields, failed_fields
from podium_eval.prompts.judge_prompt import Template
from podium_eval.settings.judge import JudgeSettings


class JudgeGrader:
    """Grades by one protocol with one judge. The judge sees no image, as officially."""

    def __init__(
        self,
        protocol: names.Protocol | GradingProtocol,
        chat: Chat,
        template: Template,
        settings: JudgeSettings,
        sink: EventSink,
        clock: Clock,
    ) -> None:
        self._grading = grading_of(protocol)
        self._chat = chat
        self._template = template
        self._settings = settings
        self._sink = sink
        self._clock = clock

    @property
    def grading(self) -> GradingProtocol:
        return self._grading

    @property
    def protocol(self) -> names.Protocol:
        return self._grading.name

    @property
    def prompt_hash(self) -> str:
        """SHA-256 of the judge's prompt template."""
        return self._template.sha256

    @property
    def judge(self) -> str:
        """provider/model as configured."""
        return f"{self._chat.provider}/{self._chat.model}"

    def asks(self, question: Question, answer: Answer | None) -> bool:
        """Whether a verdict on this answer needs the model."""
        return answer is not None and self._grading.answered(answer) and self._grading.settled(question, answer) is None

    async def grade(
        self, question: Question, answer: Answer | None, ids: Mapping[str, Any], *, rejudge: bool = False
    ) -> Judgement:
        """See Grader.grade."""
        if answer is None or not self._grading.answered(answer):
            return Judgement(protocol=self.protocol, method="unanswered", correct=False, ts=iso(self._clock.wall()))
        started = self._clock.mono()
        judgement = Judgement(protocol=self.protocol, method="exact_match", correct=None, ts="")
        verdict = self._grading.settled(question, answer)
        if verdict is None:
            verdict = await self._ask(question, answer, {**ids, "rejudge": rejudge}, judgement)
        if verdict is not None:
            judgement.correct, judgement.grade = verdict.correct, verdict.grade
            judgement.extracted_answer = verdict.extracted_answer
            judgement.reasoning = verdict.reasoning
            judgement.confidence = verdict.confidence
            judgement.confidence_stated = verdict.confidence_stated
        judgement.ts = iso(self._clock.wall())
        judgement.duration_ms = (self._clock.mono() - started) * 1000
        self._sink.emit(
            Judge(
                **ids,
                protocol=self.protocol,
                provider=judgement.provider,
                model=judgement.model,
                duration_ms=judgement.duration_ms,
                correct=judgement.correct,
                grade=judgement.grade,
                confidence=judgement.confidence,
                confidence_stated=judgement.confidence_stated,
                method="exact_match" if judgement.method == "exact_match" else "model",
                rejudge=rejudge,
                error_type=judgement.error_type,
                error_message=judgement.error_message,
            )
        )
        return judgement

    async def _ask(
        self, question: Question, answer: Answer, ids: Mapping[str, Any], judgement: Judgement
    ) -> Verdict | None:
        """The judge's verdict; None after a failure, which is then in `judgement`."""
        judgement.method = "model"
        judgement.prompt_hash = self._template.sha256
        judgement.provider, judgement.model = self._chat.provider, self._chat.model
        judgement.judge = self.judge
        request = ChatRequest(
            user=self._template.fill(
                question=question.question, response=self._grading.response(answer), answer=question.answer
            ),
            temperature=0.0,
            max_tokens=self._settings.max_tokens,
            form=self._grading.form(self._settings.text_chars),
        )
        spent: list[float | None] = []
        for attempt in range(1, self._settings.attempts + 1):
            try:
                result = await self._chat.complete(request)
            except Failure as failure:
                self._sink.emit(self._failed(failure, ids))
                judgement.error_type = "judge_error"
                judgement.error_message = f"{failure.error_type}: {failure.message}"
                break
            spent.append(result.cost_usd)
            judgement.provider, judgement.model = result.provider, result.model
            try:
                verdict = self._grading.read(after_thinking(result.text), answer)
            except UnreadableVerdict as error:
                message = f"{error} (finish_reason {result.finish_reason}, attempt {attempt})"
                self._sink.emit(self._called(result, ids, message))
                judgement.error_type, judgement.error_message = "judge_error", message
                continue
            self._sink.emit(self._called(result, ids, None))
            judgement.error_type = judgement.error_message = None
            judgement.cost_usd = _sum(spent)
            return verdict
        judgement.cost_usd = _sum(spent)
        return None

    def _called(self, result: ChatResult, ids: Mapping[str, Any], unreadable: str | None) -> LlmCall:
        return LlmCall(
            **ids,
            **call_fields(result, role="judge", tool="answer", alias=None),
            error_type="bad_response" if unreadable else None,
            error_message=unreadable,
        )

    def _failed(self, failure: Failure, ids: Mapping[str, Any]) -> LlmCall:
        return LlmCall(**ids, **failed_fields(failure, self._chat, role="judge", tool="answer", alias=None))


def _sum(costs: list[float | None]) -> float | None:
    """None when any part is unknown: a sum with a hole in it is no price."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None
