"""Which grades a run has: its own, and those of later rejudges, with how far two judges agree."""

from collections.abc import Iterable, Sequence

from podium_contracts.records import Judgement, TaskRecord

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.scoring.agreement import Agreement, agreement
from podium_analysis.scoring.panel import PanelAgreement, panel_agreement
from podium_analysis.scoring.repeats import Repeats, repeats
from podium_analysis.scoring.scores import Sample, Score, outcome_of, score
from podium_analysis.section import Count, Section


class JudgeName(Section, frozen=True):
    """Who graded, and by what: rejudging with the same three replaces nothing and adds nothing."""

    protocol: str
    judge: str | None
    """provider/model as configured; None: exact matches and unanswered questions alone."""
    prompt_hash: str | None

    def __str__(self) -> str:
        prompt = f", prompt {self.prompt_hash[:8]}" if self.prompt_hash else ""
        return f"{self.judge or 'no model'} ({self.protocol}{prompt})"


class JudgeScore(Section, frozen=True):
    """One judge's view of the run, first epoch to last. against_own: agreement with the run's own judge, on answers."""

    name: JudgeName
    score: Score
    against_own: Agreement | None
    """None for the run's own judge."""
    usd: float | None
    """Of this judge's priced judgements; None: none has a price."""
    n_unpriced: Count


def run_samples(run: RunData) -> list[Sample]:
    """A sample for each task that has ended, by its last task_complete."""
    return [
        Sample(
            task.task_id, task.epoch, outcome_of(task.status, task.ending, task.correct), task.confidence, task.grade
        )
        for task in run.tasks()
    ]


def n_tasks(run: RunData) -> int | None:
    """Tasks of the whole run, by its newest run_start; None in a log without one.

    None too where the run stopped at its half width: what it did not ask is not missing.
    """
    if run.segments and run.segments[-1].reason == "half_width":
        return None
    rows = run.rows(
        f"SELECT n_tasks FROM events WHERE type = 'run_start' AND n_tasks IS NOT NULL ORDER BY ({IN_TIME}) DESC LIMIT 1"
    )
    return int(rows[0][0]) if rows else None


def run_score(run: RunData) -> Score:
    """The run's score over all its tasks; with epochs each sample counts, and run_repeats has the intervals to cite."""
    samples = run_samples(run)
    total = n_tasks(run)
    return score(samples, None if total is None else max(total, len(samples)))


def run_repeats(run: RunData, samples: Sequence[Sample] | None = None) -> Repeats | None:
    """Mean, spread and pass@k of a run with epochs; None for a run of one. samples: run_samples', where at hand."""
    epochs = run.manifest.get("epochs")
    samples = run_samples(run) if samples is None else samples
    if not isinstance(epochs, int):
        epochs = max((s.epoch for s in samples), default=1)
    if epochs < 2 or not samples:
        return None
    total = n_tasks(run)
    questions = len({s.task_id for s in samples})
    return repeats(samples, epochs, questions if total is None else max(questions, total // epochs))


class Judges:
    """Collects judgements record by record, so that a report reads each record once."""

    def __init__(self) -> None:
        self._answered: list[tuple[str, int]] = []
        self._rest: list[Sample] = []
        """Tasks without an answer: the same for every judge."""
        self._grades: dict[JudgeName, dict[tuple[str, int], Judgement]] = {}
        self._majorities: set[JudgeName] = set()
        self._place: dict[JudgeName, int] = {}
        """The earliest place a judge has in any task's list: 0 is the run's own."""

    def add(self, record: TaskRecord) -> None:
        """Take one task's judgements; of each judge the newest graded one counts."""
        task = (record.task_id, record.epoch)
        if record.ending != "answered" or record.status == "skipped":
            outcome = outcome_of(record.status, record.ending, record.correct)
            self._rest.append(Sample(record.task_id, record.epoch, outcome))
            return
        self._answered.append(task)
        given = (one for first in record.judgements for one in ([first, *first.votes]))
        for place, judgement in enumerate(given):
            name = JudgeName(judgement.protocol, _judge(judgement), judgement.prompt_hash)
            self._place[name] = min(place, self._place.get(name, place))
            grades = self._grades.setdefault(name, {})
            if judgement.method == "majority":
                self._majorities.add(name)
            before = grades.get(task)
            if before is None or before.correct is None or judgement.correct is not None:
                grades[task] = judgement

    def panel(self) -> PanelAgreement | None:
        """Agreement of all judges by the run's own protocol, rejudges included; None for fewer than two."""
        order = sorted(self._grades, key=self._place.__getitem__)
        models = [
            name
            for name in order
            if name.judge is not None and name.protocol == order[0].protocol and name not in self._majorities
        ]
        if len(models) < 2:
            return None
        tasks = [task for task in self._answered if any(task in self._grades[name] for name in models)]
        votes = [[_grade(self._grades[name].get(task)) for name in models] for task in tasks]
        return panel_agreement([str(name) for name in models], votes)

    def scores(self, n_total: int | None = None) -> list[JudgeScore]:
        """One entry a judge and protocol, the run's own first."""
        with_model = {name.protocol for name in self._grades if name.judge is not None}
        names = [name for name in self._grades if name.judge is not None or name.protocol not in with_model]
        found: list[JudgeScore] = []
        own: dict[tuple[str, int], Judgement] = {}
        for name in sorted(names, key=self._place.__getitem__):
            # What needed no model (an exact match, no answer found) is shared by all judges of its protocol.
            shared = self._grades.get(JudgeName(name.protocol, None, None), {})
            grades = {**shared, **self._grades[name]}
            own = own or grades
            samples = [*self._rest, *(_sample(task, grades.get(task)) for task in self._answered)]
            pairs = [(_grade(own.get(task)), _grade(grades.get(task))) for task in self._answered]
            found.append(
                JudgeScore(name, score(samples, n_total), agreement(pairs) if found else None, *_cost(grades.values()))
            )
        return found


def judge_scores(records: Iterable[TaskRecord], n_total: int | None = None) -> list[JudgeScore]:
    """Every judge's score over the same saved answers, the run's own first."""
    judges = Judges()
    for record in records:
        judges.add(record)
    return judges.scores(n_total)


def _judge(judgement: Judgement) -> str | None:
    """The configured judge; for records without it, the model that answered."""
    if judgement.judge is not None or judgement.model is None:
        return judgement.judge
    return f"{judgement.provider}/{judgement.model}" if judgement.provider else judgement.model


def _cost(judgements: Iterable[Judgement]) -> tuple[float | None, int]:
    asked = [judgement.cost_usd for judgement in judgements if judgement.method in ("model", "majority")]
    known = [usd for usd in asked if usd is not None]
    return (sum(known) if known else None), len(asked) - len(known)


def _grade(judgement: Judgement | None) -> bool | None:
    return None if judgement is None else judgement.correct


def _sample(task: tuple[str, int], judgement: Judgement | None) -> Sample:
    if judgement is not None and judgement.method == "unanswered":
        return Sample(*task, "unanswered")
    grade = _grade(judgement)
    outcome = "ungraded" if grade is None else "right" if grade else "wrong"
    return Sample(*task, outcome, judgement.confidence if judgement else None)
