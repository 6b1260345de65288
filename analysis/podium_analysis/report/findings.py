"""The score and the warnings at the top of report.html."""

from collections.abc import Sequence
from typing import Final

from podium_analysis.load.records import BadRecord
from podium_analysis.quantities import number, percent
from podium_analysis.report.page import Score
from podium_analysis.scoring.benchmark.score import BenchmarkScore
from podium_analysis.scoring.benchmark.words import measure_lines
from podium_analysis.scoring.screened_words import screened_line
from podium_analysis.stats.compute import Stats
from podium_analysis.stats.overview import Scores

UNEXPLAINED_LIMIT: Final = 0.02
"""Median share of a task's wall time beyond which the profile does not account for the run."""


def notes(stats: Stats, bad_records: Sequence[BadRecord]) -> list[str]:
    """Warnings to read before citing a figure of the page, one a line."""
    lines: list[str] = []
    log, tasks, accounting = stats.log, stats.tasks, stats.accounting
    if not log.ended:
        lines.append("The log has no end: the run is still going, or was stopped. The figures are of what is there.")
    missing = (tasks.n_expected or 0) - tasks.n_ended
    if log.segments and log.segments[-1].reason == "half_width":
        lines.append(
            f"The run stopped at its half width (STOP_AT_HALF_WIDTH) after {number(tasks.n_ended)} of "
            f"{number(tasks.n_expected)} tasks; the score is of these. The run looked after every question, which "
            "makes its interval a little too narrow."
        )
    elif missing > 0:
        lines.append(
            f"{number(missing)} of {number(tasks.n_expected)} tasks have not ended; the score counts them as wrong."
        )
    for n, is_lost, what in (
        (log.n_problems, False, "lines of the log were left out"),
        (log.n_lost_values, True, "lines of the log have a value of the wrong type, which counts as missing"),
    ):
        if n:
            listed = [one for one in log.problems if (one.kind == "lost_value") == is_lost]
            first = f"; the first, line {listed[0].line}: {listed[0].message}" if listed else ""
            lines.append(f"{number(n)} {what}{first}.")
    if bad_records:
        record = bad_records[0]
        lines.append(f"{number(len(bad_records))} task records could not be read; {record.file}: {record.reason}.")
    if stats.scores and stats.scores.rejudged:
        lines.append("The score uses the run's own judge; other judges below.")
    if accounting.n_without_calls:
        lines.append(
            f"The log holds no calls of {number(accounting.n_without_calls)} tasks (its level kept them out, or it "
            "was cut): they are in no figure of time."
        )
    if web := stats.errors.web:
        whys = ", ".join(f"{one.web_error} {number(one.n)}" for one in web)
        lines.append(f"The web failed for {number(sum(one.n for one in web))} searches ({whys}).")
    share = accounting.unexplained_share.p50
    if share is not None and abs(share) > UNEXPLAINED_LIMIT:
        lines.append(f"At the median {percent(share)} of a task's wall time is not explained by its parts.")
    return lines


def score_of(scores: Scores | None, benchmark: BenchmarkScore | None) -> Score:
    """The score in words. benchmark: what it reports beside the accuracy; None where that is not known yet."""
    if not scores or scores.accuracy is None:
        return Score("Accuracy", "–", ["No task has ended yet."])
    # The official half width takes a question's epochs as independent: it is shown where there is one epoch.
    lines = [f"{number(scores.n_right)} of {number(scores.n)}"]
    if scores.clustered is None:
        lines[0] += f", ±{scores.half_width:.1f} points"
    if scores.interval:
        low, high = scores.interval
        method = "Wilson" if scores.clustered is None else "Wilson, clustered by question"
        lines[0] += f"; 95 % interval {low:.1f} to {high:.1f} ({method})"
    lines += measure_lines(benchmark) if benchmark else []
    counts = {
        "unanswered": scores.n_unanswered, "ungraded": scores.n_ungraded, "errors": scores.n_error,
        "skipped": scores.n_skipped, "not ended": scores.n_missing,
    }  # fmt: skip
    as_wrong = [f"{number(n)} {word}" for word, n in counts.items() if n]
    lines.append(f"Protocol {scores.protocol}" + (f"; counted as wrong: {', '.join(as_wrong)}" if as_wrong else ""))
    graded = scores.accuracy_graded
    if graded.value is not None and graded.n != scores.n:
        lines.append(f"Of the {number(graded.n)} graded: {graded.value:.1f} %")
    official, corrected = scores.calibration_official, scores.calibration_corrected
    if official.value is not None or corrected.value is not None:
        shown = "n/a (needs 100)" if official.value is None else f"{number(official.value, 1)} points"
        lines.append(
            f"Calibration error ({number(scores.n_confidence)} answers): official {shown}; "
            f"corrected {number(corrected.value, 1)} points"
        )
        if official.value is not None:
            lines.append(
                "The official code leaves the order of equal confidences undefined, so its value differs between "
                "machines; here they stand in the order of the tasks."
            )
    if line := screened_line(scores.screened):
        lines.append(line)
    repeats = scores.repeats
    if repeats:
        passes = ", ".join(f"pass@{p.k} {number(p.value, 1)} %" for p in repeats.pass_at_k)
        lines.append(f"{repeats.epochs} epochs: mean {repeats.mean:.1f} %; {passes}")
    kappa = scores.agreement
    if kappa:
        lines.append(
            f"Two judges over {number(kappa.n)} answers: agreement {number(kappa.share, 1)} %, "
            f"kappa {number(kappa.kappa, 2)}"
        )
    if panel := scores.panel:
        lines.append(
            f"{len(panel.judges)} judges: unanimous on {number(panel.unanimous)} of {number(panel.n)}, "
            f"Fleiss' kappa {number(panel.fleiss_kappa, 2)}, Krippendorff's alpha "
            f"{number(panel.krippendorff_alpha, 2)}; {number(panel.n_tied)} tied, "
            f"{number(panel.n_missing)} not graded by all"
        )
    return Score("Accuracy", f"{scores.accuracy:.1f} %", lines)
