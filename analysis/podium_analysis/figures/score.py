"""Accuracy, cost and latency of the models that answered, when there are grades."""

# pyright: reportUnknownMemberType=false

from typing import Final

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import CYCLE, GRID, INK, MUTED
from podium_analysis.figures.style import amount, axis_unit, count, empty, new_figure, place
from podium_analysis.stats.compute import Stats

MARKERS: Final = "osD^vP*X"
MODELS: Final = 8


def score_figure(stats: Stats) -> Figure:
    """Left: accuracy against mean cost of a task. Right: against its median duration. Bars are 95% intervals."""
    title = "Accuracy, cost and latency by answering model"
    models = stats.answer_models[:MODELS]
    if not models:
        figure = new_figure(title)
        empty(figure, "no graded answer in the log")
        return figure
    height = 3.6 + 0.16 * len(models)
    figure = new_figure(
        title, "graded tasks, 95% Wilson intervals · the orchestrator chose who answers what", height=height
    )
    bottom = 0.62 + 0.16 * len(models)
    left = place(figure, left=0.55, bottom=bottom, right=2.75, top=0.6)
    right = place(figure, left=3.0, bottom=bottom, right=0.15, top=0.6)
    durations = [float(model.median_duration_ms) for model in models]
    factor, unit = axis_unit(0.0, max(durations), "ms")
    costs: list[float | None] = [model.mean_cost_usd for model in models]
    scaled: list[float | None] = [duration * factor for duration in durations]
    floor = max(0.0, min(model.interval[0] for model in models) - 5.0)
    ceiling = min(100.0, max(model.interval[1] for model in models) + 5.0)
    for axes, xs, label in (
        (left, costs, "mean cost of a task, US dollars"),
        (right, scaled, f"median duration of a task, {unit}"),
    ):
        known = [x for x in xs if x is not None]
        for i, (model, x) in enumerate(zip(models, xs, strict=True)):
            if x is None:
                continue
            low, high = model.interval
            y = model.accuracy
            colour = CYCLE[i % len(CYCLE)]
            axes.errorbar(
                x, y, [[max(0.0, y - low)], [max(0.0, high - y)]], color=colour, linewidth=1.2, capsize=2.5, zorder=2
            )
            axes.plot(
                x, y, marker=MARKERS[i], color=colour, markersize=6, markeredgecolor=INK, markeredgewidth=0.5, zorder=3
            )
        if not known:
            axes.text(0.5, 0.5, "no price is known", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_ylim(floor, ceiling)
        axes.set_xlim(0, max(known, default=1.0) * 1.15 or 1.0)
        axes.set_xlabel(label, fontsize=7.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(color=GRID, linewidth=0.6)
    left.set_ylabel("accuracy, %")
    right.tick_params(labelleft=False)
    width, tall = figure.get_size_inches()
    for i, model in enumerate(models):
        y = (0.12 + 0.16 * (len(models) - 1 - i)) / tall
        figure.add_artist(
            Line2D(
                [0.16 / width], [y], marker=MARKERS[i], color=CYCLE[i % len(CYCLE)], markersize=5, markeredgecolor=INK,
                markeredgewidth=0.5, linestyle="",
            )
        )  # fmt: skip
        unpriced = model.n_graded - model.n_priced
        text = (
            f"{model.model}: {model.accuracy:.1f}% of {count(model.n_graded)}, "
            f"{amount(model.mean_cost_usd, 'usd')}, {amount(model.median_duration_ms, 'ms')}"
        )
        figure.text(
            0.28 / width, y, text + (f" ({count(unpriced)} without price)" if unpriced else ""), va="center", fontsize=7
        )
    return figure
