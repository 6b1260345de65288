"""The score with and without the tasks that met a page which screening left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium_analysis.load.run_data import load_run
from podium_analysis.pipeline import summary_lines
from podium_analysis.scoring.screened import BlockedPages
from podium_analysis.scoring.screened_words import screened_line
from podium_analysis.stats.compute import compute_stats
from podium_contracts.events import Event, TaskComplete, ToolCall

MakeLog = Callable[[list[Event | bytes]], Path]


def done(task: str, correct: bool, **fields: Any) -> TaskComplete:
    return TaskComplete(
        run_id="r", task_id=task, status="done", ending="answered", correct=correct, duration_ms=1.0, rounds=1, **fields
    )


def searched(task: str, **fields: Any) -> ToolCall:
    return ToolCall(
        run_id="r", task_id=task, tool="search", status="ok", duration_ms=1.0, duration_total_ms=1.0, step=1, **fields
    )


def test_tasks_that_met_a_blocked_page_are_left_out(make_log: MakeLog) -> None:
    log = make_log(
        [
            searched("a", screened_mirror=2, screened_question=1, screened_answer=0, screened_query="shortened"),
            searched("a", screened_mirror=1, screened_question=0, screened_answer=0),
            searched("b", screened_mirror=0, screened_question=0, screened_answer=0, screened_query="refused"),
            searched("c"),
            done("a", True, verified_class="certified"),
            done("b", True, verified_class="certified"),
            done("c", False, verified_class="revised"),
        ]
    )
    with load_run(log) as run:
        stats = compute_stats(run)
    assert stats.scores is not None
    found = stats.scores.screened
    assert found is not None
    assert found.rules == [BlockedPages("mirror", 3, 1), BlockedPages("question", 1, 1), BlockedPages("answer", 0, 0)]
    assert (found.n_searches, found.n_queries_shortened, found.n_queries_refused, found.n_tasks) == (3, 1, 1, 1)
    assert (stats.scores.n_right, stats.scores.n, found.without.n_right, found.without.n) == (2, 3, 1, 2)
    line = screened_line(stats.scores.screened)
    assert line is not None
    assert "without the 1 tasks that met one: 50.0 % of 2" in line
    assert line in summary_lines(stats)
    assert stats.scores.groups is not None
    classes = [(group.value, group.n, group.n_right) for group in stats.scores.groups.verified_class]
    assert classes == [("certified", 2, 2), ("revised", 1, 0)]


def test_a_run_without_screening_has_no_second_score(make_log: MakeLog) -> None:
    with load_run(make_log([searched("a"), done("a", True)])) as run:
        stats = compute_stats(run)
    assert stats.scores is not None
    assert stats.scores.screened is None
    assert stats.dataset.sha256 is None, "run.json does not tell: not known"
