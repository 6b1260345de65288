"""A run from Python, such as a notebook: podium_eval.evaluate."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium_eval.commands.run import new_run_id, run
from podium_eval.settings.read import Settings, read_settings


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run that has ended. status: 0 all graded, 1 not all. folder: what podium_analysis.load_run reads."""

    status: int
    folder: Path


async def evaluate(settings: Settings | Mapping[str, Any]) -> Evaluated:
    """Do what `podium-eval run` does. settings: read ones, or values by name over the environment's and .env's.

    Raises:
        ConfigError: bad configuration; nothing was asked.
    """
    read = settings if isinstance(settings, Settings) else read_settings(settings)
    run_id = read.run_id or new_run_id()
    read = read.model_copy(update={"run_id": run_id})
    return Evaluated(await run(read), read.runs_dir / run_id)
