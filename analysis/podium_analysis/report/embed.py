"""The figures that the analysis drew, put into the page: SVG where it is small enough, else PNG."""

import colorsys
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from podium_analysis.figures.colours import DARK
from podium_analysis.report.page import Figure, FigureGroup, Histogram, image_uri

SVG_BYTES: Final = 150_000
"""A larger SVG (one with thousands of points) is shown as its PNG."""
SHOWN: Final = frozenset({"svg", "png"})
"""What a page can show; a PDF is for documents."""
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
    groups: dict[str, FigureGroup] = {}
    try:
        listed: Sequence[Mapping[str, Any]] = orjson.loads(path.read_bytes())
        for entry in listed:
            if not entry["files"].keys() & SHOWN:
                continue
            name = str(entry["group"])
            group = groups.setdefault(name, FigureGroup(TITLES.get(name, name), [], []))
            figure = _figure(folder, entry)
            if entry["scale"] == "log":
                group.histograms[-1] = Histogram(group.histograms[-1].linear, figure)
            elif entry["scale"] == "linear":
                group.histograms.append(Histogram(figure, None))
            else:
                group.figures.append(figure)
    except FileNotFoundError as error:
        if error.filename == str(path):
            return []
        raise ValueError(f"{path} names {error.filename}, which is gone: run `podium-analysis report` again") from error
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error!r}: run `podium-analysis report` again") from error
    return list(groups.values())


def _figure(folder: Path, entry: Mapping[str, Any]) -> Figure:
    files: Mapping[str, str] = entry["files"]
    svg = folder / files["svg"] if "svg" in files else None
    if svg is not None and ("png" not in files or svg.stat().st_size <= SVG_BYTES):
        text = svg.read_text(encoding="utf-8")
        return Figure(entry["title"], image_uri("image/svg+xml", with_dark_colours(text).encode()), *_svg_size(text))
    png = (folder / files["png"]).read_bytes()
    return Figure(entry["title"], image_uri("image/png", png), *_png_size(png))


def with_dark_colours(svg: str) -> str:
    """The same figure with a second set of colours for readers whose system is dark; printed, it stays light."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        colour = match[2].lower()
        return f"{match[1]}: var({names.setdefault(colour, f'--c{len(names)}')})"

    body = re.sub(r"\b(fill|stroke|stop-color): (#[0-9a-fA-F]{6})\b", name, svg)
    light = "".join(f"{variable}:{colour};" for colour, variable in names.items())
    dark = "".join(f"{variable}:{dark_colour(colour)};" for colour, variable in names.items())
    # matplotlib leaves text without a colour of its own black.
    black = f"svg{{fill:{DARK['#000000']};{dark}}}"
    style = f"<style>svg{{{light}}}@media screen and (prefers-color-scheme:dark){{{black}}}</style>"
    return re.sub(r"<svg\b[^>]*>", lambda match: match[0] + style, body, count=1)


def dark_colour(colour: str) -> str:
    """DARK's, or that of the same hue whose lightness is as far from the dark end as this one's from the light end."""
    if colour in DARK:
        return DARK[colour]
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    mirrored = colorsys.hls_to_rgb(hue, 1.0 - 0.92 * lightness, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in mirrored)


def _svg_size(svg: str) -> tuple[float, float] | tuple[None, None]:
    """Width and height in CSS pixels as matplotlib writes them, in points: what the page keeps free while it loads."""
    size = re.search(r'<svg\b[^>]*?\bwidth="([\d.]+)pt"', svg[:4000]), re.search(r'\bheight="([\d.]+)pt"', svg[:4000])
    if size[0] is None or size[1] is None:
        return None, None
    return round(float(size[0][1]) * 96 / 72, 4), round(float(size[1][1]) * 96 / 72, 4)


def _png_size(png: bytes) -> tuple[int, int] | tuple[None, None]:
    """Width and height in pixels, from the file's first chunk."""
    if png[12:16] != b"IHDR":
        return None, None
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
