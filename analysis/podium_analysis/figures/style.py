"""Style of every figure: sizes, fonts, units and ticks, and saving as PNG, SVG and PDF."""

# matplotlib's stubs leave many parameters untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from podium_analysis.figures.colours import CYCLE, INK, MUTED
from podium_analysis.figures.png import write_png
from podium_analysis.quantities import duration

Format = Literal["png", "svg", "pdf"]

WIDTH: Final = 5.4
"""Inches: narrow, so that 8 point text stays readable on a phone."""
HEIGHT: Final = 3.9
DPI: Final = 160
RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "podium",
    "path.simplify": True,
    "text.hinting": "no_hinting",  # a third less time, and glyphs keep their shape at 160 dpi
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def new_figure(title: str, subtitle: str = "", *, width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure under its title (bold, left) and subtitle; axes begin below `top(figure)`."""
    mpl.rcParams.update(cast(Any, RC))
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    left = 0.1 / width
    figure.text(left, 1 - 0.08 / height, title, fontsize=10, fontweight="bold", va="top", ha="left")
    if subtitle:
        figure.text(left, 1 - 0.28 / height, subtitle, fontsize=7.5, color=MUTED, va="top", ha="left")
    return figure


@cache
def use_theme() -> None:
    """Put seaborn's theme under our own settings in this process, for all figures but the histograms.

    Imported here: seaborn takes a second to load, and one process alone needs it. Without scipy, which seaborn takes
    only for clusters and for a kernel density that it has itself, it loads in half the time.
    """
    unused = [name for name in ("scipy.stats", "scipy.cluster") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # pyright: ignore[reportCallIssue, reportArgumentType]
    try:
        import seaborn
    finally:
        for name in unused:
            del sys.modules[name]
    seaborn.set_theme(context="paper", style="ticks", palette=list(CYCLE), rc=RC)


def place(figure: Figure, *, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes with the given margins in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )


def save(figure: Figure, folder: Path, name: str, formats: Sequence[Format]) -> list[str]:
    """Write name.png, name.svg, name.pdf; returns the file names. No file holds a date: equal runs give equal files."""
    written: list[str] = []
    for kind in formats:
        path = folder / f"{name}.{kind}"
        if kind != "png":
            figure.savefig(path, format=kind, metadata={"Date" if kind == "svg" else "CreationDate": None})
        else:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            write_png(path, np.asarray(canvas.buffer_rgba()), DPI)
        written.append(path.name)
    return written


def stack(axes: Axes, at: Any, base: Any, above: Any, *, width: float, colour: str, label: str) -> None:
    """One layer of stacked bars, from base to base + above, as a single artist."""
    half = width / 2
    corners = [
        [(x - half, low), (x - half, low + up), (x + half, low + up), (x + half, low)]
        for x, low, up in zip(at, base, above, strict=True)
    ]
    axes.add_collection(PolyCollection(corners, facecolors=colour, edgecolors="none", label=label), autolim=False)


def empty(figure: Figure, message: str) -> None:
    """Say in the middle that there is nothing to draw, and why."""
    figure.text(0.5, 0.45, message, ha="center", va="center", fontsize=9, color=MUTED)


def amount(value: float | None, unit: str) -> str:
    """A value for people, in the unit that reads best: 950 µs, 12 ms, 4.56 s, 3 min 12 s, 1,234 tokens, $0.012."""
    if value is None:
        return "–"
    if unit == "ms":
        return duration(value)
    if unit == "usd":
        return f"${_short(value)}" if value >= 0 else f"-${_short(-value)}"
    if unit in ("tokens", "rounds"):
        return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"
    return _short(value)


def axis_unit(low: float, high: float, unit: str) -> tuple[float, str]:
    """(factor, label) for an axis from low to high in `unit`."""
    if unit == "ms":
        size = max(abs(low), abs(high))
        if size >= 36_000_000:
            return 1 / 3_600_000, "hours"
        if size >= 600_000:
            return 1 / 60_000, "minutes"
        if size >= 5_000:
            return 1 / 1000, "seconds"
        return (1000.0, "microseconds") if 0 < size < 1 else (1.0, "milliseconds")
    return 1.0, {"usd": "US dollars"}.get(unit, unit)


def count(value: int) -> str:
    """A number of things, with thousands apart."""
    return f"{value:,}"


def percent(share: float) -> str:
    """A share of 1; what is above zero never reads 0%, and what is below one never 100%."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def short_model(model: str | None) -> str:
    """A model's name without its owner, of at most 26 characters."""
    name = (model or "?").rsplit("/", 1)[-1]
    return name if len(name) <= 26 else name[:25] + "…"


def _short(value: float) -> str:
    """Three significant digits without an exponent, thousands apart."""
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}" if size >= 1e-4 else f"{value:.2e}"


def round_ticks(low: float, high: float, scale: Literal["linear", "log"]) -> list[float]:
    """Round values from low to high for an axis: steps of 1, 2, 2.5 or 5, on a log scale 1, 2 and 5 of each decade.

    A log scale needs low > 0. Fewer than two where the range holds no more.
    """
    steps = [float(value) for value in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    if scale == "log":
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        many = len(powers) > 4
        decades = [factor * 10.0**power for power in powers for factor in ((1,) if many else (1, 2, 5))]
        within = [value for value in decades if low <= value <= high]
        steps = within if len(within) > 2 else steps
    room = (high - low) * 1e-9
    return [value for value in steps if low - room <= value <= high + room]


def ticks(values: Sequence[float]) -> list[str]:
    """Labels with as many digits as tell neighbours apart, at least three significant ones."""
    for digits in range(3, 9):
        labels = [_digits(value, digits) for value in values]
        if len(set(labels)) == len(set(values)):
            return labels
    return [f"{value:.9g}" for value in values]


def _digits(value: float, digits: int) -> str:
    size = abs(value)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if size < 1000:
        return f"{value:.{digits}g}"
    text = f"{value:,.{digits - 1 - math.floor(math.log10(size))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
