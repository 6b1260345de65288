"""report.html: a run on one page that opens from disk, offline.

Reads what the analysis has already written (analysis/stats.json and its figures) and the run's own files; derives
nothing that stats.json has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
from markupsafe import Markup

from podium_analysis.load.run_data import RunData
from podium_analysis.quantities import moment, number
from podium_analysis.report import page
from podium_analysis.report import summary as report_summary
from podium_analysis.report.embed import figure_groups
from podium_analysis.report.page import Table
from podium_analysis.report.run_facts import run_facts
from podium_analysis.report.tables import statistics_tables
from podium_analysis.report.trajectories import COLUMNS, Trajectories, script_safe, write_trajectories
from podium_analysis.stats.compute import Stats

INLINE_BYTES: Final = 8_000_000
"""Trajectories up to this many bytes are inside report.html; the rest are files beside it."""
FOLDER: Final = "trajectories"

TASK_COLUMNS: Final = (
    # sort key, class, heading, numeric
    ("id", "id", "Task", False),
    ("question", "question", "Question", False),
    ("outcome", "outcome", "Outcome", False),
    ("tools", "tools", "Tools", False),
    ("rounds", "rounds", "Turns", True),
    ("time", "time", "Time", True),
    ("cost", "cost", "Cost", True),
)


@dataclass(frozen=True, slots=True)
class Report:
    """Where the report is, its size, and the files that must stay beside it."""

    path: Path
    size_bytes: int
    chunk_files: Sequence[Path]
    n_tasks: int
    tables: Sequence[Table]
    """Every table of the page, in its order."""


def write_report(
    run: RunData,
    stats: Stats,
    *,
    out_dir: Path | None = None,
    inline_bytes: int = INLINE_BYTES,
    figures_ready: Callable[[], object] | None = None,
    trace: str | None = None,
    copies: str | None = None,
) -> Report:
    """Write `out_dir`/report.html and, past `inline_bytes` of trajectories, trajectories/ beside it.

    stats: what stats.json holds. out_dir: the run's analysis/ by default; every figure in it is put into the page.
    figures_ready: returns when they are all drawn; asked after all else, which needs none. trace: the name of a
    trace beside the page, to link to. copies: that of the folder of its tables' copies.
    """
    out_dir = out_dir or run.folder / "analysis"
    out_dir.mkdir(parents=True, exist_ok=True)
    trajectories = write_trajectories(run, out_dir / FOLDER, inline_bytes=inline_bytes)
    at = {name: COLUMNS.index(name) for name in ("task_id", "epoch", "key")}
    hrefs = {(row[at["task_id"]], row[at["epoch"]]): f"#task-{quote(row[at['key']])}" for row in trajectories.rows}
    summary = report_summary.summarise(run.manifest, stats, trajectories.bad, hrefs)
    statistics = statistics_tables(stats)
    index = Markup(_index(trajectories).decode())
    chunks = [(n, Markup(script_safe(body).decode())) for n, body in trajectories.inline.items()]
    if figures_ready is not None:
        figures_ready()
    figures = figure_groups(out_dir)
    sections = [("summary", "Summary"), ("statistics", "Statistics"), ("tasks-section", "Tasks"), ("run", "Run")]
    if figures:
        sections.insert(1, ("figures", "Figures"))
    html = page.render(
        "report.html.j2",
        title=f"{run.run_id} · Podium report",
        kind="Podium report",
        heading=run.run_id,
        byline=summary.byline,
        sections=sections,
        notes=summary.notes,
        score=summary.score,
        facts=summary.facts,
        outcomes=summary.outcomes,
        time=summary.time,
        time_note=summary.time_note,
        summary_tables=summary.tables,
        figures=figures,
        tables=statistics,
        copies=copies,
        task_columns=TASK_COLUMNS,
        run=run_facts(run.manifest),
        trace=trace,
        index=index,
        chunks=chunks,
        footer=f"Made by podium-analysis {stats.podium_version} from {number(stats.log.n_events)} events, "
        f"{moment(stats.generated_ts)}.",
    )
    path = out_dir / "report.html"
    page.write_text(path, html)
    return Report(
        path, path.stat().st_size, tuple(trajectories.files), len(trajectories.rows), [*summary.tables, *statistics]
    )


def _index(trajectories: Trajectories) -> bytes:
    epoch = COLUMNS.index("epoch")
    epochs = max((row[epoch] for row in trajectories.rows), default=1)
    return script_safe(
        orjson.dumps({"columns": COLUMNS, "rows": trajectories.rows, "folder": FOLDER, "epochs": epochs})
    )
