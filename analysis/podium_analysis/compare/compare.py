"""podium-analysis compare RUN RUN …: the first run against each other one."""

import argparse
import string
import sys
from pathlib import Path
from typing import Any, Final

from podium_contracts.events import NewerSchema
from rich.console import Console

from podium_analysis.compare.comparison import NotComparable, compare_runs
from podium_analysis.compare.render import print_comparison, tables_of, write_html
from podium_analysis.export.tables import write_tables
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder

WIDTH: Final = 132
"""Columns of the terminal table at least: figures that are cut off are no figures."""
MOST_RUNS: Final = len(string.ascii_uppercase)
"""A letter names a run."""


def register(subparsers: Any) -> None:
    """Add `compare` to podium-analysis."""
    parser = subparsers.add_parser("compare", help="runs over the same questions: score, latency, cost, flips")
    parser.add_argument("run_a", metavar="RUN_A", help="a run's id or folder: the one before")
    parser.add_argument("others", metavar="RUN_B", nargs="+", help="ids or folders of those to set against it")
    parser.add_argument("--html", type=Path, help="also write the comparison as one page")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="also write the tables as CSV, Markdown and LaTeX")
    parser.add_argument("--anyway", action="store_true", help="compare also when protocol or dataset differ")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0 when compared, 2 when the runs cannot be read or must not be compared."""
    names = [args.run_a, *args.others]
    try:
        if len(names) > MOST_RUNS:
            raise NotComparable(f"{len(names)} runs: at most {MOST_RUNS} are compared at once")
        result = compare_runs([run_folder(name) for name in names], anyway=args.anyway)
    except (LoadError, NewerSchema, NotComparable) as error:
        print(f"podium-analysis compare: {error}", file=sys.stderr)
        return 2
    if args.html:
        write_html(result, args.html)
    print_comparison(result, Console(width=max(WIDTH, Console().width)))
    if args.tables:
        write_tables(tables_of(result), args.tables)
    for made in (args.html, args.tables):
        if made:
            print(f"wrote {made}")
    return 0
