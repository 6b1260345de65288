"""answer: an expert answers, the answer is graded."""

from collections.abc import Mapping
from typing import Any

from podium_contracts.records import Judgement

from podium_eval.clock import Clock, since_ms
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure
from podium_eval.grading.grader import Grader, answer_instructions, extract_answer
from podium_eval.settings.run import RunSettings
from podium_eval.tools.tool import ToolRequest, ToolResult


class AnswerTool:
    """The expert's answer and its judgement. A judge that fails leaves the answer ungraded, not failed."""

    name: str = "answer"

    def __init__(self, grader: Grader, settings: RunSettings, clock: Clock) -> None:
        """Raises PromptError when the answer's instructions in PROMPTS_DIR cannot be read."""
        self._grader = grader
        self._settings = settings
        self._clock = clock
        self._instructions = answer_instructions(grader.grading, settings.prompts_dir)

    async def use(self, request: ToolRequest) -> ToolResult:
        """See Tool."""
        result = ToolResult()
        try:
            await self._answer(request, result)
        except Failure as failure:
            result.failure = failure
        return result

    async def grade(self, question: Question, text: str, ids: Mapping[str, Any]) -> Judgement:
        """Grade an expert's text, also that of an answer which an earlier segment left ungraded."""
        answer = extract_answer(text, self._grader.grading, max_words=self._settings.answer_max_words)
        return await self._grader.grade(question, answer, ids)

    async def _answer(self, request: ToolRequest, result: ToolResult) -> None:
        settings = self._settings
        began = self._clock.mono()
        try:
            result.reply = await request.ask(
                "answer.md",
                form=self._grader.grading.answer_form if settings.expert_form == "structured" else None,
                max_tokens=settings.answer_max_tokens,
                answer_form=self._instructions,
            )
        finally:
            result.own_ms = result.parts.expert_ms = since_ms(self._clock, began)
        reply = result.reply
        if not reply.text.strip():
            raise Failure("tool_error", f"the expert answered nothing (finish_reason {reply.finish_reason})")
        began = self._clock.mono()
        request.report("judge")
        result.judgement = await self.grade(request.question, reply.text, request.ids)
        result.parts.judge_ms = since_ms(self._clock, began)
