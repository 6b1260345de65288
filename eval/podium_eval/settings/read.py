"""All settings of podium-eval in one frozen object, read once at the edge."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from podium_contracts.env_names import doubtful
from pydantic import Field, ValidationError
from pydantic_settings import SettingsError

from podium_eval.errors import ConfigError
from podium_eval.settings.judge import JudgeSettings
from podium_eval.settings.models import ModelSettings
from podium_eval.settings.run import HubSettings, RunSettings

DOT_ENV: Final = Path(".env")


class Settings(RunSettings, ModelSettings, HubSettings):
    """RunSettings, ModelSettings and HubSettings together; the judge's own beside them."""

    judging: JudgeSettings = Field(
        default_factory=JudgeSettings, exclude=True, description="Filled by itself: the variables JUDGE_…"
    )


class BadSettings(ConfigError):
    """Values that are wrong in themselves. usable: the settings with defaults in their place, to find what else is."""

    usable: Settings | None = None


def read_settings(given: Mapping[str, Any], env_file: str | None = None) -> Settings:
    """Settings from the environment, under it those of env_file (None: ./.env), over it what the command line gave.

    Warns on stderr of names that resemble a setting and are none.

    Raises:
        BadSettings: every value that is wrong, by the name of its variable.
    """
    if env_file is None and DOT_ENV.is_file():
        env_file = str(DOT_ENV)
    values: Mapping[str, str | None] = {}
    if env_file is not None:
        _readable(Path(env_file))
        values = dotenv_values(env_file)
        for line in doubtful(set(values)):
            print(f"podium-eval: {env_file}: {line}", file=sys.stderr)
    for line in doubtful(set(os.environ) - set(values), strangers=False):
        print(f"podium-eval: environment: {line}", file=sys.stderr)
    problems: list[str] = []
    wrong: dict[str, Any] = {}
    judging, settings = JudgeSettings.model_construct(), None
    try:
        judging = JudgeSettings(_env_file=env_file)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        problems += _problems(error, "JUDGE_")
    try:
        settings = Settings(_env_file=env_file, judging=judging, **given)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        problems += _problems(error, "")
        wrong = _defaults(error)
    except SettingsError as error:
        # Of a variable that holds JSON; which one stands in the message alone.
        name = re.search(r'"(\w+)"', str(error))
        problems.append(f"{name[1].upper()}: is no JSON" if name else str(error))
    if settings is not None:
        settings.take_file(values)
    if settings is not None and not problems:
        return settings
    bad = BadSettings(problems)
    with contextlib.suppress(ValidationError, SettingsError):
        bad.usable = settings or Settings(_env_file=env_file, judging=judging, **{**given, **wrong})  # pyright: ignore[reportCallIssue]
    raise bad


def _defaults(error: ValidationError) -> dict[str, Any]:
    """The fields that are wrong, each with its default."""
    names = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    fields = Settings.model_fields
    return {name: fields[name].get_default(call_default_factory=True) for name in names & fields.keys()}  # pyright: ignore[reportUnknownMemberType]


def _problems(error: ValidationError, prefix: str) -> list[str]:
    """A line for each field, by the name of its variable."""
    return [
        f"{prefix}{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors()
    ]


def _readable(env_file: Path) -> None:
    """Raise ConfigError for a file that was named and is not there, or is no UTF-8."""
    try:
        env_file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError([f"{env_file} is not UTF-8 at byte {error.start}: save it as UTF-8"]) from error
    except OSError as error:
        raise ConfigError([f"--env-file {env_file}: {error.strerror}"]) from error


def shown(settings: Settings) -> dict[str, Any]:
    """Every setting for run.json; secrets as `**********`, unset ones as None."""
    return settings.model_dump(mode="json")


def listed(text: str | None) -> tuple[str, ...]:
    """The names that a setting gives, separated by commas; none where it is not set."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
