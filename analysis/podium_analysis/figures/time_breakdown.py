"""Where the time goes: every part of a task's wall time, overall and by step."""

# pyright: reportUnknownMemberType=false

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import GRID, MUTED, part_colours
from podium_analysis.figures.style import amount, axis_unit, count, empty, new_figure, percent, place, stack
from podium_analysis.stats.compute import Stats

STEPS: Final = 50


def time_figure(stats: Stats) -> Figure:
    """A bar a part, with its share and its sum over all tasks that ended."""
    time, accounting = stats.time, stats.accounting
    parts = {name: ms for name, ms in time.overall_ms.items() if ms}
    n = accounting.n_tasks - accounting.n_without_calls
    title = "Where the time goes"
    if not parts:
        figure = new_figure(title)
        empty(figure, "no task has ended with its calls in the log")
        return figure
    median = accounting.unexplained_share.p50
    unexplained = "–" if median is None else f"{100 * median:.2f}%"
    figure = new_figure(
        title,
        f"{amount(accounting.wall_ms, 'ms')} of {count(n)} tasks · unexplained at the median: {unexplained}",
        height=0.85 + 0.235 * len(parts),
    )
    names = list(parts)
    # An added tool may have a long name.
    left = max(1.42, 0.068 * max(len(time.labels[name]) for name in names) + 0.1)
    axes = place(figure, left=min(left, 3.2), bottom=0.2, right=0.95, top=0.5)
    colours = part_colours(names)
    values = np.array([parts[name] for name in names])
    shares = [time.overall_share[name] or 0.0 for name in names]
    at = np.arange(len(names))[::-1]
    axes.barh(at, values, height=0.78, color=[colours[name] for name in names], edgecolor="white", linewidth=0.4)
    axes.set_yticks(at, [time.labels[name] for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.set_xticks([])
    axes.set_xlim(min(0.0, float(values.min())), float(values.max()) * 1.02)
    axes.set_ylim(-0.6, len(names) - 0.4)
    for y, value, share in zip(at, values, shares, strict=True):
        text = f"{'-' if share < 0 else ''}{percent(abs(share))}  {amount(float(value), 'ms')}"
        axes.text(max(0.0, float(value)), y, f" {text}", va="center", fontsize=7.5)
    return figure


def time_by_step_figure(stats: Stats) -> Figure:
    """Mean milliseconds of a turn at each step, stacked by part, above the number of turns that reached it."""
    steps = [step for step in stats.time.by_step if step.n_turns]
    title = "Where a turn's time goes, by step"
    if not steps:
        figure = new_figure(title)
        empty(figure, "no orchestrator turn in the log")
        return figure
    cut = len(steps) > STEPS
    steps = steps[:STEPS]
    colours = part_colours(name for name in stats.time.labels if any(step.parts_ms.get(name) for step in steps))
    names = list(colours)
    note = f" · first {STEPS} of {len(stats.time.by_step)} steps" if cut else ""
    figure = new_figure(title, f"mean of the turns that reached the step, tool included{note}", height=4.9)
    rows = -(-len(names) // 3)
    below = 0.42 + 0.17 * rows
    axes = place(figure, left=0.72, bottom=below + 1.05, right=0.12, top=0.55)
    few = place(figure, left=0.72, bottom=below + 0.1, right=0.12, top=4.9 - below - 0.95)
    at = np.array([step.step for step in steps], dtype=float)
    turns = np.array([step.n_turns for step in steps], dtype=float)
    heights = {name: np.array([step.parts_ms[name] for step in steps]) / turns for name in names}
    factor, unit = axis_unit(0.0, float(sum(heights.values(), np.zeros(len(at))).max()), "ms")
    base = np.zeros(len(at))
    for name in names:
        above = np.maximum(heights[name], 0.0) * factor
        label = stats.time.labels[name]
        stack(axes, at, base, above, width=0.86, colour=colours[name], label=label)
        base = base + above
    axes.set_ylim(0, float(base.max()) * 1.05 or 1.0)
    axes.set_ylabel(unit)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.tick_params(labelbottom=False)
    few.bar(at, turns, width=0.86, color=MUTED)
    few.set_ylabel("turns")
    few.set_xlabel("step")
    few.grid(axis="y", color=GRID, linewidth=0.6)
    few.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    few.yaxis.set_major_formatter(lambda value, _: count(int(value)))
    for one in (axes, few):
        one.set_xlim(at.min() - 0.6, at.max() + 0.6)
        one.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.align_ylabels([axes, few])
    figure.legend(loc="lower left", ncols=3, bbox_to_anchor=(0.03, 0.0), handlelength=1.0, columnspacing=1.2)
    return figure
