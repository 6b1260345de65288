"""Calibration error: how far stated confidence lies from accuracy, by the official code and with its fault mended."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from podium_analysis.section import Count, Section

BIN: Final = 100
"""Samples in a bin of the official calibration error."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Figure(Section, frozen=True):
    """A value in percent over n samples; None with the reason where it cannot be computed."""

    value: float | None
    n: Count
    reason: str | None = None


def official_calibration(confidence: Floats, correct: Bools) -> Figure:
    """The official calibration error, its fault included: the last bin is left out of the sum, but not of its weights.

    Sorted by confidence (ties in the order given), cut into n // 100 bins of 100, the last one taking the rest; root of
    the mean of (mean confidence - accuracy)², weighted by bin size over n. So it is 0 for 100 to 199 samples and the
    official code fails below 100: None here.
    """
    n = len(confidence)
    if n < BIN:
        return Figure(None, n, f"the official code fails below {BIN} graded answers with a confidence")
    order = np.argsort(confidence, kind="stable")
    gaps = _squared_gaps(confidence[order], correct[order].astype(np.float64))
    reason = "one bin only, which the official code leaves out: 0 says nothing" if n < 2 * BIN else None
    return Figure(math.sqrt(sum(gaps[:-1]) / n), n, reason)


def corrected_calibration(confidence: Floats, correct: Bools) -> Figure:
    """The same with every bin counted, at least one bin, and ties without an order.

    Samples of equal confidence may fall into two bins; each then carries the mean correctness of all its equals, so
    that the value does not depend on the order of the questions.
    """
    n = len(confidence)
    if n == 0:
        return Figure(None, 0, "no graded answer has a confidence")
    order = np.argsort(confidence, kind="stable")
    rated = confidence[order]
    _, group, sizes = np.unique(rated, return_inverse=True, return_counts=True)
    shares = np.bincount(group, weights=correct[order].astype(np.float64)) / sizes
    return Figure(math.sqrt(sum(_squared_gaps(rated, shares[group])) / n), n)


def _squared_gaps(confidence: Floats, correct: Floats) -> list[float]:
    """Of each bin: size times squared gap between mean confidence and accuracy, in percent²."""
    n = len(confidence)
    starts = [at * BIN for at in range(max(1, n // BIN))]
    ends = [*starts[1:], n]
    return [
        (end - start) * (float(confidence[start:end].mean()) - 100 * float(correct[start:end].mean())) ** 2
        for start, end in zip(starts, ends, strict=True)
    ]
