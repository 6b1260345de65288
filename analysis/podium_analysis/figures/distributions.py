"""What seaborn draws: distributions of the log's own values by tool, model and turn, and which tool follows which.

Imported by the drawing processes alone: seaborn takes a second to load.
"""

# pyright: reportUnknownMemberType=false

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import CYCLE, GRID
from podium_analysis.figures.style import (
    axis_unit,
    count,
    empty,
    new_figure,
    percent,
    place,
    round_ticks,
    short_model,
    ticks,
)
from podium_analysis.figures.tools import SHORT, TOOL_COLOURS, tool_colour
from podium_analysis.figures.values import Spread, Values
from podium_analysis.stats.choices import Choices

TOOLS: Final = {"orchestrator": CYCLE[0], **TOOL_COLOURS}
LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
GROUPS: Final = 16


def latency_curves_figure(_: Choices, values: Values) -> Figure:
    """Empirical cumulative curves of the calls' wall time: a colour a tool, a line style a model."""
    title = "Latency of calls, cumulative"
    groups = _groups(values.call_ms)
    if not groups:
        return _nothing(title)
    rows = -(-len(groups) // 2)
    figure = new_figure(title, "share of the successful calls that took at most so long", height=3.6 + 0.17 * rows)
    axes = place(figure, left=0.62, bottom=0.62 + 0.17 * rows, right=0.15, top=0.55)
    factor = _latency_axis(axes, groups)
    models: dict[str, list[str]] = {}
    for (tool, model), spread in groups:
        style = LINES[len(models.setdefault(tool, [])) % len(LINES)]
        models[tool].append(model)
        # Handed to seaborn on a linear axis and shown on a log one: it would count in logarithms of zero.
        seaborn.ecdfplot(
            x=np.maximum(spread.values, 1e-6) * factor, ax=axes, color=_colour(tool), linestyle=style, linewidth=1.4,
            label=f"{SHORT.get(tool, tool)} · {short_model(model)}",
        )  # fmt: skip
    axes.set_ylabel("share of calls")
    axes.set_ylim(0, 1.02)
    axes.grid(color=GRID, linewidth=0.6)
    figure.legend(loc="lower left", ncols=2, bbox_to_anchor=(0.03, 0.0), fontsize=6.5, handlelength=2.0)
    return figure


def latency_violins_figure(_: Choices, values: Values) -> Figure:
    """A violin of the calls' wall time for each tool and model, with its quartiles."""
    title = "Latency of calls by tool and model"
    groups = [(name, spread) for name, spread in _groups(values.call_ms) if spread.values[0] < spread.values[-1]]
    if not groups:
        return _nothing(title)
    subtitle = "successful calls, of answer the expert's part · dashed: quartiles"
    figure = new_figure(title, subtitle, height=1.0 + 0.42 * len(groups))
    axes = place(figure, left=2.3, bottom=0.42, right=0.15, top=0.5)
    factor = _latency_axis(axes, groups)
    labels = [f"{tool} · {short_model(model)}\nn = {count(spread.n)}" for (tool, model), spread in groups]
    places = np.repeat(np.arange(len(groups)), [len(spread.values) for _, spread in groups])
    seaborn.violinplot(
        x=np.maximum(np.concatenate([spread.values for _, spread in groups]), 1e-6) * factor, y=places, hue=places,
        orient="y", palette=[_colour(tool) for (tool, _), _ in groups], legend=False, inner="quart", cut=0,
        density_norm="width", linewidth=0.7, log_scale=(True, False), ax=axes,
    )  # fmt: skip
    _latency_axis(axes, groups)
    axes.set_yticks(range(len(groups)), labels)
    axes.tick_params(axis="y", labelsize=6.5, length=0)
    axes.set_ylabel("")
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    return figure


def context_by_turn_figure(_: Choices, values: Values) -> Figure:
    """Prompt tokens of the orchestrator's calls at each turn: median, the middle half and the middle 80 %."""
    title = "Context by turn"
    if not values.prompt_tokens:
        return _nothing(title)
    n = sum(spread.n for spread in values.prompt_tokens.values())
    figure = new_figure(
        title, f"prompt tokens of {count(n)} calls · line: median, bands: middle half and middle 80 %", height=3.4
    )
    axes = place(figure, left=0.72, bottom=0.5, right=0.15, top=0.55)
    steps = np.repeat(list(values.prompt_tokens), [len(spread.values) for spread in values.prompt_tokens.values()])
    tokens = np.concatenate([spread.values for spread in values.prompt_tokens.values()])
    for width in (80, 50):
        seaborn.lineplot(
            x=steps, y=tokens, estimator="median", errorbar=("pi", width), color=CYCLE[0], linewidth=1.4,
            marker="o" if width == 50 else None, markersize=4, ax=axes,
        )  # fmt: skip
    axes.set_xlabel("turn")
    axes.set_ylabel("prompt tokens")
    axes.set_ylim(0, float(tokens.max()) * 1.05 or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: count(int(value)))
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    return figure


def transitions_figure(choices: Choices, _: Values) -> Figure:
    """After each tool (rows), which came next (columns)."""
    found = choices.transitions
    title = "Tool transitions"
    if not found:
        figure = new_figure(title)
        empty(figure, "no tool call in the log")
        return figure
    order = ["start", *TOOL_COLOURS, "end"]
    names = {name for entry in found for name in (entry.before, entry.after)}
    ranked = [name for name in order if name in names] + sorted(names - set(order))
    rows = [name for name in ranked if name != "end"]
    columns = [name for name in ranked if name != "start"]
    shares = np.full((len(rows), len(columns)), np.nan)
    counts = np.zeros((len(rows), len(columns)), dtype=int)
    for entry in found:
        y, x = rows.index(entry.before), columns.index(entry.after)
        shares[y, x], counts[y, x] = entry.share_of_from, entry.n
    figure = new_figure(
        title, "of the calls in a row, the share that each column's tool followed", height=1.15 + 0.42 * len(rows)
    )
    axes = place(figure, left=1.3, bottom=0.1, right=0.12, top=0.85)
    labels = [
        [f"{percent(shares[y, x])}\n{count(int(counts[y, x]))}" if counts[y, x] else "" for x in range(len(columns))]
        for y in range(len(rows))
    ]
    seaborn.heatmap(
        np.nan_to_num(shares), annot=np.array(labels), fmt="", annot_kws={"fontsize": 7}, mask=counts == 0,
        cmap="Blues", vmin=0, vmax=1.15, cbar=False, linewidths=0.6, xticklabels=columns, yticklabels=rows, ax=axes,
    )  # fmt: skip
    axes.tick_params(axis="both", labelrotation=0)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=7.5 if len(columns) < 6 else 6.5)
    axes.spines[:].set_visible(False)
    return figure


def _groups(spreads: Mapping[tuple[str, str], Spread]) -> list[tuple[tuple[str, str], Spread]]:
    """Those with most calls, in the tools' order."""
    most = sorted(spreads.items(), key=lambda item: -item[1].n)[:GROUPS]
    order = list(TOOLS)
    return sorted(
        most, key=lambda item: (order.index(item[0][0]) if item[0][0] in order else len(order), item[0][0], -item[1].n)
    )


def _colour(tool: str) -> str:
    return TOOLS.get(tool) or tool_colour(tool)


def _latency_axis(axes: Axes, groups: Sequence[tuple[tuple[str, str], Spread]]) -> float:
    """A log axis with round ticks over all values; returns what milliseconds are multiplied by for its unit."""
    low = min((value for _, spread in groups for value in spread.values if value > 0), default=1.0)
    high = max(max(spread.values[-1] for _, spread in groups), low)
    factor, unit = axis_unit(low, high, "ms")
    ends = low * factor / 1.25, high * factor * 1.25
    places = round_ticks(*ends, "log")
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_xticks(places, ticks(places))
    axes.minorticks_off()
    axes.set_xlabel(unit)
    return factor


def _nothing(title: str) -> Figure:
    figure = new_figure(title)
    empty(figure, "no successful call in the log")
    return figure
