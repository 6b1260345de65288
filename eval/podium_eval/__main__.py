"""podium-eval: run, check, probe, data, estimate, ctl, rejudge. The one place that reads arguments and environment."""

import argparse
import os
import sys
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any, Final, NoReturn

import uvloop
from pydantic.fields import FieldInfo
from rich.console import Console

from podium_eval.errors import ConfigError
from podium_eval.settings.models import ModelSettings
from podium_eval.settings.read import BadSettings, Settings, read_settings
from podium_eval.settings.run import HubSettings, RunSettings

BAD_CONFIGURATION: Final = 2
_COMMANDS: Final = {
    "run": "ask the questions, grade the answers, log everything; an existing run is resumed",
    "check": "try everything that a run needs, and say what is missing",
    "probe": "send one real question to an expert alias, the judge, or all",
    "data": "look at a dataset: check, subset, describe",
    "estimate": "what a run would cost and how long it would take",
    "ctl": "steer a run that is on: status, pause, resume, concurrency, limit, cancel, requeue, stop",
    "rejudge": "grade the saved answers of a run again with JUDGE and PROTOCOL as set now (also: run --rejudge)",
}


_MOST_USED: Final = (
    "dataset",
    "run_id",
    "limit",
    "concurrency",
    "expert_default",
    "judge",
    "budget",
    "protocol",
    "orchestrator_url",
    "retrieval_url",
)
"""The options that most people set: --help shows them first."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit status: 0 fine, 1 some tasks are not graded, 2 bad configuration."""
    args = list(sys.argv[1:] if argv is None else argv)
    command = args[0] if args else ""
    if command not in _COMMANDS:
        if command and not command.startswith("-"):
            meant = get_close_matches(command, _COMMANDS, 1)
            hint = f"; did you mean {meant[0]}?" if meant else f"; there are {', '.join(_COMMANDS)}"
            print(f"podium-eval: there is no command {command!r}{hint}", file=sys.stderr)
            return BAD_CONFIGURATION
        _overview().parse_args(args or ["--help"])
        return BAD_CONFIGURATION
    try:
        status = _dispatch(command, args[1:])
        _say_the_rest()
        return status
    except ConfigError as error:
        for problem in error.problems:
            print(f"podium-eval: {problem}", file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        return 130


def _say_the_rest() -> None:
    """Flush what was printed; a reader who has gone (`| head`, a closed terminal) is no failure of the command."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(command: str, args: list[str]) -> int:
    if command in ("run", "check", "estimate", "rejudge"):
        rejudge = command == "run" and "--rejudge" in args
        given, env_file = _options(command, [arg for arg in args if not (rejudge and arg == "--rejudge")])
        if given.pop("settings_only", False):
            from podium_eval.commands.check_settings import check_settings

            return 0 if uvloop.run(check_settings(given, env_file, Console())) else BAD_CONFIGURATION
        settings = _settings(given, env_file)
        if command == "check":
            from podium_eval.commands import check

            return 0 if uvloop.run(check.checked(settings, check.plain_console())) else BAD_CONFIGURATION
        if command == "estimate":
            from podium_eval.commands import estimate as estimate_run
            from podium_eval.run.plan import plan

            return estimate_run.print_estimate(settings, plan(settings).dataset, Console())
        if command == "rejudge" or rejudge:
            from podium_eval.commands import rejudge as rejudge_run

            return uvloop.run(rejudge_run.rejudge(settings))
        from podium_eval.commands.run import run

        return uvloop.run(run(settings))
    settings = read_settings({}, None)
    if command == "data":
        from podium_eval.commands import data as data_cli

        return data_cli.main(args, dataset=settings.dataset, hub=settings, benchmark=settings.benchmark)
    if command == "ctl":
        from podium_eval.commands import ctl

        return ctl.main(args, settings.runs_dir)
    from podium_eval.commands import probe

    return uvloop.run(probe.probe(args, settings, Console()))


def _settings(given: dict[str, Any], env_file: str | None) -> Settings:
    """Of a command that runs or prepares a run: with values of a wrong type, all that is wrong beside them too."""
    try:
        return read_settings(given, env_file)
    except BadSettings as error:
        if error.usable is None:
            raise
        from podium_eval.run.plan import problems_of

        raise ConfigError([*error.problems, *uvloop.run(problems_of(error.usable))]) from None


class _Parser(argparse.ArgumentParser):
    """Two lines for a wrong option; argparse's usage would be ninety."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, what may have been meant, where help is, and exit."""
        options = [option for action in self._actions for option in action.option_strings]
        wrong = [word for word in message.split() if word.startswith("--")]
        meant = [close[0] for word in wrong if (close := get_close_matches(word.partition("=")[0], options, 1))]
        hint = f"; did you mean {', '.join(meant)}?" if meant and "unrecognized" in message else ""
        self.exit(BAD_CONFIGURATION, f"{self.prog}: {message}{hint}\n{self.prog} --help lists every option\n")


def _overview() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:9} {text}" for name, text in _COMMANDS.items())
    parser = _Parser(
        prog="podium-eval",
        usage="podium-eval {run,check,probe,data,estimate,ctl,rejudge} …",
        description=f"Runs and times tool-orchestrating models on Humanity's Last Exam.\n\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"podium-eval {version('podium-eval')}")
    return parser


def _options(command: str, args: list[str]) -> tuple[dict[str, Any], str | None]:
    """Every setting as an option of the same name; only those that were given."""
    parser = _Parser(
        prog=f"podium-eval {command}",
        usage=f"podium-eval {command} [--env-file FILE] [options]",
        description=f"{_COMMANDS[command].capitalize()}. Every option is a variable too: --run-id is RUN_ID.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--env-file", metavar="FILE", default=None, help="read variables from FILE; the environment wins"
    )
    if command == "check":
        parser.add_argument(
            "--settings-only",
            action="store_true",
            help="settings, dataset, prompts, keys and INDEX_DIR alone, before any service is up",
        )
    most = parser.add_argument_group("most used")
    groups: dict[str, Any] = {}
    for title, part in (("the run", RunSettings), ("models", ModelSettings), ("datasets from the hub", HubSettings)):
        group = parser.add_argument_group(title)
        groups |= {name: group for name in part.model_fields if name not in _MOST_USED}
    fields = Settings.model_fields
    for name in (*_MOST_USED, *(name for name in fields if name not in _MOST_USED)):
        if not fields[name].exclude:
            _option(groups.get(name, most), name, fields[name])
    given = vars(parser.parse_args(args))
    return given, given.pop("env_file")


def _option(parser: Any, name: str, field: FieldInfo) -> None:
    flag = f"--{name.replace('_', '-')}"
    text = (field.description or "").replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        return
    kinds = _kinds(field.annotation)
    choices = [
        str(value) for kind in kinds for value in typing.get_args(kind) if typing.get_origin(kind) is typing.Literal
    ]
    parser.add_argument(
        *((flag, "--class") if name == "verified_class" else (flag,)),
        metavar=f"{{{','.join(choices)}}}" if choices else name.upper(),
        help=text,
        type=_json if dict in kinds else str,
    )


def _kinds(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
    return [dict if typing.get_origin(annotation) is dict else annotation]


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is no JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
