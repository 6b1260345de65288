"""The figures that the analysis drew, put into the page: SVG where it is small enough, else PNG."""

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
        return Figure(entry["title"], image_uri(svg))
    return Figure(entry["title"], image_uri(folder / files["png"]))
