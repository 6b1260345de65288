"""Turns that call a tool: the tool runs, and its result is written into the turn, the account and the log."""

from dataclasses import asdict
from functools import partial

from podium_contracts.events import ToolCall
from podium_contracts.records import Judgement, Turn

from podium_eval.clock import Clock, since_ms
from podium_eval.costs.prices import Charge, Prices
from podium_eval.episode.calls import Ledger
from podium_eval.episode.expert_limits import expert_limits
from podium_eval.episode.task import TaskState
from podium_eval.errors import Failure, Unavailable
from podium_eval.models.chat import ChatRequest, ChatResult, Form, TokenCounter
from podium_eval.prompts.templates import Prompts
from podium_eval.settings.run import RunSettings
from podium_eval.tools.specs import Chosen, Invalid
from podium_eval.tools.tool import ToolRequest, ToolResult
from podium_eval.tools.toolbox import Toolbox


class ToolTurns:
    """Runs tools for the episodes of a run; all state of an episode is in its TaskState."""

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        prompts: Prompts,
        counter: TokenCounter,
        prices: Prices,
        settings: RunSettings,
        clock: Clock,
    ) -> None:
        self._toolbox = toolbox
        self._prompts = prompts
        self._counter = counter
        self._prices = prices
        self._settings = settings
        self._clock = clock

    async def use(self, chosen: Chosen, turn: Turn, state: TaskState, ledger: Ledger) -> Unavailable | None:
        """Run the tool; its outcome is in `turn`, a grading in `state.judgements`, its times in a tool_call event.

        An expected failure is the turn's status `failed`; anything else is a bug and propagates. Returned is the
        failure of a search or sandbox that stayed down for its whole limit: no other choice of tool helps that. (An
        expert that is down is one of several; the orchestrator is told.)
        """
        turn.tool, turn.alias, turn.arguments = chosen.tool, chosen.alias, chosen.arguments
        state.doing = chosen.tool if chosen.alias is None else f"{chosen.tool} {chosen.alias}"
        turn.provider, turn.model = self._toolbox.used(chosen.tool, chosen.alias)
        began = self._clock.mono()
        result = await self._toolbox.tools[chosen.tool].use(
            ToolRequest(
                question=state.task.question,
                knows=state.knowledge.knows,
                ask=partial(self._ask, chosen, state, ledger),
                ids=ledger.ids,
                report=partial(setattr, state, "doing"),
                arguments=chosen.arguments,
            )
        )
        total = since_ms(self._clock, began)
        _write(result, turn, total)
        if result.judgement is not None:
            _graded(result.judgement, state)
        charge = self._prices.charge(result.parts.pieces()) + (result.charge or Charge())
        state.charge(charge)
        ledger.sink.emit(
            ToolCall(
                **ledger.ids,
                tool=chosen.tool,
                alias=chosen.alias,
                provider=turn.provider,
                model=turn.model,
                duration_ms=total if result.own_ms is None else result.own_ms,
                duration_total_ms=total,
                exec_status=turn.exec_status,
                cost_usd=charge.usd,
                n_unpriced=charge.n_unpriced,
                status=turn.status,
                error_type=turn.error_type,
                error_message=turn.error_message,
                **asdict(result.parts),
            )
        )
        return result.service_down

    def refuse(self, invalid: Invalid, turn: Turn, ledger: Ledger) -> None:
        """A turn that named no tool or no model: counted, shown to the orchestrator, and no ending."""
        turn.tool, turn.arguments, turn.status = invalid.named[:200], invalid.arguments, "invalid"
        turn.error_message = invalid.reason
        turn.tool_ms = 0.0
        ledger.sink.emit(
            ToolCall(
                **ledger.ids,
                tool=turn.tool,
                duration_ms=0.0,
                duration_total_ms=0.0,
                status="invalid",
                error_message=invalid.reason,
            )
        )

    async def grade(self, turn: Turn, state: TaskState, ledger: Ledger) -> None:
        """Grade the answer that `turn` holds; a judge's failure is in the judgement."""
        state.doing = "judge"
        _graded(await self._toolbox.answer.grade(state.task.question, turn.response or "", ledger.ids), state)

    async def _ask(
        self,
        chosen: Chosen,
        state: TaskState,
        ledger: Ledger,
        template: str,
        *,
        form: Form | None = None,
        max_tokens: int | None = None,
        **values: str,
    ) -> ChatResult:
        if chosen.alias is None:
            raise Failure("tool_error", f"{chosen.tool} asked an expert and has no aliases")
        expert, problem = self._toolbox.experts[chosen.alias], state.task.problem
        limits = expert_limits(expert, self._counter.count(problem), max_tokens)
        request = ChatRequest(
            user=self._prompts.fill(template, problem=problem, knowledge=state.knowledge.view(limits).text(), **values),
            image=state.task.image if expert.vision else None,
            temperature=self._settings.expert_temperature,
            max_tokens=max_tokens,
            form=form,
        )
        return await ledger.ask(expert, request, role="expert", tool=chosen.tool, alias=chosen.alias)


def _write(result: ToolResult, turn: Turn, total_ms: float) -> None:
    """The result as the turn's fields; of a failed call what it reached."""
    turn.tool_ms = total_ms
    if result.reply is not None:
        turn.response, turn.provider, turn.model = result.reply.text, result.reply.provider, result.reply.model
    turn.query, turn.code, turn.documents = result.query, result.code, result.documents
    turn.result = result.text
    if (ran := result.execution) is not None:
        turn.exec_status, turn.exit_code = ran.status, ran.exit_code
        turn.stdout, turn.stderr = ran.stdout, ran.stderr
    if result.failure is not None:
        turn.status = "failed"
        turn.error_type, turn.error_message = result.failure.error_type, result.failure.message


def _graded(judgement: Judgement, state: TaskState) -> None:
    state.judgements.append(judgement)
    for one in judgement.by_judge:
        if one.method == "model" and (one.error_type is None or one.cost_usd is not None):
            state.spend(one.cost_usd)
