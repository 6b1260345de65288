"""Several judges of one answer, each a real HTTP server on the loopback."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from loopback.openai_server import Fault, LoopbackServer, Reply
from podium_contracts.events import Judge, LlmCall
from podium_contracts.records import Judgement, record_from_json
from podium_eval.clock import SystemClock
from podium_eval.dataset.question import Question
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import build_grader, extract_answer
from podium_eval.grading.panel import majority
from podium_eval.models.build import build_models
from podium_eval.settings.read import Settings

QUESTION = Question(id="q", eid=0, question="2+2?", answer="4")
ANSWER = extract_answer("Explanation: e\nAnswer: 4\nConfidence: 90%", "hle")


def verdict(word: str, confidence: int = 90) -> str:
    fields = {"extracted_final_answer": "4", "reasoning": "r", "correct": word, "confidence": confidence}
    return json.dumps({**fields, "strict": True})


class Sink:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def emit(self, event: Any) -> None:
        self.events.append(event)

    async def flush(self) -> None: ...


async def judged(*said: str | None, answer: str | None = None) -> tuple[Judgement, Sink]:
    """The panel's judgement; None: that judge's server fails."""
    sink = Sink()
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                LoopbackServer(reply=Reply(text=word or ""), faults=[] if word else [Fault("status", 400)] * 9)
            )
            for word in said
        ]
        judges = ",".join(f"vllm/judge-{n}@{server.base_url}" for n, server in enumerate(servers))
        settings = Settings(
            judge=judges, expert_default=f"vllm/e@{servers[0].base_url}", model_attempts=1, retry_first_s=0.0
        )
        models = build_models(settings, sink, ids={"run_id": "r"}, concurrency=4)
        try:
            grader = build_grader(settings, models.judges, sink, SystemClock())
            given = ANSWER if answer is None else extract_answer(answer, "hle")
            return await grader.grade(QUESTION, given, {"run_id": "r", "task_id": "q"}), sink
        finally:
            await models.aclose()


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([True, True, False], (True, False)),
        ([False, True, False], (False, False)),
        ([True, False], (False, True)),
        ([True, True, None], (True, False)),
        ([True, False, None], (None, False)),
        ([True, None], (None, False)),
        ([None, None, None], (None, False)),
    ],
)
def test_a_majority_stands_only_where_missing_votes_cannot_change_it(
    votes: list[bool | None], expected: tuple[bool | None, bool]
):
    assert majority(votes) == expected


async def test_the_majority_grades_and_every_vote_is_kept():
    judgement, sink = await judged(verdict("no", 10), verdict("yes", 70), verdict("yes", 80))
    assert (judgement.method, judgement.correct, judgement.confidence, judgement.tied) == (
        "majority",
        True,
        70.0,
        False,
    )
    assert [(vote.judge, vote.correct) for vote in judgement.votes] == [
        ("vllm/judge-0", False),
        ("vllm/judge-1", True),
        ("vllm/judge-2", True),
    ]
    assert sum(isinstance(event, Judge) for event in sink.events) == 3
    assert {event.model for event in sink.events if isinstance(event, LlmCall)} == {"judge-0", "judge-1", "judge-2"}


async def test_a_failed_judge_is_missing_and_never_a_verdict():
    judgement, _ = await judged(verdict("yes"), None, verdict("no"))
    assert (judgement.correct, judgement.error_type) == (None, "judge_error")
    assert [vote.correct for vote in judgement.votes] == [True, None, False]
    decided, _ = await judged(verdict("yes"), None, verdict("yes"))
    assert (decided.correct, decided.error_type) == (True, None)


async def test_a_tie_is_not_correct_and_says_so():
    judgement, _ = await judged(verdict("yes"), verdict("no"))
    assert (judgement.correct, judgement.tied, judgement.error_type) == (False, True, None)


async def test_what_needs_no_model_asks_no_judge():
    judgement, sink = await judged(verdict("yes"), verdict("no"), answer="")
    assert (judgement.method, judgement.votes) == ("unanswered", [])
    assert not sink.events


def test_votes_survive_the_record():
    vote = Judgement(protocol="hle", method="model", correct=True, ts="t", judge="openai/a")
    given = {"protocol": "hle", "correct": True, "ts": "t"}
    votes = [{**given, "method": "model", "judge": "openai/a", "of_a_newer_version": 1}]
    raw: dict[str, Any] = {"record_version": 1, "judgements": [{**given, "method": "majority", "votes": votes}]}
    raw |= {"run_id": "r", "key": "k", "task_id": "q", "eid": 0, "question": "", "gold_answer": "", "status": "done"}
    raw |= {"ending": "answered", "correct": True, "rounds": 1, "started_ts": "", "finished_ts": "", "duration_ms": 1.0}
    (judgement,) = record_from_json(raw).judgements
    assert judgement.by_judge == [vote]


def test_commas_of_addresses_part_no_judges(tmp_path: Path):
    settings = Settings(judge="openai/a, vllm/b@http://h:1/v1,http://h:2/v1 ,together/x/y")
    assert settings.judges == ("openai/a", "vllm/b@http://h:1/v1,http://h:2/v1", "together/x/y")


def test_a_judge_named_twice_is_refused():
    settings = Settings(judge="vllm/a@http://h:1/v1,vllm/a@http://h:1/v1", expert_default="vllm/a@http://h:1/v1")
    with pytest.raises(ConfigError, match="twice"):
        build_models(settings, Sink(), ids={}, concurrency=1)
