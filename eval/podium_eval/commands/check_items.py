"""What a check tries: each item returns its detail, or a Finding of its own, or raises what kept it from that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, cast

import aiohttp
from podium_contracts.search import SearchRequest

from podium_eval.clock import SYSTEM_CLOCK, iso
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure
from podium_eval.grading.grader import build_grader
from podium_eval.grading.protocol import GradingProtocol
from podium_eval.grading.verdict import Answer
from podium_eval.log.sink import Discard
from podium_eval.models.chat import Chat, ChatRequest, ChatResult
from podium_eval.models.openai.chat import OpenAIChat
from podium_eval.models.openai.endpoints import headers_of, without_password
from podium_eval.models.openai.response import loads
from podium_eval.settings.read import Settings
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.specs import ToolSpecs
from podium_eval.transport.error_body import said

Status = Literal["ok", "warning", "failed"]


_CLOCK_SKEW_S = 30.0
_LITTLE: Final = 16
_GRADED: Final = Question(id="check", eid=0, question="What is 6 times 7?", answer="42")
_TO_GRADE: Final = Answer(text="It is forty-two.", extracted="forty-two", confidence=90.0)
"""Not the reference's own letters, so that no protocol settles it without asking the judge."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    item: str
    status: Status
    detail: str


class OpenGate:
    """A Gate that never closes: a check asks once and reports the result."""

    async def wait(self) -> float:
        """At once."""
        return 0.0

    def succeeded(self) -> None:
        """Nothing to note."""

    def failed(self, reason: str) -> None:
        """Nothing to note."""

    def abandoned(self) -> None:
        """Nothing to note."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked. experts: by alias. judges: by name."""

    settings: Settings
    grading: GradingProtocol
    orchestrator_url: str
    orchestrator_model: str
    tool_choice: str
    orchestrator: Chat
    experts: Mapping[str, Chat]
    judges: Mapping[str, Chat]
    specs: ToolSpecs
    session: aiohttp.ClientSession


async def served(subject: Subject) -> str | Finding:
    """That each address of the orchestrator lists its model."""
    item, key = "orchestrator is served", subject.settings.orchestrator_api_key
    addresses: list[str] = []
    for url in subject.orchestrator_url.split(","):
        address = f"{url.strip().rstrip('/')}/models"
        headers = headers_of(address, key.get_secret_value() if key else "")
        async with subject.session.get(without_password(address), headers=headers) as answer:
            raw = await answer.read()
            if answer.status != 200:
                return Finding(item, "failed", f"{address} answered {answer.status}")
        names = listed_models(raw)
        if names is None:
            shown = " ".join(said(raw).split())[:100]
            return Finding(item, "failed", f"{address} answered no list of models: {shown}; is it vLLM's address?")
        if subject.orchestrator_model not in names:
            return Finding(
                item,
                "failed",
                f"{address} serves {', '.join(names) or 'nothing'}, "
                f"not ORCHESTRATOR_MODEL={subject.orchestrator_model}",
            )
        addresses.append(url.strip())
    return f"{subject.orchestrator_model} at {', '.join(addresses)}"


def listed_models(raw: bytes) -> list[str] | None:
    """The ids of /v1/models: OpenAI's object with `data`, or the bare list of some servers; None for anything else."""
    try:
        body: Any = loads(raw)
    except Failure:
        return None
    listed: Any = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else body
    if not isinstance(listed, list):
        return None
    return [
        str(cast("dict[str, Any]", model).get("id")) for model in cast("list[Any]", listed) if isinstance(model, dict)
    ]


async def calls_tools(subject: Subject) -> str | Finding:
    item = "orchestrator calls tools"
    required = subject.tool_choice == "required"
    heard = await subject.orchestrator.complete(
        ChatRequest(
            system="Call one tool.",
            user="# Problem\nWhat is 6 times 7?\n\n# Your turn\nCall one tool now.",
            tools=subject.specs.specs,
            tool_choice="required" if required else "auto",
            temperature=subject.settings.orchestrator_temperature,
            max_tokens=subject.settings.orchestrator_max_tokens,
            wait_if_down=False,
        )
    )
    metrics = "per-request metrics" if heard.timing_source == "server" else None
    if not heard.tool_calls:
        return Finding(
            item,
            "failed" if required else "warning",
            f"the probe came back without a tool call (finish_reason {heard.finish_reason}); is vLLM's tool parser on, "
            "or is ORCHESTRATOR_TOOL_CHOICE=required needed?",
        )
    if metrics is None:
        return Finding(
            item,
            "warning",
            "no per-request metrics in the answer: turns are timed by streaming; "
            "start vLLM with --enable-per-request-metrics",
        )
    return f"{heard.tool_calls[0].name}, {metrics}"


async def searches(client: RetrievalClient) -> str:
    response = await client.search(SearchRequest(("boiling point of water",), 3))
    return f"{len(response.results[0])} documents for a query"


async def runs_programs(client: SandboxClient) -> str | Finding:
    ran = await client.run("print(1)", 10.0)
    if ran.status != "ok" or ran.stdout.strip() != "1":
        return Finding("sandbox", "failed", f"print(1) ended {ran.status}: {(ran.stderr or ran.stdout)[:200]}")
    return "print(1) runs"


async def judges(name: str, judge: Chat, settings: Settings, grading: GradingProtocol) -> str | Finding:
    """That the judge takes what a run will send it: its prompt, form, size and temperature; and that it is readable."""
    chat = _Impatient(judge)
    grader = build_grader(settings, [chat], Discard(), SYSTEM_CLOCK, grading)
    judgement = await grader.grade(_GRADED, _TO_GRADE, {"run_id": "check"})
    if chat.failure is not None:
        raise chat.failure
    if judgement.correct is None:
        return Finding(name, "warning", f"{chat.provider}/{chat.model}: {judgement.error_message}")
    return f"{judgement.provider}/{judgement.model}, its verdict can be read"


class _Impatient:
    """A Chat that does not wait for a server that is down, and keeps what it met."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.failure: Failure | None = None

    @property
    def provider(self) -> str:
        return self._chat.provider

    @property
    def model(self) -> str:
        return self._chat.model

    @property
    def vision(self) -> bool:
        return self._chat.vision

    @property
    def context_tokens(self) -> int | None:
        return self._chat.context_tokens

    async def complete(self, request: ChatRequest) -> ChatResult:
        try:
            return await self._chat.complete(replace(request, wait_if_down=False))
        except Failure as failure:
            self.failure = failure
            raise


async def answers(chat: Chat, temperature: float | None, *, own: bool) -> str:
    """That an expert takes a call with the run's temperature and, at a provider, size; a server of one's own cuts its
    size to fit, and is asked for little.
    """
    size = _LITTLE if own else None
    request = ChatRequest(user="Say OK.", temperature=temperature, max_tokens=size, wait_if_down=False)
    try:
        heard = await chat.complete(request)
    except Failure as failure:
        # A reasoning model may spend 16 tokens on thinking alone; that it answers at all is what is asked.
        if failure.error_type == "bad_response" and "length" in failure.message:
            return f"{chat.provider}/{chat.model}"
        raise
    return f"{heard.provider}/{heard.model}"


async def clocks_agree(subject: Subject) -> str | Finding:
    address = f"{subject.settings.retrieval_url.rstrip('/')}/health"
    async with subject.session.get(address) as answer:
        date = answer.headers.get("Date")
    if SYSTEM_CLOCK.wall() < 1_700_000_000:
        return Finding("clock", "failed", f"the machine's clock says {iso(SYSTEM_CLOCK.wall())[:10]}")
    if date is None:
        return "plausible"
    try:
        skew = abs(SYSTEM_CLOCK.wall() - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return "plausible"
    if skew > _CLOCK_SKEW_S:
        return Finding(
            "clock", "warning", f"differs from retrieval's by {skew:.0f} s: timestamps will not fit together"
        )
    return "agrees with retrieval's"


def distinct(models: Mapping[str, Chat]) -> list[tuple[str, Chat]]:
    """Each backend once, named by all its aliases."""
    groups: dict[tuple[str, str, tuple[str, ...]], tuple[list[str], Chat]] = {}
    for alias, chat in models.items():
        key = (chat.provider, chat.model, chat.addresses if isinstance(chat, OpenAIChat) else (alias,))
        groups.setdefault(key, ([], chat))[0].append(alias)
    return [(", ".join(names), chat) for names, chat in groups.values()]
