"""Which run folder a command's RUN means: an id in RUNS_DIR, or a path."""

from pathlib import Path

from pydantic import ValidationError

from podium_analysis.event_table import LoadError
from podium_analysis.load import find_run
from podium_analysis.settings import AnalysisSettings


def run_folder(name: str) -> Path:
    """The folder of a run.

    Raises:
        LoadError: there is no such run, or a setting cannot be read; the message says which.
    """
    try:
        settings = AnalysisSettings()  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"]).upper()
        raise LoadError(f"{setting}: {first['msg']} (got {first.get('input')!r})") from error
    return find_run(settings.runs_dir, name)
