"""Each tool against its interfaces, with a clock that tests set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from podium_contracts.records import Judgement
from podium_contracts.search import Document, Hit, Screened, SearchRequest, SearchResponse, SearchTiming
from podium_contracts.text.fingerprint import fingerprint
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure, Unavailable
from podium_eval.grading.protocol import GRADING
from podium_eval.grading.verdict import Answer
from podium_eval.models.chat import ChatResult, Form
from podium_eval.settings.run import RunSettings
from podium_eval.tools.answer import AnswerTool
from podium_eval.tools.enhance_reasoning import EnhanceReasoningTool
from podium_eval.tools.sandbox_client import Execution
from podium_eval.tools.search import SearchTool
from podium_eval.tools.tool import ToolRequest

SETTINGS = RunSettings(_env_file=None)  # type: ignore[call-arg]
QUESTION = Question(id="q", eid=7, question="How many?", answer="42")


class SetClock:
    """Time passes only when something takes it."""

    now = 0.0

    def wall(self) -> float:
        return self.now

    def mono(self) -> float:
        return self.now


class Expert:
    """Replies with one text, after some seconds."""

    def __init__(self, clock: SetClock, text: str | Failure, seconds: float = 2.0) -> None:
        self.clock, self.text, self.seconds = clock, text, seconds
        self.templates: list[str] = []

    async def __call__(
        self, template: str, *, form: Form | None = None, max_tokens: int | None = None, **values: str
    ) -> ChatResult:
        self.templates.append(template)
        self.clock.now += self.seconds
        if isinstance(self.text, Failure):
            raise self.text
        return ChatResult(self.text, None, (), "stop", "vllm", "m", None, 2000.0, 0.0, 0.0, 1)


class Service:
    """Retrieval, sandbox and judge in one: takes three seconds and returns or raises what it is given."""

    def __init__(self, clock: SetClock, outcome: Any) -> None:
        self.clock, self.outcome = clock, outcome
        self.asked: list[Any] = []

    def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        self.clock.now += 3
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def search(self, request: SearchRequest) -> SearchResponse:
        return self._answer(request)

    async def run(self, code: str, timeout_s: float) -> Execution:
        return self._answer(code, timeout_s)

    protocol = "hle"
    grading = GRADING["hle"]

    async def grade(
        self, question: Question, answer: Answer | None, ids: Mapping[str, Any], *, rejudge: bool = False
    ) -> Judgement:
        return self._answer(question, answer)


def request(ask: Expert, known: frozenset[str] = frozenset(), reports: list[str] | None = None) -> ToolRequest:
    return ToolRequest(QUESTION, known.__contains__, ask, {"run_id": "r"}, ([] if reports is None else reports).append)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


async def test_search_returns_only_documents_not_known_yet(clock: SetClock) -> None:
    hits = tuple(Hit(Document(id_, f"text of {id_}"), 0.5) for id_ in ("a", "b", "b"))
    service = Service(clock, SearchResponse((hits,), SearchTiming(queue_ms=1.0, web_ms=5.0, web_searches=1)))
    result = await SearchTool(service, SETTINGS, clock).use(
        request(Expert(clock, "<query>many  things</query>"), frozenset({"a"}))
    )
    ((asked,),) = service.asked
    assert replace(asked, screen=None) == SearchRequest(("many things",), SETTINGS.retrieval_topk, eid="7")
    assert (result.query, [d["id"] for d in result.documents], result.failure) == ("many things", ["b"], None)
    assert (result.parts.query_ms, result.parts.retrieval_ms, result.parts.retrieval_queue_ms) == (2000, 3000, 1.0)
    assert (result.parts.n_documents, result.parts.n_new_documents) == (3, 1)
    assert result.parts.pieces() == {"search": 1, "extract": None}
    assert result.parts.web_error is None


async def test_a_web_failure_does_not_fail_the_call(clock: SetClock) -> None:
    service = Service(clock, SearchResponse(((),), SearchTiming(web_ms=5.0, web_searches=0, web_error="plan_limit")))
    result = await SearchTool(service, SETTINGS, clock).use(request(Expert(clock, "<query>many things</query>")))
    assert (result.failure, result.parts.web_error, result.parts.n_documents) == (None, "plan_limit", 0)


async def test_a_search_carries_hashes_of_the_question_alone(clock: SetClock) -> None:
    screened = Screened(mirror=2, answer=1, shortened=1)
    service = Service(clock, SearchResponse(((),), SearchTiming(web_ms=5.0, screened=screened)))
    tool = SearchTool(service, SETTINGS, clock)
    asking = request(Expert(clock, "<query>many things</query>"))
    parts = (await tool.use(asking)).parts
    ((asked,),) = service.asked
    print_ = asked.screen
    assert print_ == fingerprint(asking.question.question, asking.question.answer, print_.salt)
    assert SearchTool(service, SETTINGS, clock)._salt != print_.salt
    assert (parts.screened_mirror, parts.screened_question, parts.screened_answer) == (2, 0, 1)
    assert parts.screened_query == "shortened"


async def test_search_sends_no_hashes_where_screening_is_off(clock: SetClock) -> None:
    service = Service(clock, SearchResponse(((),), SearchTiming()))
    settings = SETTINGS.model_copy(update={"screen_search": False})
    result = await SearchTool(service, settings, clock).use(request(Expert(clock, "<query>many things</query>")))
    ((asked,),) = service.asked
    assert (asked.screen, result.parts.screened_mirror) == (None, None)


async def test_search_without_a_query_asks_no_service(clock: SetClock) -> None:
    service = Service(clock, None)
    result = await SearchTool(service, SETTINGS, clock).use(request(Expert(clock, "no idea")))
    assert service.asked == []
    assert result.failure is not None
    assert result.failure.error_type == "tool_error"
    assert result.reply is not None
    assert result.parts.retrieval_ms is None


async def test_only_a_service_that_is_down_counts_as_down(clock: SetClock) -> None:
    down = Unavailable("connection", "retrieval is down")
    result = await SearchTool(Service(clock, down), SETTINGS, clock).use(request(Expert(clock, "<query>q</query>")))
    assert result.service_down is down
    assert result.parts.retrieval_ms == 3000
    of_expert = await SearchTool(Service(clock, None), SETTINGS, clock).use(request(Expert(clock, down)))
    assert of_expert.failure is down
    assert of_expert.service_down is None


async def test_a_program_that_fails_is_a_result(clock: SetClock) -> None:
    ran = Execution("error", 1, "", "ZeroDivisionError", 12.5)
    sandbox = Service(clock, ran)
    result = await EnhanceReasoningTool(sandbox, SETTINGS, clock).use(
        request(Expert(clock, "Try:\n```python\n1 / 0\n```"))
    )
    assert sandbox.asked == [("1 / 0", SETTINGS.sandbox_timeout_s)]
    assert (result.code, result.execution, result.failure) == ("1 / 0", ran, None)
    assert (result.parts.expert_ms, result.parts.exec_ms, result.parts.code_ms) == (2000, 3000, 12.5)


async def test_a_failed_sandbox_keeps_the_program(clock: SetClock) -> None:
    failure = Failure("sandbox_error", "no room")
    result = await EnhanceReasoningTool(Service(clock, failure), SETTINGS, clock).use(
        request(Expert(clock, "```python\nprint(1)\n```"))
    )
    assert (result.code, result.failure, result.service_down) == ("print(1)", failure, None)
    assert result.parts.code_ms is None


async def test_an_answers_own_time_excludes_its_grading(clock: SetClock) -> None:
    judgement = Judgement(protocol="hle", method="model", correct=True, ts="2026-01-01T00:00:00.000Z")
    judge, reports = Service(clock, judgement), list[str]()
    result = await AnswerTool(judge, SETTINGS, clock).use(
        request(Expert(clock, "Explanation: so\nAnswer: 42\nConfidence: 90%"), reports=reports)
    )
    assert (result.own_ms, result.parts.expert_ms, result.parts.judge_ms) == (2000, 2000, 3000)
    assert (result.judgement, reports) == (judgement, ["judge"])
    assert judge.asked[0][1].extracted == "42"


async def test_an_empty_answer_is_a_failure_and_never_graded(clock: SetClock) -> None:
    judge = Service(clock, None)
    result = await AnswerTool(judge, SETTINGS, clock).use(request(Expert(clock, " \n")))
    assert judge.asked == []
    assert result.judgement is None
    assert result.failure is not None
    assert "finish_reason stop" in result.failure.message
