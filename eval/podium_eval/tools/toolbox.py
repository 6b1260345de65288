"""The three tools. Each asks its expert, does its work, and leaves what came of it in the turn and its parts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from podium_contracts.events import ToolCall
from podium_contracts.records import Turn
from podium_contracts.search import Hit, SearchRequest

from podium_eval.clock import Clock
from podium_eval.costs.prices import Prices, Unit
from podium_eval.episode.calls import Ledger
from podium_eval.episode.context import identity
from podium_eval.episode.expert_limits import expert_limits
from podium_eval.episode.task import TaskState
from podium_eval.errors import Failure, Unavailable
from podium_eval.grading.grader import Grader, answer_instructions, extract_answer
from podium_eval.models.chat import Chat, ChatRequest, ChatResult, Form, TokenCounter
from podium_eval.prompts.templates import Prompts
from podium_eval.settings.run import RunSettings
from podium_eval.tools.extraction import program_of, query_of
from podium_eval.tools.retrieval_client import Search
from podium_eval.tools.sandbox_client import Sandbox
from podium_eval.tools.specs import Chosen, Invalid

QUERY_FORM = Form(regex=r"<query>[^<>\n]{3,200}</query>", name="query")
ANSWER_FORMS: Mapping[str, Form] = {
    "hle": Form(
        regex=r"Explanation: [^\n]{1,400}\nAnswer: [^\n]{1,150}\nConfidence: (100|[1-9]?[0-9])%",
        name="answer",
    ),
    "toolorchestra": Form(regex=r"<answer>[^<>\n]{1,150}</answer>", name="answer"),
}
"""The forms of EXPERT_FORM=structured: for models too small to keep to a form that they are asked for in words."""


@dataclass(slots=True)
class Parts:
    """The timed and counted parts of one tool call, ms; None: the part was not reached, or nobody said."""

    expert_ms: float | None = None
    judge_ms: float | None = None
    exec_ms: float | None = None
    query_ms: float | None = None
    retrieval_ms: float | None = None
    web_ms: float | None = None
    web_searches: int | None = None
    web_pages: int | None = None
    retrieval_queue_ms: float | None = None
    retrieval_encode_ms: float | None = None
    retrieval_search_ms: float | None = None
    retrieval_batch_size: int | None = None
    n_documents: int | None = None
    n_new_documents: int | None = None
    code_ms: float | None = None

    def pieces(self) -> dict[Unit, float | None]:
        """What is paid by the piece. A retrieval server that says nothing of the web is taken to have stayed off it."""
        used: dict[Unit, float | None] = {}
        if self.web_ms is not None:
            used = {"search": self.web_searches, "extract": self.web_pages}
        if self.code_ms is not None:
            used["code_second"] = self.code_ms / 1000
        return used


class Toolbox:
    """The tools of a run, shared by all its tasks."""

    def __init__(
        self,
        *,
        experts: Mapping[str, Chat],
        search: Search,
        sandbox: Sandbox,
        grader: Grader,
        prompts: Prompts,
        counter: TokenCounter,
        prices: Prices,
        settings: RunSettings,
        clock: Clock,
    ) -> None:
        self._experts = experts
        self._search_service = search
        self._sandbox = sandbox
        self._grader = grader
        self._prompts = prompts
        self._counter = counter
        self._prices = prices
        self._settings = settings
        self._clock = clock
        self._answer_form = answer_instructions(settings.protocol, settings.prompts_dir)

    async def use(self, chosen: Chosen, turn: Turn, state: TaskState, ledger: Ledger) -> Unavailable | None:
        """Run the tool; its outcome is in `turn`, a grading in `state.judgements`, its times in a tool_call event.

        An expected failure is the turn's status `failed`; anything else is a bug and propagates. Returned is the
        failure of a search or sandbox that stayed down for its whole limit: no other choice of tool helps that. (An
        expert that is down is one of several; the orchestrator is told.)
        """
        down: Unavailable | None = None
        turn.tool, turn.alias, turn.arguments = chosen.tool, chosen.alias, chosen.arguments
        state.doing = f"{chosen.tool} {chosen.alias}"
        expert = self._experts[chosen.alias]
        turn.provider, turn.model = expert.provider, expert.model
        parts = Parts()
        began = self._clock.mono()
        try:
            if chosen.tool == "search":
                await self._search(expert, turn, state, ledger, parts)
            elif chosen.tool == "enhance_reasoning":
                await self._enhance(expert, turn, state, ledger, parts)
            else:
                await self._answer(expert, turn, state, ledger, parts)
        except Failure as failure:
            turn.status = "failed"
            turn.error_type, turn.error_message = failure.error_type, failure.message
            if isinstance(failure, Unavailable) and (parts.retrieval_ms is not None or parts.exec_ms is not None):
                down = failure
        total = self._since(began)
        turn.tool_ms = total
        charge = self._prices.charge(parts.pieces())
        state.charge(charge)
        own = parts.expert_ms if chosen.tool == "answer" and parts.expert_ms is not None else total
        ledger.sink.emit(
            ToolCall(
                **ledger.ids,
                tool=chosen.tool,
                alias=chosen.alias,
                provider=turn.provider,
                model=turn.model,
                duration_ms=own,
                duration_total_ms=total,
                exec_status=turn.exec_status,
                cost_usd=charge.usd,
                n_unpriced=charge.n_unpriced,
                status=turn.status,
                error_type=turn.error_type,
                error_message=turn.error_message,
                **asdict(parts),
            )
        )
        return down

    def refuse(self, invalid: Invalid, turn: Turn, ledger: Ledger) -> None:
        """A turn that named no tool or no model: counted, told to the orchestrator, and no ending."""
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
        answer = extract_answer(turn.response or "", self._settings.protocol, max_words=self._settings.answer_max_words)
        judgement = await self._grader.grade(state.task.question, answer, ledger.ids)
        state.judgements.append(judgement)
        if judgement.method == "model" and (judgement.error_type is None or judgement.cost_usd is not None):
            state.spend(judgement.cost_usd)

    async def _search(self, expert: Chat, turn: Turn, state: TaskState, ledger: Ledger, parts: Parts) -> None:
        form = QUERY_FORM if self._settings.expert_form == "structured" else None
        began = self._clock.mono()
        try:
            said = await self._ask(
                expert,
                "search.md",
                turn,
                state,
                ledger,
                form=form,
                max_tokens=self._settings.query_max_tokens,
            )
        finally:
            parts.query_ms = parts.expert_ms = self._since(began)
        turn.query = query_of(said.text)
        if turn.query is None:
            raise Failure("tool_error", "the expert wrote no query between <query> and </query>")
        began = self._clock.mono()
        request = SearchRequest((turn.query,), self._settings.retrieval_topk, eid=str(state.task.question.eid))
        try:
            response = await self._search_service.search(request)
        finally:
            parts.retrieval_ms = self._since(began)
        timing = response.timing
        parts.web_ms, parts.retrieval_batch_size = timing.web_ms, timing.batch_size
        parts.web_searches, parts.web_pages = timing.web_searches, timing.web_pages
        parts.retrieval_queue_ms = timing.queue_ms
        parts.retrieval_encode_ms = timing.encode_ms
        parts.retrieval_search_ms = timing.search_ms
        hits = response.results[0]
        turn.documents = _new_documents(hits, state)
        parts.n_documents, parts.n_new_documents = len(hits), len(turn.documents)

    async def _enhance(self, expert: Chat, turn: Turn, state: TaskState, ledger: Ledger, parts: Parts) -> None:
        seconds = self._settings.sandbox_timeout_s
        began = self._clock.mono()
        try:
            said = await self._ask(
                expert,
                "enhance_reasoning.md",
                turn,
                state,
                ledger,
                max_tokens=self._settings.program_max_tokens,
                seconds=f"{seconds:g}",
            )
        finally:
            parts.expert_ms = self._since(began)
        turn.code = program_of(said.text)
        if turn.code is None:
            raise Failure("tool_error", "the expert wrote no program in a ```python block")
        began = self._clock.mono()
        try:
            ran = await self._sandbox.run(turn.code, seconds)
        finally:
            parts.exec_ms = self._since(began)
        parts.code_ms = ran.duration_ms
        turn.exec_status, turn.exit_code = ran.status, ran.exit_code
        turn.stdout, turn.stderr = ran.stdout, ran.stderr

    async def _answer(self, expert: Chat, turn: Turn, state: TaskState, ledger: Ledger, parts: Parts) -> None:
        structured = self._settings.expert_form == "structured"
        began = self._clock.mono()
        try:
            said = await self._ask(
                expert,
                "answer.md",
                turn,
                state,
                ledger,
                form=ANSWER_FORMS[self._settings.protocol] if structured else None,
                max_tokens=self._settings.answer_max_tokens,
                answer_form=self._answer_form,
            )
        finally:
            parts.expert_ms = self._since(began)
        if not said.text.strip():
            raise Failure("tool_error", f"the expert answered nothing (finish_reason {said.finish_reason})")
        began = self._clock.mono()
        await self.grade(turn, state, ledger)
        parts.judge_ms = self._since(began)

    async def _ask(
        self,
        expert: Chat,
        template: str,
        turn: Turn,
        state: TaskState,
        ledger: Ledger,
        *,
        form: Form | None = None,
        max_tokens: int | None = None,
        **values: str,
    ) -> ChatResult:
        problem = state.task.problem
        limits = expert_limits(expert, self._counter.count(problem), max_tokens)
        user = self._prompts.fill(template, problem=problem, knowledge=state.knowledge.view(limits).text(), **values)
        request = ChatRequest(
            user=user,
            image=state.task.image if expert.vision else None,
            temperature=self._settings.expert_temperature,
            max_tokens=max_tokens,
            form=form,
        )
        tool = "search" if template == "search.md" else "answer" if template == "answer.md" else "enhance_reasoning"
        said = await ledger.ask(expert, request, role="expert", tool=tool, alias=turn.alias)
        turn.response, turn.provider, turn.model = said.text, said.provider, said.model
        return said

    def _since(self, began: float) -> float:
        return (self._clock.mono() - began) * 1000


def _new_documents(hits: tuple[Hit, ...], state: TaskState) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for hit in hits:
        document = hit.document
        key = identity(document.id, document.contents)
        if key in found or state.knowledge.knows(key):
            continue
        found[key] = {
            "id": document.id,
            "title": document.title,
            "contents": document.contents,
            "score": hit.score,
            "source": document.source,
            "url": document.url,
        }
    return list(found.values())
