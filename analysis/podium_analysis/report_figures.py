"""The figures that the analysis drew, put into the page: SVG where it is small enough, else PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from podium_analysis.page import Figure, FigureGroup, image_uri

SVG_BYTES: Final = 120_000
"""A larger SVG (a scatter of every call) is shown as its PNG."""


def figure_groups(folder: Path, metrics: Mapping[str, Any]) -> list[FigureGroup]:
    """Every figure of `folder`: first those about the run, then each metric's histograms in the metrics' order."""
    stems = sorted({path.stem for path in folder.iterdir() if path.suffix in (".png", ".svg")})
    histograms = [stem for stem in stems if _histogram(stem, metrics)]
    main = [stem for stem in stems if stem not in histograms]
    order = list(metrics)
    histograms.sort(key=lambda stem: (order.index(_histogram(stem, metrics)), stem.endswith("log")))
    groups: list[FigureGroup] = []
    if main:
        groups.append(FigureGroup("", [_figure(folder, stem, stem.replace("_", " ")) for stem in main], wide=True))
    if histograms:
        figures = [_figure(folder, stem, _title(stem, metrics)) for stem in histograms]
        groups.append(FigureGroup("Histograms", figures))
    return groups


def _histogram(stem: str, metrics: Mapping[str, Any]) -> str:
    """The metric whose histogram this is, or ''."""
    bare = stem.removeprefix("hist_").removeprefix("histogram_")
    for scale in ("_linear", "_log"):
        if bare.endswith(scale) and bare.removesuffix(scale) in metrics:
            return bare.removesuffix(scale)
    return ""


def _title(stem: str, metrics: Mapping[str, Any]) -> str:
    metric = metrics[_histogram(stem, metrics)]
    return f"{metric['title']}, {'log-spaced' if stem.endswith('_log') else 'equal-width'} bins"


def _figure(folder: Path, stem: str, title: str) -> Figure:
    svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
    use_svg = svg.exists() and (svg.stat().st_size <= SVG_BYTES or not png.exists())
    return Figure(title[:1].upper() + title[1:], image_uri(svg if use_svg else png))
