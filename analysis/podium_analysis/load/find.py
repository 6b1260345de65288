"""Which run folder a command's RUN means: an id in RUNS_DIR, or a path."""

from pathlib import Path

from podium_analysis.load.event_table import LoadError
from podium_analysis.load.run_data import find_run
from podium_analysis.settings import SettingError, read_settings


def run_folder(name: str) -> Path:
    """The folder of a run.

    Raises:
        LoadError: there is no such run, or a setting cannot be read; the message says which.
    """
    try:
        settings = read_settings()
    except SettingError as error:
        raise LoadError(str(error)) from error
    return find_run(settings.runs_dir, name)
