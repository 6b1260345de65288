"""What screening did, in a line for the terminal and the report."""

from podium_analysis.quantities import number
from podium_analysis.scoring.screened import ScreenedScore


def screened_line(found: ScreenedScore | None) -> str | None:
    """What screening left out of the web's pages, and the score without the tasks that met such a page."""
    if not found:
        return None
    rules = ", ".join(f"{one.rule} {number(one.n_pages)}" for one in found.rules)
    line = f"Screening of {number(found.n_searches)} web searches left out pages by rule: {rules}"
    changed = found.n_queries_shortened, found.n_queries_refused
    if any(changed):
        line += f"; queries shortened {number(changed[0])}, refused {number(changed[1])}"
    without = found.without.accuracy
    if not found.n_tasks or without is None:
        return f"{line}; {number(found.n_tasks)} tasks met one"
    return (
        f"{line}; without the {number(found.n_tasks)} tasks that met one: {without:.1f} % of {number(found.without.n)}"
    )
