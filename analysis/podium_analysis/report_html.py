"""report.html: a run on one page that opens from disk, offline.

Reads what the analysis has already written (analysis/stats.json and its figures) and the run's own files; derives
nothing that stats.json has.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
from markupsafe import Markup

from podium_analysis import page, report_summary
from podium_analysis.trajectories import COLUMNS, Trajectories, script_safe, write_trajectories

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


def write_report(
    run_dir: Path,
    *,
    out_dir: Path | None = None,
    stats: Mapping[str, Any] | None = None,
    inline_bytes: int = INLINE_BYTES,
) -> Report:
    """Write `out_dir`/report.html (out_dir: the run's analysis/) and, past `inline_bytes`, trajectories/ beside it.

    stats: what stats.json holds; read from `out_dir` when not given.

    Raises:
        FileNotFoundError: run.json or stats.json is missing; the message says which and what to run.
    """
    out_dir = out_dir or run_dir / "analysis"
    if stats is None:
        stats = _read_json(out_dir / "stats.json", "run `podium-analysis report` first")
    manifest = _read_json(run_dir / "run.json", "this is no run folder of podium-eval")
    out_dir.mkdir(parents=True, exist_ok=True)
    trajectories = write_trajectories(run_dir, out_dir / FOLDER, inline_bytes=inline_bytes)
    summary = report_summary.summarise(manifest, stats, trajectories)
    figures = report_summary.figure_groups(out_dir)
    sections = [
        ("summary", "Summary"),
        *([("figures", "Figures")] if figures else []),
        *([("statistics", "Statistics")] if summary.tables else []),
        ("run", "Run"),
        ("tasks-section", "Tasks"),
    ]
    html = page.render(
        "report.html.j2",
        title=f"{summary.run_id} · Podium report",
        kind="Podium report",
        heading=summary.run_id,
        byline=summary.byline,
        sections=sections,
        notes=summary.notes,
        score=summary.score,
        facts=summary.facts,
        outcomes=summary.outcomes,
        time=summary.time,
        time_note=summary.time_note,
        summary_tables=summary.summary_tables,
        figures=figures,
        tables=summary.tables,
        task_columns=TASK_COLUMNS,
        manifest=report_summary.manifest_lines(manifest),
        index=Markup(_index(trajectories, manifest).decode()),
        chunks=[(n, Markup(script_safe(body).decode())) for n, body in trajectories.inline.items()],
        footer=summary.footer,
    )
    path = out_dir / "report.html"
    page.write_atomically(path, html)
    return Report(path, path.stat().st_size, tuple(trajectories.files), len(trajectories.rows))


def _index(trajectories: Trajectories, manifest: Mapping[str, Any]) -> bytes:
    return script_safe(
        orjson.dumps(
            {
                "columns": COLUMNS,
                "rows": trajectories.rows,
                "folder": FOLDER,
                "epochs": manifest.get("epochs") or 1,
            }
        )
    )


def _read_json(path: Path, advice: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: {advice}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): {advice}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object: {advice}")
    return cast(dict[str, Any], found)
