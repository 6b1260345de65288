"""The tables that are made of the events once they are read: tasks, how each ended, and the run's segments."""

# DuckDB's results are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass

import duckdb

from podium_analysis.load.schema import IN_TIME
from podium_analysis.section import Count, Section


class Segment(Section, frozen=True):
    """One start of the run. offset_ms lays segments end to end: time in the run = offset_ms + mono_ms.

    reason: of its run_end; None when it has none (still running, or killed).
    """

    n: Count
    offset_ms: float
    length_ms: float
    reason: str | None


@dataclass(slots=True)  # frozen ones take twice as long to make
class TaskRow:
    """A task by its last task_complete. superseded: earlier ones, of attempts that failed or were repeated."""

    task: int
    """Its index in the tables: events.task."""
    task_id: str
    epoch: int
    eid: int | None
    status: str
    ending: str
    correct: bool | None
    grade: str | None
    confidence: float | None
    rounds: int
    invalid_turns: int | None
    duration_ms: float
    cost_usd: float | None
    n_unpriced: int | None
    error_type: str | None
    segment: int
    superseded: int


def make_tables(db: duckdb.DuckDBPyConnection) -> None:
    """Make the tables `tasks` and `final` (see RunData) of the table `events`."""
    db.execute(
        """
        CREATE TABLE tasks AS
        SELECT (row_number() OVER (ORDER BY eid NULLS LAST, task_id, epoch) - 1)::INTEGER AS task, task_id, epoch FROM (
            SELECT task_id, coalesce(epoch, 1) AS epoch, min(eid) AS eid
            FROM events WHERE task_id IS NOT NULL GROUP BY ALL)
        """
    )
    db.execute(
        f"""
        CREATE TABLE final AS
        SELECT t.task, t.task_id, t.epoch, e.eid, status, ending, correct, grade, confidence, rounds, invalid_turns,
               duration_ms, cost_usd, n_unpriced, error_type, category, subject, answer_type, verified_class, has_image,
               coalesce(segment, 1) AS segment, superseded,
               hash(status) AS kind
        FROM (SELECT *, coalesce(epoch, 1) AS task_epoch,
                     (count(*) OVER same - 1)::INTEGER AS superseded,
                     row_number() OVER (same ORDER BY {IN_TIME}) AS place
              FROM events WHERE type = 'task_complete' WINDOW same AS (PARTITION BY task_id, coalesce(epoch, 1))) e
        JOIN tasks t ON t.task_id = e.task_id AND t.epoch = e.task_epoch
        WHERE place = superseded + 1
        """
    )


def read_segments(db: duckdb.DuckDBPyConnection) -> list[Segment]:
    """The run's segments, laid end to end."""
    found = db.execute(
        """
        SELECT coalesce(segment, 1) AS n, max(mono_ms), max(reason) FILTER (type = 'run_end')
        FROM events GROUP BY n ORDER BY n
        """
    ).fetchall()
    segments: list[Segment] = []
    offset = 0.0
    for n, length, reason in found:
        segments.append(Segment(int(n), offset, float(length or 0.0), reason))
        offset += float(length or 0.0)
    return segments
