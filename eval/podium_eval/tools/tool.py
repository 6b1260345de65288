"""What a tool is: it is given a question and what is known, and returns a result with its timed parts.

A tool is one module with one class and one row in `make_toolbox`. It writes no turn and no event: the episode
does, from the result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from podium_contracts import names
from podium_contracts.records import Judgement

from podium_eval.costs.prices import Unit
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure, Unavailable
from podium_eval.models.chat import ChatResult, Form
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
        """`values` fill the template's other places. Raises Failure as the expert's Chat does."""
        ...


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call of a tool.

    knows: whether a document with this identity is known already. ids: event fields of the turn, for a grading.
    report: takes what the call is doing now, for the heartbeat.
    """

    question: Question
    knows: Callable[[str], bool]
    ask: Ask
    ids: Mapping[str, Any]
    report: Callable[[str], None]


@dataclass(slots=True)
class ToolResult:
    """What a tool call brought. With `failure` set it holds what was reached before the failure."""

    reply: ChatResult | None = None
    query: str | None = None
    documents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    code: str | None = None
    execution: Execution | None = None
    judgement: Judgement | None = None
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

    name: ClassVar[names.Tool]

    async def use(self, request: ToolRequest) -> ToolResult:
        """An expected failure is in the result; anything else is a bug and propagates."""
        ...
