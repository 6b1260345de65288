"""The figures that the analysis drew, put into the page: SVG where it is small enough, else PNG."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from podium_analysis.report.page import Figure, FigureGroup, image_uri

SVG_BYTES: Final = 150_000
"""A larger SVG (one with thousands of points) is shown as its PNG."""
TITLES: Final[Mapping[str, str]] = {
    "overview": "",
    "tools": "Tools",
    "orchestrator": "The orchestrator",
    "retrieval": "Retrieval",
    "task": "Tasks",
}


def figure_groups(folder: Path) -> list[FigureGroup]:
    """The figures that figures.json lists, in its order and groups; none when nothing was drawn.

    Raises:
        ValueError: figures.json is not what draw_figures writes, or names a figure that is not there.
    """
    path = folder / "figures.json"
    try:
        listed: Sequence[Mapping[str, Any]] = orjson.loads(path.read_bytes())
        by_group: dict[str, list[Figure]] = {}
        for entry in listed:
            by_group.setdefault(entry["group"], []).append(_figure(folder, entry))
    except FileNotFoundError as error:
        if error.filename == str(path):
            return []
        raise ValueError(f"{path} names {error.filename}, which is gone: run `podium-analysis report` again") from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error!r}: run `podium-analysis report` again") from error
    return [FigureGroup(TITLES.get(name, name), figures) for name, figures in by_group.items()]


def _figure(folder: Path, entry: Mapping[str, Any]) -> Figure:
    files: Mapping[str, str] = entry["files"]
    svg = folder / files["svg"] if "svg" in files else None
    if svg is not None and ("png" not in files or svg.stat().st_size <= SVG_BYTES):
        return Figure(entry["title"], image_uri(svg), *_svg_size(svg.read_bytes()))
    png = folder / files["png"]
    return Figure(entry["title"], image_uri(png), *_png_size(png.read_bytes()))


def _svg_size(svg: bytes) -> tuple[float, float] | tuple[None, None]:
    """Width and height in CSS pixels as matplotlib writes them, in points: what the page keeps free while it loads."""
    size = re.search(rb'<svg\b[^>]*?\bwidth="([\d.]+)pt"', svg[:4000]), re.search(rb'\bheight="([\d.]+)pt"', svg[:4000])
    if size[0] is None or size[1] is None:
        return None, None
    return round(float(size[0][1]) * 96 / 72, 4), round(float(size[1][1]) * 96 / 72, 4)


def _png_size(png: bytes) -> tuple[int, int] | tuple[None, None]:
    """Width and height in pixels, from the file's first chunk."""
    if png[12:16] != b"IHDR":
        return None, None
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
