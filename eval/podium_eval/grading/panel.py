"""Several judges of one answer: asked side by side, the majority of all of them counts."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from podium_contracts import names
from podium_contracts.records import Judgement

from podium_eval.clock import Clock, iso, since_ms
from podium_eval.dataset.question import Question
from podium_eval.grading.judge import JudgeGrader
from podium_eval.grading.protocol import GradingProtocol
from podium_eval.grading.verdict import Answer


class Panel:
    """A Grader of several judges by one protocol. Each emits its own llm_call and judge events."""

    def __init__(self, judges: Sequence[JudgeGrader], clock: Clock) -> None:
        """judges: at least two, of the same protocol and prompt."""
        self._judges = judges
        self._clock = clock

    @property
    def grading(self) -> GradingProtocol:
        return self._judges[0].grading

    @property
    def protocol(self) -> names.Protocol:
        return self._judges[0].protocol

    async def grade(
        self, question: Question, answer: Answer | None, ids: Mapping[str, Any], *, rejudge: bool = False
    ) -> Judgement:
        """See Grader.grade. What needs no model is settled once, without votes."""
        first = self._judges[0]
        if not first.asks(question, answer):
            return await first.grade(question, answer, ids, rejudge=rejudge)
        began = self._clock.mono()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(judge.grade(question, answer, ids, rejudge=rejudge)) for judge in self._judges]
        votes = [task.result() for task in asked]
        correct, tied = majority([vote.correct for vote in votes])
        agreeing = next((vote for vote in votes if vote.correct is not None and vote.correct == correct), None)
        costs = [vote.cost_usd for vote in votes if vote.cost_usd is not None]
        judgement = Judgement(
            protocol=self.protocol,
            method="majority",
            judge=f"majority of {', '.join(judge.judge for judge in self._judges)}",
            prompt_hash=first.prompt_hash,
            correct=correct,
            ts=iso(self._clock.wall()),
            duration_ms=since_ms(self._clock, began),
            cost_usd=sum(costs) if len(costs) == len(votes) else None,
            tied=tied,
            votes=votes,
        )
        if agreeing is not None:
            grades = Counter(vote.grade for vote in votes if vote.correct == correct)
            judgement.grade = grades.most_common(1)[0][0]
            judgement.extracted_answer, judgement.reasoning = agreeing.extracted_answer, agreeing.reasoning
            judgement.confidence, judgement.confidence_stated = agreeing.confidence, agreeing.confidence_stated
        if correct is None:
            failed = [vote for vote in votes if vote.correct is None]
            judgement.error_type = "judge_error"
            judgement.error_message = (
                f"{len(failed)} of {len(votes)} judges failed and the others are no majority; "
                f"{failed[0].judge}: {failed[0].error_message}"
            )
        return judgement


def majority(votes: Sequence[bool | None]) -> tuple[bool | None, bool]:
    """What more than half of all judges say, and whether they are tied; None: a judge failed that could decide it.

    A tie has no majority for right, so it is not correct, as the official accuracy counts whatever is not right.
    """
    right, wrong = sum(vote is True for vote in votes), sum(vote is False for vote in votes)
    if 2 * right > len(votes):
        return True, False
    if 2 * wrong > len(votes):
        return False, False
    return (False, True) if right + wrong == len(votes) else (None, False)
