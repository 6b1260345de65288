"""What a tool is: it is given a question and what is known, and returns a result with its timed parts.

A tool is one module with one class: a built-in one has a row in `make_toolbox`, another package's an entry point of the
group `podium.tools`. It writes no turn and no event: the episode does, from the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from podium_contracts.records import Judgement

from podium_eval.clock import Clock
from podium_eval.costs.prices import Charge, Unit
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure, Unavailable
from podium_eval.models.chat import ChatResult, Form
from podium_eval.settings.run import RunSettings
from podium_eval.tools.sandbox_client import Execution


@dataclass(slots=True)
class Parts:
    """The timed and counted parts of one tool call, ms; None: the part was not reached, or its time is not known.

    web_error: why the web failed, where it did.
    """

    expert_ms: float | None = None
    judge_ms: float | None = None
    exec_ms: float | None = None
    query_ms: float | None = None
    retrieval_ms: float | None = None
    web_ms: float | None = None
    web_searches: int | None = None
    web_pages: int | None = None
    web_error: str | None = None
    screened_mirror: int | None = None
    screened_question: int | None = None
    screened_answer: int | None = None
    screened_query: Literal["shortened", "refused"] | None = None
    retrieval_queue_ms: float | None = None
    retrieval_encode_ms: float | None = None
    retrieval_search_ms: float | None = None
    retrieval_batch_size: int | None = None
    n_documents: int | None = None
    n_new_documents: int | None = None
    code_ms: float | None = None
    parts_ms: dict[str, float] | None = None
    """Of an added tool: its own parts by name, beside those above."""

    def pieces(self) -> dict[Unit, float | None]:
        """What is paid by the piece. A retrieval server that reports no web use had none."""
        used: dict[Unit, float | None] = {}
        if self.web_ms is not None:
            used = {"search": self.web_searches, "extract": self.web_pages}
        if self.code_ms is not None:
            used["code_second"] = self.code_ms / 1000
        return used


class Ask(Protocol):
    """Asks the call's expert with a prompt template, which also gets the problem and what is known of it."""

    async def __call__(
        self, template: str, *, form: Form | None = None, max_tokens: int | None = None, **values: str
    ) -> ChatResult:
        """template: a prompt file's name, or a template itself; `values` fill its other places.

        Raises Failure as the expert's Chat does.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call of a tool.

    knows: whether a document with this identity is known already. ids: event fields of the turn, for a grading.
    report: takes what the call is doing now, for the heartbeat. arguments: as the orchestrator gave them.
    """

    question: Question
    knows: Callable[[str], bool]
    ask: Ask
    ids: Mapping[str, Any]
    report: Callable[[str], None]
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class ToolResult:
    """What a tool call brought. With `failure` set it holds what was reached before the failure."""

    reply: ChatResult | None = None
    query: str | None = None
    documents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    code: str | None = None
    execution: Execution | None = None
    judgement: Judgement | None = None
    text: str | None = None
    """What an added tool found, as it joins what is known."""
    charge: Charge | None = None
    """What the call cost, beside models and the pieces of `parts`; None: nothing."""
    own_ms: float | None = None
    """The call's duration where that is not its whole time: an answer's excludes its grading."""
    parts: Parts = field(default_factory=Parts)
    failure: Failure | None = None

    @property
    def service_down(self) -> Unavailable | None:
        """The failure of a search or sandbox that stayed down for its whole limit: no other tool would help."""
        reached = self.parts.retrieval_ms is not None or self.parts.exec_ms is not None
        return self.failure if reached and isinstance(self.failure, Unavailable) else None


class Tool(Protocol):
    """One tool, shared by all tasks of a run."""

    @property
    def name(self) -> str:
        """As the orchestrator, the log and the report call it."""
        ...

    async def use(self, request: ToolRequest) -> ToolResult:
        """An expected failure is in the result; anything else is a bug and propagates."""
        ...


class AddedTool(Tool, Protocol):
    """A tool beside the built-in ones: it describes itself as tools.json does those."""

    @property
    def description(self) -> str:
        """What the orchestrator reads of it."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of its arguments, an object."""
        ...

    @property
    def aliases(self) -> Sequence[str]:
        """Experts that it may be called with, as its argument `model`; () where it needs none."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What an entry point of `podium.tools` is called with."""

    settings: RunSettings
    clock: Clock
