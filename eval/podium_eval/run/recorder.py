"""What a run writes of its tasks: a record, the counts and the log's last word, in that order."""

from dataclasses import dataclass

from podium_contracts.names import TaskStatus
from podium_contracts.records import TaskRecord

from podium_eval.clock import Clock, iso
from podium_eval.episode.loop import Outcome
from podium_eval.episode.task import TaskState, event_ids, task_complete
from podium_eval.grading.grader import Grader
from podium_eval.log.event_log import EventLog
from podium_eval.log.meter import Meter
from podium_eval.log.progress import Reporter
from podium_eval.run.checkpoint import Checkpoints
from podium_eval.run.folder import Endings, RunFolder, saved_of


@dataclass(frozen=True, slots=True)
class RunIds:
    run_id: str
    segment: int


@dataclass(frozen=True, slots=True)
class Output:
    """Where a segment of a run writes."""

    ids: RunIds
    folder: RunFolder
    checkpoints: Checkpoints
    sink: EventLog
    clock: Clock


class Recorder:
    """Records tasks that have ended."""

    def __init__(self, output: Output, grader: Grader, endings: Endings, meter: Meter, reporter: Reporter) -> None:
        self._output = output
        self._grader = grader
        self._endings = endings
        self._meter = meter
        self._reporter = reporter

    async def finish(self, state: TaskState, outcome: Outcome, status: TaskStatus, failure: str | None = None) -> None:
        """Record, then announce: a task counts as finished once its record is on the disk. failure: a traceback.

        Raises:
            OSError: the record cannot be written.
        """
        output = self._output
        ids = event_ids(output.ids.run_id, output.ids.segment, state)
        if status == "done" and outcome.ending != "answered":
            state.judgements.append(await self._grader.grade(state.task.question, None, ids))
        record = self._record(state, outcome, status, failure)
        # A record must not outlive the events that it sums up: they go to the disk first.
        await output.sink.flush()
        await output.folder.save(record)
        self._endings.add(saved_of(record))
        output.sink.emit(task_complete(record, output.ids.run_id, output.ids.segment))
        output.checkpoints.remove(record.key)
        self._meter.in_flight.pop(record.key, None)
        self._reporter.finished(record)
        await output.sink.flush()

    def _record(self, state: TaskState, outcome: Outcome, status: TaskStatus, failure: str | None) -> TaskRecord:
        question, progress, ids = state.task.question, state.progress, self._output.ids
        judgement = state.judgements[-1] if state.judgements else None
        answered = state.answered
        now = iso(self._output.clock.wall())
        return TaskRecord(
            run_id=ids.run_id,
            key=state.task.key,
            task_id=question.id,
            epoch=state.task.epoch,
            eid=question.eid,
            question=question.question,
            gold_answer=question.answer,
            answer_type=question.answer_type,
            category=question.category,
            subject=question.subject,
            verified_class=question.verified_class,
            kinds=list(question.kinds),
            has_image=question.image is not None,
            status=status,
            ending=outcome.ending,
            correct=judgement.correct if judgement and status == "done" else None,
            confidence=judgement.confidence if judgement else None,
            answer=judgement.extracted_answer if judgement else None,
            answer_text=answered.response if answered else None,
            answer_alias=answered.alias if answered else None,
            answer_model=answered.model if answered else None,
            judgements=state.judgements,
            turns=state.turns,
            rounds=len(state.turns),
            invalid_turns=sum(turn.status == "invalid" for turn in state.turns),
            attempts=progress.attempts,
            segment=ids.segment,
            started_ts=progress.started_ts or now,
            finished_ts=now,
            duration_ms=progress.active_ms,
            cost_usd=progress.cost_usd,
            n_unpriced=progress.n_unpriced,
            error_type=outcome.error_type,
            error_message=outcome.error_message,
            traceback=failure,
        )
