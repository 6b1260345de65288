"""A task is a question of an epoch; TaskState is what its episode has come to, made from its turns alone."""

from dataclasses import dataclass, field
from typing import Any

from podium_contracts.events import TaskComplete
from podium_contracts.names import ErrorType
from podium_contracts.records import KINDS, Judgement, TaskRecord, Turn, task_key

from podium_eval.costs.prices import Charge
from podium_eval.dataset.question import Question
from podium_eval.episode.context import Knowledge


@dataclass(slots=True)
class Progress:
    """What an unfinished task has behind it. active_ms and cost_usd cover all its segments."""

    turns: list[Turn] = field(default_factory=list[Turn])
    active_ms: float = 0.0
    cost_usd: float | None = None
    n_unpriced: int = 0
    started_ts: str | None = None
    attempts: int = 1


INFRASTRUCTURE: frozenset[ErrorType] = frozenset(
    {
        "auth",
        "rate_limit",
        "timeout",
        "connection",
        "server_error",
        "bad_response",
        "unknown_model",
        "bad_request",
        "context_length",
        "sandbox_error",
        "retrieval_error",
        "internal",
    }
)
"""Failures that say nothing about the model under test. A task that they kept from an answer is an error, not wrong."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question in one epoch. image: what experts are shown (None where the run asks for text only)."""

    question: Question
    epoch: int = 1
    image: str | None = None
    image_hidden: bool = False

    @property
    def key(self) -> str:
        return task_key(self.question.id, self.epoch)

    def __str__(self) -> str:
        return f"task {self.question.id!r}"

    @property
    def problem(self) -> str:
        """Question text, with a note if it has an image."""
        if self.image is not None:
            return f"{self.question.question}\n\n(An image belongs to this problem. Experts are shown it.)"
        if self.image_hidden:
            return f"{self.question.question}\n\n(An image belongs to this problem, which cannot be shown.)"
        return self.question.question


@dataclass(slots=True)
class TaskState:
    """progress: turns and account over all segments. judgements: gradings of the answer, oldest first."""

    task: Task
    progress: Progress
    knowledge: Knowledge
    judgements: list[Judgement] = field(default_factory=list[Judgement])
    step: int = 0
    """The turn being taken, for the heartbeat."""
    doing: str = "starting"

    @property
    def turns(self) -> list[Turn]:
        return self.progress.turns

    @property
    def answered(self) -> Turn | None:
        """The turn that answered, which is the last one if there is one."""
        last = self.turns[-1] if self.turns else None
        return last if last is not None and last.tool == "answer" and last.status == "ok" else None

    @property
    def failures_in_row(self) -> list[Turn]:
        """The newest turns as long as each failed for infrastructure's sake."""
        found: list[Turn] = []
        for turn in reversed(self.turns):
            if turn.status != "failed" or turn.error_type not in INFRASTRUCTURE:
                break
            found.append(turn)
        return found

    @property
    def kept_from_answering(self) -> Turn | None:
        """The last answer that infrastructure failed, or the failure that the last turn met."""
        if self.failures_in_row:
            return self.failures_in_row[0]
        for turn in reversed(self.turns):
            if turn.tool == "answer" and turn.status == "failed" and turn.error_type in INFRASTRUCTURE:
                return turn
        return None

    def learn(self, turn: Turn) -> None:
        """Append a finished turn."""
        self.turns.append(turn)
        self.knowledge.learn(turn)

    def spend(self, cost_usd: float | None) -> None:
        """Account for one answered call; None: its price is not known."""
        if cost_usd is None:
            self.progress.n_unpriced += 1
        else:
            self.progress.cost_usd = (self.progress.cost_usd or 0.0) + cost_usd

    def charge(self, charge: Charge) -> None:
        """Account for what a tool paid by the piece."""
        self.progress.n_unpriced += charge.n_unpriced
        if charge.usd is not None:
            self.progress.cost_usd = (self.progress.cost_usd or 0.0) + charge.usd


def event_ids(run_id: str, segment: int, state: TaskState) -> dict[str, Any]:
    """The fields that say whose event it is."""
    question = state.task.question
    return {
        "run_id": run_id,
        "task_id": question.id,
        "eid": question.eid,
        "epoch": state.task.epoch,
        "step": state.step or None,
        "segment": segment,
    }


def _grade(record: TaskRecord) -> str | None:
    return record.judgements[-1].grade if record.judgements and record.status == "done" else None


def task_complete(record: TaskRecord, run_id: str, segment: int) -> TaskComplete:
    """The task_complete event of a finished task. segment: the one that logs it."""
    return TaskComplete(
        run_id=run_id,
        task_id=record.task_id,
        eid=record.eid,
        epoch=record.epoch,
        segment=segment,
        status=record.status,
        ending=record.ending,
        correct=record.correct,
        grade=_grade(record),
        confidence=record.confidence,
        rounds=record.rounds,
        invalid_turns=record.invalid_turns,
        duration_ms=record.duration_ms,
        cost_usd=record.cost_usd,
        n_unpriced=record.n_unpriced,
        category=record.category,
        subject=record.subject,
        verified_class=record.verified_class,
        answer_type=record.answer_type,
        kinds=KINDS.join(record.kinds) or None,
        has_image=record.has_image,
        error_type=record.error_type,
        error_message=record.error_message,
    )
