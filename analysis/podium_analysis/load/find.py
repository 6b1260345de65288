"""Which run folder a command's RUN means: an id in RUNS_DIR, or a path."""

from pathlib import Path

from podium_analysis.load.event_table import LoadError
from podium_analysis.settings import SettingError, read_settings


def run_folder(name: str) -> Path:
    """The folder of a run.

    Raises:
        LoadError: there is no such run, or a setting cannot be read; the message names it.
    """
    try:
        settings = read_settings()
    except SettingError as error:
        raise LoadError(str(error)) from error
    return find_run(settings.runs_dir, name)


def find_run(runs_dir: Path, run_id: str | None) -> Path:
    """The folder of a run: `run_id` in runs_dir or as a path; None: the run whose log was written last.

    Raises:
        LoadError: there is none; the message lists what there is.
    """
    if run_id is not None:
        for folder in (runs_dir / run_id, Path(run_id)):
            if (folder / "events.jsonl").is_file():
                return folder
        known = ", ".join(sorted(p.name for p in all_runs(runs_dir))) or "none"
        raise LoadError(f"no run {run_id!r} with an events.jsonl in {runs_dir}; runs there: {known}")
    runs = all_runs(runs_dir)
    if not runs:
        raise LoadError(f"no run in {runs_dir}; set RUNS_DIR or give --run a folder")
    return max(runs, key=lambda folder: (folder / "events.jsonl").stat().st_mtime)


def all_runs(runs_dir: Path) -> list[Path]:
    """Every run folder in runs_dir, by name."""
    return sorted(log.parent for log in runs_dir.glob("*/events.jsonl"))
