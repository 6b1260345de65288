"""Latency of a turn against the length of its context."""

# pyright: reportUnknownMemberType=false

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import CYCLE, GRID, MUTED
from podium_analysis.figures.style import axis_unit, count, empty, new_figure, place
from podium_analysis.stats.compute import Stats

LABELS = {"prefill_ms": "prefill", "duration_ms": "whole call"}


def context_latency_figure(stats: Stats) -> Figure:
    """Median and the middle 80% of prefill and of the whole call by prompt tokens, and how many turns each bin has."""
    found = stats.context_latency
    title = "Latency against context length"
    if not found.n:
        figure = new_figure(title)
        empty(figure, "no turn with a known prompt length")
        return figure
    figure = new_figure(title, f"{count(found.n)} turns without an error · line: median, band: p10 to p90", height=5.0)
    edges = np.array(found.edges_tokens)
    middle = (edges[1:] + edges[:-1]) / 2
    heights = (1.3, 1.3, 0.55)
    bottoms = (2.92, 1.3, 0.45)
    panels = [
        place(figure, left=0.7, bottom=b, right=0.14, top=5.0 - b - h) for b, h in zip(bottoms, heights, strict=True)
    ]
    for axes, name, colour in zip(panels, LABELS, (CYCLE[0], CYCLE[5]), strict=False):
        groups = found.prefill_ms if name == "prefill_ms" else found.duration_ms
        known = np.array([group.n > 0 for group in groups])
        axes.text(0.0, 1.04, LABELS[name], transform=axes.transAxes, fontsize=8, fontweight="bold")
        if not known.any():
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=MUTED)
            continue
        p10, p50, p90 = (
            np.array([getattr(group, key) for group in groups if group.n], dtype=float) for key in ("p10", "p50", "p90")
        )
        factor, unit = axis_unit(0.0, float(p90.max()), "ms")
        x = middle[known]
        if len(x) == 1:
            axes.errorbar(
                x, p50 * factor, [(p50 - p10) * factor, (p90 - p50) * factor], color=colour, fmt="o", capsize=4
            )
        else:
            axes.fill_between(x, p10 * factor, p90 * factor, color=colour, alpha=0.22, linewidth=0)
            axes.plot(x, p50 * factor, color=colour, marker="o", markersize=3, linewidth=1.4)
        axes.set_ylim(0, float(p90.max()) * factor * 1.08 or 1.0)
        axes.set_ylabel(unit)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelbottom=False)
    n = np.array([group.n for group in found.duration_ms])
    panels[2].bar(middle, n, width=np.diff(edges) * 0.92 if edges[-1] > edges[0] else 0.5, color=MUTED)
    panels[2].set_ylabel("turns")
    panels[2].yaxis.set_major_locator(MaxNLocator(2, integer=True))
    panels[2].yaxis.set_major_formatter(lambda value, _: count(int(value)))
    panels[2].set_xlabel("prompt tokens")
    panels[2].xaxis.set_major_formatter(lambda value, _: count(round(value)))
    span = (edges[-1] - edges[0]) * 0.02 or 1.0
    for axes in panels:
        axes.set_xlim(edges[0] - span, edges[-1] + span)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
    figure.align_ylabels(panels)
    return figure
