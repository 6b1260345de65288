"""Tasks by the model that answered them: accuracy, cost and duration side by side."""

from typing import NamedTuple

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.scoring.clustered import clustered, wilson
from podium_analysis.section import Count, Interval, Section


class AnswerModel(Section, frozen=True):
    """The graded tasks that one model answered. mean_cost_usd: of the n_priced tasks with a known cost."""

    provider: str | None
    model: str | None
    n_graded: Count
    n_right: Count
    accuracy: float
    wilson: Interval
    clustered: Interval | None
    """Where questions were asked several times; else None."""
    mean_cost_usd: float | None
    n_priced: Count
    median_duration_ms: float
    mean_rounds: float

    @property
    def interval(self) -> Interval:
        """The one to cite."""
        return self.clustered or self.wilson


class Asked(NamedTuple):
    """A graded task."""

    task_id: str
    epoch: int


def answer_models(run: RunData) -> list[AnswerModel]:
    """One entry for each model that gave a task's last answer, of the graded tasks; most tasks first.

    The orchestrator chose the model, so easy questions may have gone to one and hard ones to another: this compares
    how models were used, not how good they are.
    """
    rows = run.rows(
        f"""
        WITH answers AS (
            SELECT task_id, coalesce(epoch, 1) AS epoch,
                   arg_max(provider, ({IN_TIME})) AS provider, arg_max(model, ({IN_TIME})) AS model
            FROM events WHERE type = 'tool_call' AND tool = 'answer' AND status = 'ok' GROUP BY ALL)
        SELECT provider, model, count(*) AS n, count(*) FILTER (correct), avg(cost_usd), count(cost_usd),
               quantile_cont(duration_ms, 0.5), avg(rounds), list((f.task_id, f.epoch, correct))
        FROM final f JOIN answers a ON a.task_id = f.task_id AND a.epoch = f.epoch
        WHERE f.status = 'done' AND f.ending = 'answered' AND f.correct IS NOT NULL
        GROUP BY provider, model ORDER BY n DESC, provider, model
        """
    )
    return [
        AnswerModel(
            provider=provider,
            model=model,
            n_graded=n,
            n_right=right,
            accuracy=100 * right / n,
            wilson=wilson(right, n),
            clustered=clustered([Asked(*one[:2]) for one in tasks], [one[2] for one in tasks], n),
            mean_cost_usd=cost,
            n_priced=priced,
            median_duration_ms=duration,
            mean_rounds=rounds,
        )
        for provider, model, n, right, cost, priced, duration, rounds, tasks in rows
    ]
