"""A benchmark's own measure in words, for the terminal and the report."""

from podium_analysis.quantities import number
from podium_analysis.scoring.benchmark.score import Attempts, BenchmarkScore


def measure_lines(score: BenchmarkScore) -> list[str]:
    """A line for what the benchmark reports beside the accuracy, and one for its kinds; none for HLE."""
    lines = [attempts_line(score.title, score.attempts)] if score.attempts else []
    if score.kinds:
        kinds = ", ".join(f"{one.kind} {one.accuracy:.1f} % of {number(one.n)}" for one in score.kinds)
        lines.append(f"{score.title} by {score.kinds_name}: {kinds}")
    return lines


def attempts_line(title: str, found: Attempts) -> str:
    """F with its interval, what it is made of, and the counts."""
    if found.f_measure is None:
        return f"{title}: no task"
    interval = "" if found.f_interval is None else f" (95 % {found.f_interval[0]:.1f} to {found.f_interval[1]:.1f})"
    given = "none attempted"
    if found.correct_given_attempted is not None:
        given = f"{found.correct_given_attempted:.1f} % of those attempted"
    ungraded = f", without a grade {number(found.n_ungraded)}" if found.n_ungraded else ""
    return (
        f"{title}: F {found.f_measure:.1f}{interval}, of {found.correct:.1f} % correct overall and {given}; "
        f"correct {number(found.n_correct)}, incorrect {number(found.n_incorrect)}, "
        f"not attempted {number(found.n_not_attempted)}{ungraded}"
    )
