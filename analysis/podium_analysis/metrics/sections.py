"""What stats.json holds of a metric."""

from typing import Literal

from podium_analysis.metrics.histograms import Histogram
from podium_analysis.metrics.metric import Unit
from podium_analysis.section import Count, Interval, Section

Estimate = Literal["mean", "p50", "p90", "p95", "p99", "p99_9"]


class PlainSummary(Section, frozen=True, kw_only=True):
    """Of n known values. All numbers are None for n = 0, sd (the sample's, n - 1) for n < 2."""

    n: Count
    n_missing: Count
    mean: float | None
    sd: float | None
    min: float | None
    max: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None


class Summary(PlainSummary, frozen=True, kw_only=True):
    """With 95% intervals of those estimates whose n carries one."""

    intervals: dict[Estimate, Interval]


class StatusGroup(PlainSummary, frozen=True, kw_only=True):
    """Values of the calls that ended so."""

    status: str


class ModelGroup(Summary, frozen=True, kw_only=True):
    """Values of the successful calls of one tool and model."""

    tool: str | None
    provider: str | None
    model: str | None


class StepGroup(PlainSummary, frozen=True, kw_only=True):
    """Values of the successful calls at one step."""

    step: Count


class Histograms(Section, frozen=True):
    """Of the successful calls' values."""

    linear: Histogram
    log: Histogram


class MetricStatistics(Summary, frozen=True, kw_only=True):
    """A metric over the successful calls; n_other: how many others there are, summarised in by_status alone."""

    title: str
    what: str
    unit: Unit
    of: str
    n_other: Count
    histograms: Histograms
    by_status: list[StatusGroup]
    by_tool_model: list[ModelGroup]
    by_step: list[StepGroup]
