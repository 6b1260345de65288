"""The two histograms of a metric. Bars carry count and percent of n; what a log scale cannot hold stands beside it.

Most of a run's figures are these, so they are drawn of lines, bars and texts alone: matplotlib's axes with their ticks
would take twice the time.
"""

# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import BAR, EXTRA_BAR, GRID, INK, MARKS, MUTED
from podium_analysis.figures.style import (
    HEIGHT,
    WIDTH,
    amount,
    axis_unit,
    count,
    empty,
    new_figure,
    percent,
    round_ticks,
    ticks,
)
from podium_analysis.metrics.intervals import highest_percentile
from podium_analysis.metrics.sections import MetricStatistics

Scale = Literal["linear", "log"]
WHITE: Final = {"facecolor": "white", "alpha": 0.88, "edgecolor": "none", "pad": 0.4}
LEFT, RIGHT, BOTTOM, TOP = 0.62, WIDTH - 0.14, 0.5, HEIGHT - 0.82
"""The frame in inches from the figure's lower left corner."""
HEADROOM: Final = 1.16
"""Height of the frame over that of the highest bar: room for its label."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values lie in the figure, in inches. low, high: the ends of the x axis; top: the highest bar."""

    figure: Figure
    low: float
    high: float
    top: int

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        return BOTTOM + value / (self.top * HEADROOM) * (TOP - BOTTOM)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.figure.text(x, y, text, transform=self.figure.dpi_scale_trans, **style)

    def lines(self, ends: Sequence[tuple[float, float, float, float]], colour: str, width: float, order: float) -> None:
        """Each from x0, y0 to x1, y1."""
        self.figure.add_artist(
            LineCollection(
                [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in ends], colors=colour, linewidths=width, zorder=order,
                transform=self.figure.dpi_scale_trans,
            )
        )  # fmt: skip


def histogram_figure(metric: MetricStatistics, scale: Scale) -> Figure:
    """metric: an entry of stats.json's metrics."""
    n, unit = metric.n, metric.unit
    found = metric.histograms.log if scale == "log" else metric.histograms.linear
    figure = new_figure(f"{metric.title} ({scale} bins)", _subtitle(metric))
    counts = found.counts
    if n == 0:
        empty(figure, "no values")
        return figure
    extra = [(label, n) for label, n in (("< 0", found.n_negative), ("= 0", found.n_zero)) if n]
    edges = found.edges
    constant = len(counts) == 1
    bins = len(counts)
    left_end = -0.8 - 1.0 * len(extra) if extra else 0.0
    bars = [(float(at), height, BAR) for at, height in enumerate(counts)]
    bars += [(left_end + at, height, EXTRA_BAR) for at, (_, height) in enumerate(extra)]
    marks: dict[str, float | None] = {}
    names = [name for name in ("p50", "mean", highest_percentile(n)) if name]
    factor, label = axis_unit(edges[0] if edges else 0.0, edges[-1] if edges else 0.0, unit)
    if constant:
        places, labels = [0.5], [f"{amount(edges[0], unit)} (every value{' above zero' if extra else ''})"]
        right_end = 1.0
    elif counts:
        values = round_ticks(edges[0] * factor, edges[-1] * factor, scale)
        places = [_position(value / factor, edges, scale, bins) or 0.0 for value in values]
        labels = ticks(values)
        right_end = float(bins)
        zero = next((left_end + at + 0.5 for at, (text, _) in enumerate(extra) if text == "= 0"), None)
        shown = {name: getattr(metric, name) for name in names}
        marks = {
            name: zero if scale == "log" and value == 0 else _position(value, edges, scale, bins)
            for name, value in shown.items()
        }
    else:
        places, labels, right_end = [], [], 0.0
    places += [left_end + at + 0.5 for at in range(len(extra))]
    labels += [text for text, _ in extra]
    end = max(right_end, left_end + len(extra)) + 0.15
    frame = _Frame(figure, left_end - 0.15, end, max(height for _, height, _ in bars))
    _axes(frame, dict(zip(places, labels, strict=True)), label if not constant and counts else "")
    _bars(frame, bars, n, [at for at in marks.values() if at is not None])
    _marks(frame, metric, marks)
    return figure


def _axes(frame: _Frame, labels: Mapping[float, str], unit: str) -> None:
    """The two axes, the grid, and what stands at them."""
    steps = [v for v in MaxNLocator(5, integer=True).tick_values(0, frame.top * HEADROOM) if v <= frame.top * HEADROOM]
    heights = [frame.y(value) for value in steps]
    places = [frame.x(place) for place in labels]
    frame.lines([(LEFT, y, RIGHT, y) for y in heights], GRID, 0.6, 0.5)
    frame.lines([(LEFT, BOTTOM, RIGHT, BOTTOM), (LEFT, BOTTOM, LEFT, TOP)], MUTED, 0.8, 2.5)
    marks = [(LEFT - 0.049, y, LEFT, y) for y in heights] + [(x, BOTTOM - 0.042, x, BOTTOM) for x in places]
    frame.lines(marks, INK, 0.8, 2.5)
    for value, y in zip(steps, heights, strict=True):
        frame.text(LEFT - 0.1, y, count(int(value)), ha="right", va="center_baseline", fontsize=7.5)
    for x, text in zip(places, labels.values(), strict=True):
        frame.text(x, BOTTOM - 0.09, text, ha="center", va="top", fontsize=7.5)
    if unit:
        frame.text((LEFT + RIGHT) / 2, BOTTOM - 0.25, unit, ha="center", va="top", fontsize=8)
    frame.text(LEFT - 0.045, TOP + 0.05, "count", ha="right", fontsize=7, color=MUTED)


def _bars(frame: _Frame, bars: Sequence[tuple[float, int, str]], n: int, lines: Sequence[float]) -> None:
    """lines: where vertical lines will be drawn; a label that one crosses is set on white."""
    corners = [
        [(frame.x(at + dx), frame.y(height * share)) for dx, share in ((0.03, 0), (0.03, 1), (0.97, 1), (0.97, 0))]
        for at, height, _ in bars
    ]
    frame.figure.add_artist(
        PolyCollection(
            corners, facecolors=[colour for _, _, colour in bars], edgecolors="white", linewidths=0.5, zorder=1,
            transform=frame.figure.dpi_scale_trans,
        )
    )  # fmt: skip
    longest = max(len(count(height)) for _, height, _ in bars)
    size = 7.0 if longest <= 6 or len(bars) < 8 else 6.2
    if len(bars) > 13:
        size *= 13 / len(bars)
    for at, height, _ in bars:
        if height:
            frame.text(
                frame.x(at + 0.5), frame.y(height) + 0.027, f"{count(height)}\n{percent(height / n)}",
                ha="center", va="bottom", fontsize=size, linespacing=1.05, zorder=4,
                bbox=WHITE if any(abs(at + 0.5 - line) < 0.6 for line in lines) else None,
            )  # fmt: skip


def _marks(frame: _Frame, metric: MetricStatistics, marks: Mapping[str, float | None]) -> None:
    """Median, mean and the highest percentile that n carries: lines where they lie, values in a row above the frame."""
    x, y = LEFT, HEIGHT - 0.6
    for name, at in marks.items():
        colour, style = MARKS[name if name in MARKS else "tail"]
        text = f"{'median' if name == 'p50' else name} {amount(getattr(metric, name), metric.unit)}"
        frame.text(x + 0.28, y, text + (" (below)" if at is None else ""), va="center", fontsize=7.5)
        ends = [((x, x + 0.22), (y, y))]
        if at is not None:
            ends.append(((frame.x(at), frame.x(at)), (BOTTOM, TOP)))
        for xs, ys in ends:
            frame.figure.add_artist(
                Line2D(
                    xs, ys, color=colour, linestyle=style, linewidth=1.4, solid_capstyle="butt", zorder=3,
                    transform=frame.figure.dpi_scale_trans,
                )
            )  # fmt: skip
        x += 1.6


def _subtitle(metric: MetricStatistics) -> str:
    parts = [f"n = {count(metric.n)} {metric.of}"]
    if metric.n_missing:
        parts.append(f"{count(metric.n_missing)} missing")
    if metric.n_other:
        parts.append(f"{count(metric.n_other)} of other status not shown")
    return " · ".join(parts)


def _position(value: float | None, edges: Sequence[float], scale: Scale, bins: int) -> float | None:
    if value is None or value < edges[0]:
        return None
    low, value, high = (math.log(x) if scale == "log" else x for x in (edges[0], value, edges[-1]))
    share = (value - low) / (high - low) if high > low else 0.5
    return float(np.clip(share, 0.0, 1.0)) * bins
