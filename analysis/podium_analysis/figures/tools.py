"""What the orchestrator chose: the mix of tools and models, what follows what, and how long each takes."""

# pyright: reportUnknownMemberType=false

import zlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from podium_analysis.figures.colours import ADDED, GRID, INK, MUTED
from podium_analysis.figures.style import (
    axis_unit,
    count,
    empty,
    new_figure,
    percent,
    place,
    round_ticks,
    short_model,
    stack,
    ticks,
)
from podium_analysis.metrics.intervals import has_interval
from podium_analysis.metrics.sections import ModelGroup
from podium_analysis.stats.compute import Stats

TOOL_COLOURS: Final = {
    "search": "#009e73",
    "enhance_reasoning": "#e69f00",
    "answer": "#cc79a7",
    "invalid": "#999999",
}
STEPS: Final = 50
MODELS: Final = 16
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
LATENCIES: Final = ("search_ms", "enhance_reasoning_ms", "answer_ms")
"""The metrics of tool_latency."""
SHORT: Final = {"search": "search", "enhance_reasoning": "reason", "answer": "answer"}


def tool_colour(tool: str) -> str:
    """An added tool's is the same in every figure."""
    return TOOL_COLOURS.get(tool) or ADDED[zlib.crc32(tool.encode("utf-8", "replace")) % len(ADDED)]


def latency_metrics(metrics: Iterable[str]) -> list[str]:
    """The names of those that are a tool's wall time, added tools' last."""
    return ["search_ms", "enhance_reasoning_ms", "answer_ms", *(name for name in metrics if name.startswith("tool-"))]


def tool_mix_figure(stats: Stats) -> Figure:
    """Calls by tool and alias: how many, what share, and how many failed (hatched)."""
    choices = stats.choices
    rows: list[tuple[str, str, int, int]] = []
    for tool in choices.tools:
        name = str(tool.tool)
        bad = tool.n - tool.by_status.get("ok", 0)
        rows.append((name, name, tool.n, bad))
        for model in choices.models:
            if model.tool == name:
                label = f"   {model.alias or '?'} · {short_model(model.model)}"
                rows.append((name, label, model.n, model.n - model.n_ok))
    title = "Tools and models chosen"
    if not rows:
        figure = new_figure(title)
        empty(figure, "no tool call in the log")
        return figure
    figure = new_figure(
        title, f"{count(choices.n)} tool calls · hatched: failed or invalid", height=0.75 + 0.2 * len(rows)
    )
    axes = place(figure, left=2.35, bottom=0.12, right=0.95, top=0.52)
    at = np.arange(len(rows))[::-1]
    top = max(n for _, _, n, _ in rows)
    for y, (tool, label, n, bad) in zip(at, rows, strict=True):
        whole = not label.startswith(" ")
        colour = tool_colour(tool)
        alpha, height = (1.0, 0.8) if whole else (0.55, 0.6)
        axes.barh(y, n - bad, height=height, color=colour, alpha=alpha)
        axes.barh(
            y, bad, left=n - bad, height=height, facecolor="white", edgecolor=colour, hatch="//////", linewidth=0.5
        )
        text = f"{count(n)}  {percent(n / choices.n)}"
        axes.text(
            n + 0.01 * top, y, text, va="center", fontsize=7 if whole else 6.5, fontweight="bold" if whole else None
        )
    axes.set_yticks(at, [label for _, label, _, _ in rows])
    for text, (_, label, _, _) in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_horizontalalignment("left")
        text.set_fontsize(7.5 if not label.startswith(" ") else 6.5)
        if not label.startswith(" "):
            text.set_fontweight("bold")
    axes.tick_params(axis="y", length=0, pad=2.2 * 72)
    axes.set_xticks([])
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.set_xlim(0, top * 1.02)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return figure


def tools_by_step_figure(stats: Stats) -> Figure:
    """The share of each tool among the calls at each step."""
    steps = stats.choices.by_step[:STEPS]
    title = "Tools by step"
    if not steps:
        figure = new_figure(title)
        empty(figure, "no tool call in the log")
        return figure
    figure = new_figure(title, "share of the tool calls at the step", height=3.4)
    axes = place(figure, left=0.55, bottom=0.72, right=0.12, top=0.55)
    at = np.array([step.step for step in steps], dtype=float)
    totals = np.array([sum(step.tools.values()) for step in steps], dtype=float)
    names = [name for name in TOOL_COLOURS if any(step.tools.get(name) for step in steps)]
    names += sorted({name for step in steps for name in step.tools} - set(names))
    base = np.zeros(len(at))
    for name in names:
        share = np.array([step.tools.get(name, 0) for step in steps]) / totals
        stack(axes, at, base, share, width=0.9, colour=tool_colour(name), label=name)
        base += share
    axes.set_ylim(0, 1)
    axes.set_xlim(at.min() - 0.6, at.max() + 0.6)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlabel("step")
    figure.legend(loc="lower left", ncols=4, bbox_to_anchor=(0.03, 0.0), handlelength=1.0, columnspacing=1.4)
    return figure


def tool_latency_figure(stats: Stats) -> Figure:
    """Median, p90 and p99 of each tool and model, as far as n carries them, on a log axis; the bar is the median's
    interval.
    """
    rows: list[tuple[str, ModelGroup]] = []
    for name in latency_metrics(stats.metrics):
        tool = name.removesuffix("_ms").removeprefix("tool-")
        groups = sorted(stats.metrics[name].by_tool_model, key=lambda g: (-g.n, str(g.model)))
        rows += [(tool, group) for group in groups if group.n]
    title = "Latency by tool and model"
    if not rows:
        figure = new_figure(title)
        empty(figure, "no successful tool call in the log")
        return figure
    rows = rows[:MODELS]
    figure = new_figure(
        title,
        "successful calls, of answer the expert's part · p90 and p99 where n carries them",
        height=1.1 + 0.25 * len(rows),
    )
    axes = place(figure, left=2.45, bottom=0.42, right=0.15, top=0.72)
    at = np.arange(len(rows))[::-1]
    drawn = [[name for name, p in PERCENTILES.items() if p == 0.5 or has_interval(g.n, p)] for _, g in rows]
    values = [float(getattr(group, name)) for (_, group), names in zip(rows, drawn, strict=True) for name in names]
    values += [float(end) for _, group in rows for end in group.intervals.get("p50", ())]
    low, high = min(values), max(values)
    factor, unit = axis_unit(low, high, "ms")
    for y, (tool, group), names in zip(at, rows, drawn, strict=True):
        colour = tool_colour(tool)
        xs = [max(float(getattr(group, key)) * factor, 1e-9) for key in names]
        axes.plot([xs[0], xs[-1]], [y, y], color=colour, linewidth=2, alpha=0.45, solid_capstyle="butt", zorder=1)
        if interval := group.intervals.get("p50"):
            axes.plot(
                [v * factor for v in interval], [y, y], color=colour, linewidth=6, alpha=0.6, solid_capstyle="butt"
            )
        for x, marker in zip(xs, "osD", strict=False):
            axes.plot(
                x, y, marker=marker, markersize=4.5, color=colour, markeredgecolor=INK, markeredgewidth=0.5, zorder=3
            )
    axes.set_xscale("log")
    ends = max(low * factor, 1e-9) / 1.25, max(high * factor, 1e-9) * 1.25
    places = round_ticks(*ends, "log")
    axes.set_xlim(*ends)
    axes.set_xticks(places, ticks(places))
    axes.minorticks_off()
    axes.set_xlabel(unit)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_yticks(
        at, [f"{SHORT.get(tool, tool)} · {short_model(group.model)}  n={count(group.n)}" for tool, group in rows]
    )
    axes.tick_params(axis="y", labelsize=6.5, length=0)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    most = max(len(names) for names in drawn)
    for x, marker, label in zip((0.02, 0.3, 0.5)[:most], "osD", ("median", "p90", "p99"), strict=False):
        axes.plot(
            x,
            1.0 + 0.12 / (0.25 * len(rows)),
            marker=marker,
            markersize=4.5,
            color=MUTED,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(x + 0.03, 1.0 + 0.12 / (0.25 * len(rows)), label, transform=axes.transAxes, va="center", fontsize=7.5)
    return figure
