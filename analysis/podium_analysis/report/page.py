"""The parts of a Podium page (facts, bars, sortable tables, figures) and how they become one HTML file.

The file needs no network: styles and script are inside it and named by hash in its Content-Security-Policy, so that
nothing a model wrote can run even if it got past the escaping (jinja2's autoescape here, textContent in the script).
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from podium_contracts.files import write_atomically
from podium_contracts.text.surrogates import written_out

from podium_analysis.quantities import MISSING, number, percent

MODEL: Final = ("role", "provider", "model")
"""What names a model in stats.json."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of the summary. tone: good, bad, warn or nothing."""

    label: str
    value: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a stacked bar; x and width in percent of the whole."""

    label: str
    kind: str
    value: str
    percent: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """numeric columns are set right and sort as numbers; wide ones may wrap."""

    name: str
    numeric: bool = False
    wide: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """text is shown, sort is compared: a plain number for numeric columns, '' for missing."""

    text: str
    sort: str
    href: str = ""
    sub: str = ""
    """A second, smaller line, such as the value's interval."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    src: str
    """A data: URI."""
    width: float | None = None
    height: float | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """A metric over linear bins and over logarithmic ones."""

    linear: Figure
    log: Figure | None


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """histograms are folded on the page."""

    title: str
    figures: list[Figure]
    histograms: list[Histogram]


@dataclass(frozen=True, slots=True)
class Score:
    """The figure a reader came for, with its interval and protocol in `details`."""

    label: str
    value: str
    details: Sequence[str] = field(default_factory=tuple[str, ...])


def text_cell(value: object, href: str = "") -> Cell:
    text = MISSING if value is None else str(value)
    return Cell(text, "" if value is None else text, href)


def number_cell(value: float | int | None, digits: int | None = None, text: str | None = None) -> Cell:
    if value is None:
        return Cell(MISSING, "")
    return Cell(number(value, digits) if text is None else text, repr(value))


def heading(name: str) -> str:
    """A field of stats.json as a column's heading."""
    words = {
        "n_ok": "ok",
        "n_priced": "priced",
        "n_unpriced": "no price",
        "n_failed": "failed",
        "exec_status": "status",
        "usd": "USD",
        "share_of_tool": "share of tool",
        "before": "from",
        "after": "to",
        "share_of_from": "share of those after it",
    }
    return words.get(name, name.replace("_", " "))


def segments(parts: Sequence[tuple[str, str, float, str]]) -> list[Segment]:
    """(label, kind, size, shown value) into a bar that fills 100 %; empty when nothing has a size."""
    total = sum(size for _, _, size, _ in parts if size > 0)
    placed: list[Segment] = []
    x = 0.0
    for label, kind, size, shown in parts:
        if size <= 0 or not total:
            continue
        width = 100 * size / total
        placed.append(Segment(label, kind, shown, percent(size / total), round(x, 4), round(width, 4)))
        x += width
    return placed


def image_uri(kind: str, content: bytes) -> str:
    """An image of this media type as a data: URI. An SVG in an <img> runs no script and loads nothing."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def render(template: str, *, title: str, **context: Any) -> str:
    """The whole page. `context` is what the named template in assets/ asks for; an absent name is an error."""
    assets = files("podium_analysis.report") / "assets"
    css = (assets / "page.css").read_text(encoding="utf-8")
    js = (assets / "page.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (assets / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    # 'strict-dynamic' lets the one script named by hash load chunks beside the page, and nothing else run.
    csp = (
        f"default-src 'none'; img-src data:; style-src '{_hash(css)}'; "
        f"script-src '{_hash(js)}' 'strict-dynamic'; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(title=title, css=Markup(css), js=Markup(js), csp=csp, **context)


def write_text(path: Path, text: str) -> None:
    """Make the folder and replace the file; readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, written_out(text).encode())


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
