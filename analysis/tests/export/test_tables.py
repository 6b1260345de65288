"""Copies of tables: what a spreadsheet, a Markdown reader and LaTeX get."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_analysis.export.tables import as_csv, as_latex, as_markdown, write_tables
from podium_analysis.report.page import Cell, Column, Table, number_cell, text_cell

TABLE = Table(
    "t",
    "Some & more",
    [Column("name"), Column("n_ms", True)],
    [
        [text_cell("a|b_c"), Cell("1.23", "1.2345", sub="1.1 – 1.4")],
        [text_cell(None), number_cell(None)],
    ],
    "A caption.",
)


def test_csv_has_numbers_unrounded_and_intervals_beside_them() -> None:
    assert as_csv(TABLE) == 'name,n_ms,"n_ms, below"\na|b_c,1.2345,1.1 – 1.4\n,,\n'


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert as_markdown(TABLE).splitlines()[-2:] == [r"| a\|b\_c | 1.23 (1.1 – 1.4) |", "| – | – |"]


def test_latex_escapes_what_it_would_run() -> None:
    table = Table("t", "T", [Column("x")], [[text_cell(r"\input{/etc/passwd} 50% a_b")]])
    assert r"\textbackslash{}input\{/etc/passwd\} 50\% a\_b \\" in as_latex(table)
    assert "-- & --" in as_latex(TABLE)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_text_is_no_formula_in_a_spreadsheet(text: str) -> None:
    table = Table("t", "T", [Column("x")], [[text_cell(text)]])
    assert next(iter(list(csv.reader(io.StringIO(as_csv(table))))[1:])) == [f"'{text.strip()}"]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_text_gives_a_row_a_row(texts: list[tuple[str, str]]) -> None:
    table = Table("t", "T", [Column("x"), Column("y")], [[text_cell(a), text_cell(b)] for a, b in texts])
    assert len(as_markdown(table).splitlines()) == 4 + len(texts)
    assert len(as_latex(table).splitlines()) == 7 + len(texts)
    rows = list(csv.reader(io.StringIO(as_csv(table), newline="")))
    assert [len(row) for row in rows] == [2] * (1 + len(texts))


def test_earlier_copies_go(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("")
    (tmp_path / "mine.txt").write_text("")
    made = write_tables([TABLE], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "t.csv", "t.md", "t.tex"]
    assert [path.name for path in made] == ["t.csv", "t.md", "t.tex"]
