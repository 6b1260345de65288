"""enhance_reasoning: an expert writes a program, the sandbox runs it."""

from podium_eval.clock import Clock, since_ms
from podium_eval.errors import Failure
from podium_eval.settings.run import RunSettings
from podium_eval.tools.extraction import program_of
from podium_eval.tools.sandbox_client import Sandbox
from podium_eval.tools.tool import ToolRequest, ToolResult


class EnhanceReasoningTool:
    """The expert's program with its output; a program that fails is a result, not a failure."""

    name: str = "enhance_reasoning"

    def __init__(self, sandbox: Sandbox, settings: RunSettings, clock: Clock) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self._clock = clock

    async def use(self, request: ToolRequest) -> ToolResult:
        """See Tool."""
        result = ToolResult()
        try:
            await self._run(request, result)
        except Failure as failure:
            result.failure = failure
        return result

    async def _run(self, request: ToolRequest, result: ToolResult) -> None:
        seconds = self._settings.sandbox_timeout_s
        began = self._clock.mono()
        try:
            result.reply = await request.ask(
                "enhance_reasoning.md", max_tokens=self._settings.program_max_tokens, seconds=f"{seconds:g}"
            )
        finally:
            result.parts.expert_ms = since_ms(self._clock, began)
        result.code = program_of(result.reply.text)
        if result.code is None:
            raise Failure("tool_error", "the expert wrote no program in a ```python block")
        began = self._clock.mono()
        try:
            result.execution = await self._sandbox.run(result.code, seconds)
        finally:
            result.parts.exec_ms = since_ms(self._clock, began)
        result.parts.code_ms = result.execution.duration_ms
