"""The episode loop: ask, act, record, stop."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from podium_contracts.names import Ending, ErrorType
from podium_contracts.records import Turn

from podium_eval.episode.calls import Ledger
from podium_eval.episode.context import Limits
from podium_eval.episode.expert_limits import fitted
from podium_eval.episode.task import TaskState
from podium_eval.episode.tool_turns import ToolTurns
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, ChatResult, TokenCounter
from podium_eval.prompts.templates import Prompts
from podium_eval.scheduling.replicas import Replicas
from podium_eval.settings.run import RunSettings
from podium_eval.tools.specs import Invalid, ToolSpecs


class Stopped(Exception):
    """The run is stopping: the turns so far are in the checkpoint, and a resume goes on behind them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended. error_type set: infrastructure kept it from its end, and a resume tries again."""

    ending: Ending
    error_type: ErrorType | None = None
    error_message: str | None = None


class EpisodeLoop:
    """Plays episodes; all state of one is in its TaskState."""

    def __init__(
        self,
        *,
        orchestrator: Replicas,
        tools: ToolTurns,
        prompts: Prompts,
        counter: TokenCounter,
        settings: RunSettings,
        tool_choice: str,
    ) -> None:
        self._orchestrator = orchestrator
        self._tools = tools
        self._prompts = prompts
        self._counter = counter
        self._settings = settings
        self._tool_choice = tool_choice
        self._taken = itertools.count()
        self._limits = Limits(
            settings.orchestrator_context_tokens,
            settings.code_context_tokens,
            settings.attempt_context_tokens,
        )

    async def play(
        self,
        state: TaskState,
        ledger: Ledger,
        specs: ToolSpecs,
        *,
        stopping: Callable[[], bool],
        finished: Callable[[Turn], None],
    ) -> Outcome:
        """Take turns until one answers or a limit is met. `finished` is called with each complete turn.

        Raises:
            Stopped: `stopping` said so between two turns.
        """
        if (answered := state.answered) is not None:
            await self._tools.grade(answered, state, ledger)
            return self._answered(state)
        # The order of turns knows a task by its place: the task taken first may go first, its prompt still cached.
        place = next(self._taken)
        try:
            return await self._turns(place, state, ledger, specs, stopping=stopping, finished=finished)
        finally:
            self._orchestrator.leave(place)

    async def _turns(
        self,
        place: int,
        state: TaskState,
        ledger: Ledger,
        specs: ToolSpecs,
        *,
        stopping: Callable[[], bool],
        finished: Callable[[Turn], None],
    ) -> Outcome:
        while len(state.turns) < self._settings.max_rounds:
            if stopping():
                raise Stopped
            state.step = len(state.turns) + 1
            turn = Turn(step=state.step, tool="", status="ok")
            try:
                said = await self._ask(turn, state, ledger, specs, place)
            except Failure as failure:
                ending: Ending = "context_limit" if failure.error_type == "context_length" else "error"
                error = None if ending == "context_limit" else failure.error_type
                return Outcome(ending, error, failure.message)
            chosen, down = specs.read(said), None
            if isinstance(chosen, Invalid):
                self._tools.refuse(chosen, turn, ledger)
            else:
                down = await self._tools.use(chosen, turn, state, ledger)
            state.learn(turn)
            finished(turn)
            if down is not None:
                return Outcome("error", down.error_type, down.message)
            if state.answered is not None:
                return self._answered(state)
            failed = state.failures_in_row
            if len(failed) >= self._settings.max_tool_failures:
                return Outcome(
                    "error",
                    failed[0].error_type,
                    f"{len(failed)} tools failed in a row, the last: {failed[0].error_message}",
                )
        return self.unanswered("round_limit", state)

    def unanswered(self, ending: Ending, state: TaskState) -> Outcome:
        """A limit's ending; an error when it was infrastructure that kept the task from its answer."""
        failed = state.kept_from_answering
        if failed is not None:
            return Outcome("error", failed.error_type, f"{ending} after a failed {failed.tool}: {failed.error_message}")
        return Outcome(ending)

    def _answered(self, state: TaskState) -> Outcome:
        judgement = state.judgements[-1]
        if judgement.correct is None:
            return Outcome("answered", judgement.error_type or "judge_error", judgement.error_message)
        return Outcome("answered")

    async def _ask(self, turn: Turn, state: TaskState, ledger: Ledger, specs: ToolSpecs, place: int) -> ChatResult:
        state.doing = "orchestrator"
        problem = state.task.problem
        most = self._settings.orchestrator_max_tokens
        limits = fitted(self._limits, self._orchestrator, self._counter.count(problem), most)
        request = ChatRequest(
            system=self._prompts.texts["orchestrator_system.md"] or None,
            user=self._prompts.fill("orchestrator.md", problem=problem, knowledge=state.knowledge.view(limits).text()),
            image=state.task.image if self._orchestrator.vision else None,
            tools=specs.specs,
            tool_choice="required" if self._tool_choice == "required" else "auto",
            temperature=self._settings.orchestrator_temperature,
            max_tokens=most,
            priority=place,
        )
        said = await ledger.ask(self._orchestrator, request, role="orchestrator")
        turn.content, turn.reasoning = said.text or None, said.reasoning
        turn.orchestrator_ms, turn.wait_ms = said.duration_ms, said.wait_ms
        turn.queue_ms, turn.prefill_ms, turn.decode_ms = said.queue_ms, said.prefill_ms, said.decode_ms
        turn.prompt_tokens, turn.cached_tokens = said.prompt_tokens, said.cached_tokens
        turn.completion_tokens = said.completion_tokens
        await asyncio.sleep(0)
        return said
