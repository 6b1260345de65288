"""Grades the saved answers of a run again, with the judge and protocol that are set now. Only the judge is called.

A judgement is appended to its task's record, which keeps its first grade. Calls and judgements are logged in
rejudge.jsonl and not in events.jsonl, so that the run's own profile and cost stay what they were.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from podium_contracts import names
from podium_contracts.records import Judgement, TaskRecord

from podium_eval.dataset.question import Question
from podium_eval.grading.grader import extract_answer
from podium_eval.grading.judge import JudgeGrader
from podium_eval.run.folder import RunFolder
from podium_eval.run.runner import WorkerPool

Due = Literal["due", "already", "no_answer", "resume"]
"""already: this judge graded it by this protocol and prompt. no_answer: there is nothing to grade. resume: it is the
run's own judge that failed here, so resuming the run grades it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """The result of a rejudge. unanswered: no answer that the protocol can read. changed: graded otherwise than by
    the run's own judge. failed: ids.
    """

    right: int = 0
    wrong: int = 0
    unanswered: int = 0
    already: int = 0
    no_answer: int = 0
    resume: int = 0
    changed: int = 0
    left: int = 0
    failed: list[str] = field(default_factory=list[str])
    usd: float | None = None
    """Of the priced judgements; None: none has a price."""
    n_unpriced: int = 0

    @property
    def graded(self) -> int:
        return self.right + self.wrong + self.unanswered


def due(record: TaskRecord, protocol: names.Protocol, judge: str, prompt_hash: str) -> Due:
    """What a rejudge has to do with a record."""
    if record.ending != "answered" or record.answer_text is None:
        return "no_answer"
    mine = (protocol, judge, prompt_hash)
    for judgement in chain.from_iterable(given.by_judge for given in record.judgements):
        same = (judgement.protocol, judgement.judge, judgement.prompt_hash) == mine
        without_model = judgement.protocol == protocol and judgement.method in ("exact_match", "unanswered")
        if (same and judgement.correct is not None) or without_model:
            return "already"
    first_judgement = record.judgements[0] if record.judgements else None
    if (
        first_judgement is not None
        and first_judgement.correct is None
        and mine in ((vote.protocol, vote.judge, vote.prompt_hash) for vote in first_judgement.by_judge)
    ):
        return "resume"
    return "due"


class Rejudge:
    """One pass over a run's records. Interrupted, it goes on where it was when started again."""

    def __init__(
        self,
        folder: RunFolder,
        graders: Sequence[JudgeGrader],
        pool: WorkerPool,
        *,
        segment: int,
        max_words: int,
    ) -> None:
        self._folder = folder
        self._graders = graders
        self._pool = pool
        self._segment = segment
        self._max_words = max_words
        self.tally = Tally()

    async def run(self) -> Tally:
        """Grade every record that is due; returns early, with `left` counted, when the run is stopped."""
        waiting = deque(sorted(path.stem for path in self._folder.tasks.glob("*.json")))
        await self._pool.run(waiting, self._rejudge)
        self.tally.left += len(waiting)
        return self.tally

    async def _rejudge(self, key: str) -> None:
        try:
            record = await asyncio.to_thread(self._folder.read_record, key)
        except ValueError as error:
            _log.error("tasks/%s.json is no task record (%s): not graded", key, error)
            self.tally.failed.append(key)
            return
        try:
            for grader in self._graders:
                await self._grade(record, grader)
        except (asyncio.CancelledError, OSError):
            self.tally.left += 1
            raise

    async def _grade(self, record: TaskRecord, grader: JudgeGrader) -> None:
        tally = self.tally
        state = due(record, grader.protocol, grader.judge, grader.prompt_hash)
        if state != "due":
            setattr(tally, state, getattr(tally, state) + 1)
            return
        first_judgement = record.judgements[0] if record.judgements else None
        answer = extract_answer(
            record.answer_text or "",
            grader.grading,
            max_words=self._max_words,
            asked=first_judgement.protocol if first_judgement is not None else None,
        )
        ids: dict[str, Any] = {
            "run_id": record.run_id,
            "task_id": record.task_id,
            "eid": record.eid,
            "epoch": record.epoch,
            "step": record.rounds or None,
            "segment": self._segment,
        }
        judgement = await grader.grade(_question(record), answer, ids, rejudge=True)
        self._account(judgement)
        if judgement.correct is None:
            tally.failed.append(record.task_id)
            _log.error("task %s stays ungraded: %s", record.task_id, judgement.error_message)
            return
        before = first_judgement.correct if first_judgement is not None else None
        record.judgements.append(judgement)
        await self._folder.save(record)
        unanswered = judgement.method == "unanswered"
        tally.right += judgement.correct
        tally.wrong += not judgement.correct and not unanswered
        tally.unanswered += unanswered
        tally.changed += before is not None and before != judgement.correct

    def _account(self, judgement: Judgement) -> None:
        if judgement.cost_usd is not None:
            self.tally.usd = (self.tally.usd or 0.0) + judgement.cost_usd
        elif judgement.method == "model":
            self.tally.n_unpriced += 1


def _question(record: TaskRecord) -> Question:
    """As grading needs it: a judge sees no image."""
    return Question(
        id=record.task_id,
        eid=record.eid,
        question=record.question,
        answer=record.gold_answer,
        answer_type=record.answer_type,
        category=record.category,
        subject=record.subject,
        verified_class=record.verified_class,
        kinds=tuple(record.kinds),
    )
