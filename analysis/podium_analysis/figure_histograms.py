"""The two histograms of a metric. Bars carry count and percent of n; what a log scale cannot hold stands beside it."""

# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from podium_analysis.figure_style import (
    BAR,
    EXTRA_BAR,
    GRID,
    MARK_LABELS,
    MARKS,
    MUTED,
    amount,
    axis_unit,
    count,
    empty,
    new_figure,
    percent,
    place,
    ticks,
)

Scale = Literal["linear", "log"]
WHITE: Final = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.4}


def histogram_figure(metric: Mapping[str, Any], scale: Scale) -> Figure:
    """metric: an entry of stats.json's metrics."""
    n, unit = int(metric["n"]), str(metric["unit"])
    found: Mapping[str, Any] = metric["histograms"][scale]
    figure = new_figure(f"{metric['title']} ({scale} bins)", _subtitle(metric))
    counts: list[int] = list(found["counts"])
    if n == 0:
        empty(figure, "no values")
        return figure
    extra = [(label, int(found[key])) for key, label in (("n_negative", "< 0"), ("n_zero", "= 0")) if found[key]]
    axes = place(figure, left=0.62, bottom=0.5, right=0.14, top=0.82)
    edges: list[float] = list(found["edges"])
    constant = len(counts) == 1
    bins = len(counts)
    left_end = -0.8 - 1.0 * len(extra) if extra else 0.0
    bars = [(float(at), height, BAR) for at, height in enumerate(counts)]
    bars += [(left_end + at, height, EXTRA_BAR) for at, (_, height) in enumerate(extra)]
    marks: dict[str, float | None] = {}
    factor, label = axis_unit(edges[0] if edges else 0.0, edges[-1] if edges else 0.0, unit)
    if constant:
        places, labels = [0.5], [f"{amount(edges[0], unit)} (every value{' above zero' if extra else ''})"]
        right_end = 1.0
    elif counts:
        shown = list(range(0, bins + 1, 2 if bins > 6 else 1))
        places, labels = [float(at) for at in shown], ticks([edges[at] * factor for at in shown])
        right_end = float(bins)
        zero = next((left_end + at + 0.5 for at, (text, _) in enumerate(extra) if text == "= 0"), None)
        marks = {
            name: zero if scale == "log" and metric[name] == 0 else _position(metric[name], edges, scale, bins)
            for name in MARKS
        }
    else:
        places, labels, right_end = [], [], 0.0
    _bars(axes, bars, n, [at for at in marks.values() if at is not None])
    places += [left_end + at + 0.5 for at in range(len(extra))]
    labels += [text for text, _ in extra]
    axes.set_xticks(places, labels)
    axes.set_xlim(left_end - 0.15, max(right_end, left_end + len(extra)) + 0.15)
    axes.set_xlabel(label if not constant and counts else "")
    axes.text(-0.01, 1.02, "count", transform=axes.transAxes, ha="right", fontsize=7, color=MUTED)
    _marks(figure, axes, metric, marks)
    return figure


def _subtitle(metric: Mapping[str, Any]) -> str:
    parts = [f"n = {count(int(metric['n']))} {metric['of']}"]
    if metric["n_missing"]:
        parts.append(f"{count(int(metric['n_missing']))} missing")
    if metric["n_other"]:
        parts.append(f"{count(int(metric['n_other']))} of other status not shown")
    return " · ".join(parts)


def _bars(axes: Axes, bars: list[tuple[float, int, str]], n: int, lines: list[float]) -> None:
    """lines: where vertical lines will be drawn; a label that one crosses is set on white."""
    top = max(height for _, height, _ in bars)
    axes.bar(
        [at + 0.5 for at, _, _ in bars],
        [height for _, height, _ in bars],
        width=0.94,
        color=[colour for _, _, colour in bars],
        edgecolor="white",
        linewidth=0.5,
    )
    longest = max(len(count(height)) for _, height, _ in bars)
    size = 7.0 if longest <= 6 or len(bars) < 8 else 6.2
    if len(bars) > 13:
        size *= 13 / len(bars)
    for at, height, _ in bars:
        if height:
            axes.text(
                at + 0.5, height + 0.012 * top, f"{count(height)}\n{percent(height / n)}",
                ha="center", va="bottom", fontsize=size, linespacing=1.05, zorder=4,
                bbox=WHITE if any(abs(at + 0.5 - line) < 0.6 for line in lines) else None,
            )  # fmt: skip
    axes.set_ylim(0, top * 1.16)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.tick_params(axis="x", length=3)
    axes.locator_params(axis="y", nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: count(int(value)) if value == int(value) else "")


def _marks(figure: Figure, axes: Axes, metric: Mapping[str, Any], marks: Mapping[str, float | None]) -> None:
    """Median, mean and p99 as lines where they lie, their values in a row above the axes."""
    width, height = figure.get_size_inches()
    x, y = 0.62, 1 - 0.6 / height
    for name, at in marks.items():
        colour, style = MARKS[name]
        text = f"{MARK_LABELS[name]} {amount(metric[name], str(metric['unit']))}"
        figure.text((x + 0.28) / width, y, text + (" (off scale)" if at is None else ""), va="center", fontsize=7.5)
        figure.add_artist(Line2D([x / width, (x + 0.22) / width], [y, y], color=colour, linestyle=style, linewidth=1.4))
        if at is not None:
            axes.axvline(at, color=colour, linestyle=style, linewidth=1.4, zorder=3)
        x += 1.6


def _position(value: float | None, edges: list[float], scale: Scale, bins: int) -> float | None:
    if value is None or value < edges[0]:
        return None
    low, value, high = (math.log(x) if scale == "log" else x for x in (edges[0], value, edges[-1]))
    share = (value - low) / (high - low) if high > low else 0.5
    return float(np.clip(share, 0.0, 1.0)) * bins
