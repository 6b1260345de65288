"""The episode loop against its interfaces: an orchestrator and tools that do what they are told."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from loopback.recording import RecordingSink
from podium_contracts.names import ErrorType
from podium_contracts.records import Judgement, Turn
from podium_eval.dataset.question import Question
from podium_eval.episode.calls import Ledger
from podium_eval.episode.context import Knowledge
from podium_eval.episode.loop import EpisodeLoop, Outcome, Stopped
from podium_eval.episode.task import Progress, Task, TaskState
from podium_eval.errors import Failure, Unavailable
from podium_eval.models.chat import ChatRequest, ChatResult, ToolInvocation
from podium_eval.models.tokens import EstimateCounter
from podium_eval.prompts.templates import load_prompts
from podium_eval.settings.run import RunSettings
from podium_eval.tools.specs import Chosen, Invalid, ToolSpecs, load_tool_specs

PROMPTS = load_prompts(None, None)
SPECS: ToolSpecs = load_tool_specs(PROMPTS, {"search-1": "s", "reasoner-1": "r", "answer-1": "a"}, {})
Said = ChatResult | Failure


def says(tool: str, alias: str) -> ChatResult:
    call = ToolInvocation(tool, f'{{"model": "{alias}"}}')
    return ChatResult("", None, (call,), "tool_calls", "vllm", "m", None, 1.0, 0.0, 0.0, 1)


SEARCH, ANSWER, NOTHING = says("search", "search-1"), says("answer", "answer-1"), says("nothing", "x")


class Orchestrator:
    provider, model, vision, context_tokens = "vllm", "m", False, None

    def __init__(self, said: Sequence[Said]) -> None:
        self.said = list(said)
        self.asked: list[ChatRequest] = []
        self.left: list[int] = []

    def leave(self, place: int) -> None:
        self.left.append(place)

    async def complete(self, request: ChatRequest) -> ChatResult:
        self.asked.append(request)
        said = self.said.pop(0)
        if isinstance(said, Failure):
            raise said
        return said


class Tools:
    """Answers are right; searches find one document each, or fail as told."""

    def __init__(self, failures: Sequence[ErrorType | Unavailable | None] = ()) -> None:
        self.failures = list(failures)
        self.graded: list[str | None] = []

    async def use(self, chosen: Chosen, turn: Turn, state: TaskState, ledger: Ledger) -> Unavailable | None:
        turn.tool, turn.alias = chosen.tool, chosen.alias
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            turn.status = "failed"
            turn.error_type = failure.error_type if isinstance(failure, Unavailable) else failure
            turn.error_message = "it failed"
            return failure if isinstance(failure, Unavailable) else None
        if chosen.tool == "answer":
            turn.response = "42"
            await self.grade(turn, state, ledger)
        else:
            turn.documents = [{"id": f"d{state.step}", "contents": f"text {state.step}"}]
        return None

    def refuse(self, invalid: Invalid, turn: Turn, ledger: Ledger) -> None:
        turn.tool, turn.status, turn.error_message = invalid.named, "invalid", invalid.reason

    async def grade(self, turn: Turn, state: TaskState, ledger: Ledger) -> None:
        self.graded.append(turn.response)
        state.judgements.append(Judgement(protocol="hle", method="model", correct=True, ts=""))


class Played:
    def __init__(self, said: Sequence[Said], tools: Tools, **settings: Any) -> None:
        self.orchestrator, self.tools = Orchestrator(said), tools
        self.finished: list[Turn] = []
        counter = EstimateCounter()
        given = RunSettings(_env_file=None, **settings)  # type: ignore[call-arg]
        self.loop = EpisodeLoop(
            orchestrator=self.orchestrator,  # type: ignore[arg-type]
            tools=tools,  # type: ignore[arg-type]
            prompts=PROMPTS,
            counter=counter,
            settings=given,
            tool_choice="auto",
        )
        task = Task(Question(id="q", eid=0, question="What is six times seven?", answer="42"))
        self.state = TaskState(task, Progress(), Knowledge(counter, given.context_cut_share))

    async def play(self, stopping: Callable[[], bool] = lambda: False) -> Outcome:
        ledger = Ledger(RecordingSink(), "r", 0, self.state)
        return await self.loop.play(self.state, ledger, SPECS, stopping=stopping, finished=self.finished.append)


async def test_it_asks_until_an_answer() -> None:
    played = Played([SEARCH, SEARCH, ANSWER], Tools())
    assert await played.play() == Outcome("answered")
    assert [turn.tool for turn in played.finished] == ["search", "search", "answer"]
    assert [turn.step for turn in played.finished] == [1, 2, 3]
    assert played.orchestrator.left == [0], "its place is free for others"


async def test_each_prompt_grows_behind_the_last_one() -> None:
    played = Played([SEARCH, SEARCH, ANSWER], Tools())
    await played.play()
    first, second, third = (request.user for request in played.orchestrator.asked)
    assert "text 1" not in first
    assert "text 1" in second
    assert "text 1" in third
    assert "text 2" in third
    assert [request.priority for request in played.orchestrator.asked] == [0, 0, 0]


async def test_turns_without_a_tool_count_to_the_limit() -> None:
    played = Played([NOTHING] * 4, Tools(), max_rounds=4)
    assert await played.play() == Outcome("round_limit")
    assert [turn.status for turn in played.finished] == ["invalid"] * 4


async def test_tools_that_fail_in_a_row_end_it() -> None:
    played = Played([SEARCH] * 3, Tools(["timeout", "timeout", "timeout"]), max_tool_failures=3)
    outcome = await played.play()
    assert (outcome.ending, outcome.error_type) == ("error", "timeout")
    assert (outcome.error_message or "").startswith("3 tools failed in a row")


async def test_experts_that_never_fit_end_it_as_an_error() -> None:
    played = Played([ANSWER] * 2, Tools(["context_length"] * 2), max_rounds=2, max_tool_failures=9)
    outcome = await played.play()
    assert (outcome.ending, outcome.error_type) == ("error", "context_length")
    assert (outcome.error_message or "").startswith("round_limit after a failed answer")


async def test_a_service_that_is_down_ends_it_at_once() -> None:
    played = Played([SEARCH, ANSWER], Tools([Unavailable("connection", "retrieval is down")]))
    assert await played.play() == Outcome("error", "connection", "retrieval is down")
    assert len(played.finished) == 1


@pytest.mark.parametrize(
    ("error", "ending", "named"), [("context_length", "context_limit", None), ("auth", "error", "auth")]
)
async def test_an_orchestrator_that_refuses_ends_it_by_name(error: ErrorType, ending: str, named: str | None) -> None:
    played = Played([SEARCH, Failure(error, "no")], Tools())
    outcome = await played.play()
    assert (outcome.ending, outcome.error_type) == (ending, named)
    assert played.orchestrator.left == [0]


async def test_a_stopping_run_stops_it_between_turns() -> None:
    played = Played([SEARCH, SEARCH], Tools())
    with pytest.raises(Stopped):
        await played.play(stopping=lambda: len(played.finished) == 1)
    assert len(played.orchestrator.asked) == 1


async def test_a_restored_answer_is_only_graded() -> None:
    played = Played([], Tools())
    played.state.learn(Turn(step=1, tool="answer", status="ok", response="42"))
    assert await played.play() == Outcome("answered")
    assert played.tools.graded == ["42"]
    assert played.orchestrator.asked == []


async def test_a_restored_task_goes_on_behind_its_turns() -> None:
    played = Played([ANSWER], Tools(), max_rounds=2)
    played.state.learn(Turn(step=1, tool="search", status="ok", documents=[{"id": "d", "contents": "known"}]))
    assert await played.play() == Outcome("answered")
    assert [turn.step for turn in played.finished] == [2]
    assert "known" in played.orchestrator.asked[0].user
