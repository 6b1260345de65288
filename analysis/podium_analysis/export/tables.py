"""Copies of a page's tables for papers, notes and spreadsheets: LaTeX, Markdown and CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from podium_analysis.quantities import MISSING
from podium_analysis.report.page import Cell, Table, write_text

_LATEX: Final = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "→": r"$\rightarrow$",
        "µ": r"\textmu{}",
        "≥": r"$\geq$",
        "−": "$-$",
        "×": r"$\times$",
    }
)
_MARKDOWN: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~#"})
_FORMULA: Final = ("=", "+", "-", "@")
"""How a text begins that a spreadsheet would run."""


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write id.csv, id.md and id.tex of each table into `folder`; earlier copies there go.

    CSV has numbers unrounded, each column whose cells have a second line (an interval) followed by one of those lines,
    and an apostrophe before a text that a spreadsheet would take for a formula. LaTeX is a tabular that needs booktabs.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in FORMATS:
        for stale in folder.glob(f"*.{suffix}"):
            stale.unlink()
    paths: list[Path] = []
    for table in tables:
        for suffix, made in FORMATS.items():
            paths.append(folder / f"{table.id}.{suffix}")
            write_text(paths[-1], made(table))
    return paths


def as_csv(table: Table) -> str:
    """Comma-separated values with a head line; nothing where a value is missing."""
    double = [any(row[at].sub for row in table.rows) for at in range(len(table.columns))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            name
            for column, two in zip(table.columns, double, strict=True)
            for name in ([column.name, f"{column.name}, below"] if two else [column.name])
        ]
    )
    for row in table.rows:
        values: list[str] = []
        for cell, column, two in zip(row, table.columns, double, strict=True):
            values.append(cell.sort if column.numeric else _no_formula(cell.sort and cell.text))
            values += [cell.sub] if two else []
        writer.writerow(values)
    return out.getvalue()


def as_markdown(table: Table) -> str:
    """A GitHub table under its title."""
    head = [column.name for column in table.columns]
    lines = [
        f"**{_markdown(table.title)}**",
        *(["", _markdown(table.caption)] if table.caption else []),
        "",
        f"| {' | '.join(_markdown(name) for name in head)} |",
        f"|{'|'.join(' ---: ' if column.numeric else ' --- ' for column in table.columns)}|",
        *(f"| {' | '.join(_markdown(_whole(cell)) for cell in row)} |" for row in table.rows),
    ]
    return "\n".join(lines) + "\n"


def as_latex(table: Table) -> str:
    """A tabular with booktabs' rules; the title and caption are comments above it."""
    align = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        f"% {' '.join(f'{table.title}. {table.caption}'.split())}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(_latex(column.name) for column in table.columns) + r" \\",
        r"\midrule",
        *(" & ".join(_latex(_whole(cell)) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


FORMATS: Final[dict[str, Callable[[Table], str]]] = {"csv": as_csv, "md": as_markdown, "tex": as_latex}


def _whole(cell: Cell) -> str:
    return f"{cell.text} ({cell.sub})" if cell.sub else cell.text


def _markdown(text: str) -> str:
    return " ".join(text.split()).translate(_MARKDOWN)


def _latex(text: str) -> str:
    plain = " ".join(text.split())
    return "--" if plain == MISSING else plain.translate(_LATEX)


def _no_formula(text: str) -> str:
    plain = " ".join(text.split())
    return f"'{plain}" if plain.startswith(_FORMULA) else plain
