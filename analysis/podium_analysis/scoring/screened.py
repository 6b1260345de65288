"""The score beside the pages that screening left out of the web's results: with and without the tasks that met one."""

from collections.abc import Sequence

from podium_analysis.load.run_data import RunData
from podium_analysis.scoring.scores import Sample, Score, score
from podium_analysis.section import Count, Section

RULES = ("mirror", "question", "answer")


class BlockedPages(Section, frozen=True):
    """Pages that a rule left out, and the tasks that met one of them."""

    rule: str
    n_pages: Count
    n_tasks: Count


class ScreenedScore(Section, frozen=True):
    """n_tasks: of those that ended, how many met a page that was left out. without: the score of all others."""

    n_searches: Count
    """Searches whose web pages were screened."""
    n_queries_shortened: Count
    n_queries_refused: Count
    n_tasks: Count
    rules: list[BlockedPages]
    without: Score


def screened_score(run: RunData, samples: Sequence[Sample], n_total: int | None) -> ScreenedScore | None:
    """None where no search was screened, or the log does not tell."""
    counts = ", ".join(
        f"coalesce(sum(screened_{rule}), 0)::BIGINT, "
        f"count(DISTINCT (task_id, coalesce(epoch, 1))) FILTER (screened_{rule} > 0)"
        for rule in RULES
    )
    known = "FROM events WHERE type = 'tool_call' AND screened_mirror IS NOT NULL"
    row = run.rows(
        "SELECT count(*), count(*) FILTER (screened_query = 'shortened'), "
        f"count(*) FILTER (screened_query = 'refused'), {counts} {known}"
    )[0]
    if not row[0]:
        return None
    more_than_none = " + ".join(f"coalesce(screened_{rule}, 0)" for rule in RULES)
    met = set(run.rows(f"SELECT DISTINCT task_id, coalesce(epoch, 1) {known} AND {more_than_none} > 0"))
    rest = [sample for sample in samples if (sample.task_id, sample.epoch) not in met]
    n_met = len(samples) - len(rest)
    return ScreenedScore(
        n_searches=row[0],
        n_queries_shortened=row[1],
        n_queries_refused=row[2],
        n_tasks=n_met,
        rules=[BlockedPages(rule, row[3 + 2 * at], row[4 + 2 * at]) for at, rule in enumerate(RULES)],
        without=score(rest, None if n_total is None else n_total - n_met),
    )
