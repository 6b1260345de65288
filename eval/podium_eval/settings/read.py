"""All settings of podium-eval in one frozen object, read once at the edge."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import SettingsError

from podium_eval.errors import ConfigError
from podium_eval.settings.judge import JudgeSettings
from podium_eval.settings.models import ModelSettings
from podium_eval.settings.run import HubSettings, RunSettings


class Settings(RunSettings, ModelSettings, HubSettings):
    """RunSettings, ModelSettings and HubSettings together; the judge's own beside them."""

    judging: JudgeSettings = Field(
        default_factory=JudgeSettings, exclude=True, description="Filled by itself: the variables JUDGE_…"
    )


def read_settings(given: Mapping[str, Any], env_file: str | None = None) -> Settings:
    """Settings from the environment, under it those of env_file, over it what the command line gave.

    Raises:
        ConfigError: every value that is wrong, by the name of its variable.
    """
    if env_file is not None:
        _readable(Path(env_file))
    problems: list[str] = []
    judging, own = JudgeSettings.model_construct(), None
    try:
        judging = JudgeSettings(_env_file=env_file)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        problems += _problems(error, "JUDGE_")
    try:
        own = Settings(_env_file=env_file, judging=judging, **given)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        problems += _problems(error, "")
    except SettingsError as error:
        # Of a variable that holds JSON; which one stands in the message alone.
        name = re.search(r'"(\w+)"', str(error))
        problems.append(f"{name[1].upper()}: is no JSON" if name else str(error))
    if own is None or problems:
        raise ConfigError(problems)
    return own


def _problems(error: ValidationError, prefix: str) -> list[str]:
    """A line for each field, by the name of its variable."""
    return [f"{prefix}{'.'.join(str(part) for part in one['loc']).upper()}: {one['msg']}" for one in error.errors()]


def _readable(env_file: Path) -> None:
    """Raise ConfigError for a file that was named and is not there, or is no UTF-8."""
    try:
        env_file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{env_file} is not UTF-8 at byte {error.start}: save it as UTF-8"]) from error
    except OSError as error:
        raise ConfigError([f"--env-file {env_file}: {error.strerror}"]) from error


def shown(settings: Settings) -> dict[str, Any]:
    """Every setting for run.json; secrets as `**********`, unset ones as None."""
    return settings.model_dump(mode="json")
