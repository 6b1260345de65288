"""Two runs side by side: which tasks they share, and each task's numbers in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.records import BadRecord
from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.metrics.added_tools import added_tools
from podium_analysis.scoring.benchmark.score import grade_of, kinds_of
from podium_analysis.scoring.judges import run_samples
from podium_analysis.scoring.scores import Outcome, outcome_of

GRADED: Final = frozenset[Outcome]({"right", "wrong", "unanswered"})
"""Outcomes that a paired test can use: an unanswered question is not right; failed and unjudged ones are left out."""

QUANTITIES: Final[tuple[tuple[str, str, str], ...]] = (
    # name, unit, SQL over the last try at each step of a task
    ("task.duration", "ms", ""),
    ("task.rounds", "turns", ""),
    ("task.cost", "usd", ""),
    ("orchestrator.wall", "ms", "sum(duration_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.queue", "ms", "sum(queue_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.prefill", "ms", "sum(prefill_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.decode", "ms", "sum(decode_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.overhead", "ms", "sum(overhead_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.wait", "ms", "sum(wait_ms) FILTER (role = 'orchestrator')"),
    ("orchestrator.prompt_tokens", "tokens", "sum(prompt_tokens) FILTER (role = 'orchestrator')"),
    ("orchestrator.completion_tokens", "tokens", "sum(completion_tokens) FILTER (role = 'orchestrator')"),
    ("search.wall", "ms", "sum(duration_total_ms) FILTER (type = 'tool_call' AND tool = 'search')"),
    (
        "enhance_reasoning.wall",
        "ms",
        "sum(duration_total_ms) FILTER (type = 'tool_call' AND tool = 'enhance_reasoning')",
    ),
    ("answer.expert", "ms", "sum(duration_ms) FILTER (type = 'tool_call' AND tool = 'answer')"),
    ("answer.judge", "ms", "sum(judge_ms) FILTER (type = 'tool_call' AND tool = 'answer')"),
)


CUTS: Final = ("category", "subject", "answer type", "class", "image")
NOT_GIVEN: Final = "not given"


@dataclass(frozen=True, slots=True)
class Side:
    """One run's tasks by (task_id, epoch): outcome, question, answer, and QUANTITIES (NaN: not known or not used)."""

    run_id: str
    outcome: Mapping[tuple[str, int], Outcome]
    question: Mapping[tuple[str, int], str]
    answer: Mapping[tuple[str, int], str | None]
    numbers: Mapping[tuple[str, int], npt.NDArray[np.float64]]
    cuts: Mapping[tuple[str, int], tuple[str, ...]]
    """Of each task its values of CUTS."""
    unpriced: Mapping[tuple[str, int], int]
    """Calls of a task whose price is not known; a task without any is not in it."""
    grade: Mapping[tuple[str, int], str | None]
    """correct, incorrect, not_attempted, as the benchmark's measure counts them; None: no grade."""
    kinds: Mapping[tuple[str, int], Sequence[str]]
    """Of each task the benchmark's kinds of its question; a task without any is not in it."""
    added: Mapping[str, Mapping[tuple[str, int], float]]
    """Of each tool that is not built in its wall time in a task, ms; a task that did not call it is not in it."""


def side(data: RunData, bad: list[BadRecord]) -> Side:
    """Every finished task of a run. A record that was rejudged counts by its record, the rest by the log."""
    outcome: dict[tuple[str, int], Outcome] = {}
    numbers: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
    question: dict[tuple[str, int], str] = {}
    answer: dict[tuple[str, int], str | None] = {}
    cuts: dict[tuple[str, int], tuple[str, ...]] = {}
    unpriced: dict[tuple[str, int], int] = {}
    sums = _sums(data)
    nothing = np.full(len(QUANTITIES) - 3, np.nan)
    for task in data.tasks():
        key = (task.task_id, task.epoch)
        outcome[key] = outcome_of(task.status, task.ending, task.correct)
        own = (task.duration_ms, task.rounds, np.nan if task.cost_usd is None else task.cost_usd)
        if task.n_unpriced:
            unpriced[key] = task.n_unpriced
        numbers[key] = np.concatenate((np.asarray(own, dtype=float), sums.get(key, nothing)))
    for record in data.records(bad):
        key = (record.task_id, record.epoch)
        if key in outcome:
            outcome[key] = outcome_of(record.status, record.ending, record.correct)
            question[key] = record.question
            answer[key] = record.answer
            given = (record.category, record.subject, record.answer_type, record.verified_class)
            cuts[key] = (*(value or NOT_GIVEN for value in given), "with image" if record.has_image else "text only")
    samples = {(sample.task_id, sample.epoch): sample for sample in run_samples(data)}
    grades = {key: grade_of(replace(sample, outcome=outcome[key])) for key, sample in samples.items()}
    return Side(data.run_id, outcome, question, answer, numbers, cuts, unpriced, grades, kinds_of(data), _added(data))


def shared(a: Side, b: Side) -> list[tuple[str, int]]:
    """Tasks that both runs finished, sorted."""
    return sorted(a.outcome.keys() & b.outcome.keys())


def _added(data: RunData) -> dict[str, dict[tuple[str, int], float]]:
    """As _sums, of each added tool."""
    walls: dict[str, dict[tuple[str, int], float]] = {tool: {} for tool in added_tools(data)}
    rows = data.rows(
        f"""
        SELECT tool, task_id, epoch, sum(duration_total_ms)::DOUBLE FROM (
            SELECT * REPLACE (coalesce(epoch, 1) AS epoch) FROM events WHERE type = 'tool_call'
            QUALIFY row_number() OVER (PARTITION BY task_id, coalesce(epoch, 1), step ORDER BY ({IN_TIME}) DESC) = 1
        ) WHERE status <> 'invalid' GROUP BY ALL
        """
    )
    for tool, task, epoch, ms in rows if walls else ():
        if tool in walls:
            walls[tool][(task, epoch)] = ms
    return walls


def _sums(data: RunData) -> dict[tuple[str, int], npt.NDArray[np.float64]]:
    """A task's sums. A step that was tried again (resume, retry of an error) counts once, by its last try."""
    columns = ", ".join(f"({sql})::DOUBLE" for _, _, sql in QUANTITIES if sql)
    rows = data.rows(
        f"""
        SELECT task_id, epoch, {columns} FROM (
            SELECT * REPLACE (coalesce(epoch, 1) AS epoch) FROM events
            WHERE type = 'tool_call' OR (type = 'llm_call' AND role = 'orchestrator')
            QUALIFY row_number() OVER (
                PARTITION BY task_id, coalesce(epoch, 1), step, type ORDER BY ({IN_TIME}) DESC) = 1
        ) GROUP BY task_id, epoch
        """
    )
    return {
        (row[0], row[1]): np.asarray([np.nan if value is None else value for value in row[2:]], dtype=float)
        for row in rows
    }
