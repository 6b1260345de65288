"""How far several judges of the same answers agree: Fleiss' kappa and Krippendorff's alpha for right and wrong."""

from collections.abc import Sequence

from podium_analysis.section import Count, Section

Votes = Sequence[bool | None]
"""One answer's grade by each judge, in the same order; None: that judge failed or was not asked."""


class PanelAgreement(Section, frozen=True):
    """Over answers that a model graded. A coefficient is None where all grades are the same: chance explains all."""

    judges: tuple[str, ...]
    n: Count
    """Answers graded by every judge: Fleiss' kappa is over these."""
    n_missing: Count
    """Answers that some judge has no grade for; alpha takes those with two grades or more."""
    n_right: Count
    n_wrong: Count
    """By the majority of all judges."""
    n_tied: Count
    n_undecided: Count
    """Answers of which missing votes could change the majority."""
    unanimous: Count
    fleiss_kappa: float | None
    krippendorff_alpha: float | None


def panel_agreement(judges: Sequence[str], answers: Sequence[Votes]) -> PanelAgreement:
    """Every answer's votes, one column a judge."""
    whole = [votes for votes in answers if None not in votes]
    half = len(judges) / 2
    right = sum(_count(votes, True) > half for votes in answers)
    wrong = sum(_count(votes, False) > half for votes in answers)
    tied = sum(_count(votes, True) == half == _count(votes, False) for votes in whole)
    return PanelAgreement(
        judges=tuple(judges),
        n=len(whole),
        n_missing=len(answers) - len(whole),
        n_right=right,
        n_wrong=wrong,
        n_tied=tied,
        n_undecided=len(answers) - right - wrong - tied,
        unanimous=sum(len(set(votes)) == 1 for votes in whole),
        fleiss_kappa=fleiss_kappa(whole),
        krippendorff_alpha=krippendorff_alpha(answers),
    )


def fleiss_kappa(answers: Sequence[Votes]) -> float | None:
    """Fleiss (1971), over answers that every judge graded; None for fewer than two judges or one grade alone."""
    k = len(answers[0]) if answers else 0
    if k < 2:
        return None
    right = [_count(votes, True) for votes in answers]
    seen = sum(r * (r - 1) + (k - r) * (k - r - 1) for r in right) / (len(answers) * k * (k - 1))
    share = sum(right) / (len(answers) * k)
    chance = share * share + (1 - share) * (1 - share)
    return None if chance == 1 else (seen - chance) / (1 - chance)


def krippendorff_alpha(answers: Sequence[Votes]) -> float | None:
    """Krippendorff's alpha for nominal grades: 1 - observed over expected disagreement; missing grades are left out."""
    disagreement = 0.0
    totals = [0, 0]
    for votes in answers:
        right, wrong = _count(votes, True), _count(votes, False)
        if right + wrong < 2:
            continue
        disagreement += right * wrong / (right + wrong - 1)
        totals[0] += right
        totals[1] += wrong
    expected = totals[0] * totals[1]
    return None if expected == 0 else 1 - (sum(totals) - 1) * disagreement / expected


def _count(votes: Votes, grade: bool) -> int:
    return sum(vote is grade for vote in votes)
