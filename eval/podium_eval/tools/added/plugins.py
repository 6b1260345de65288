"""Tools of other packages: entry points of the group `podium.tools` that TOOLS names."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from podium_contracts.names import ALIASES, TOOLS

from podium_eval.errors import ConfigError
from podium_eval.tools.added.guarded import NAME
from podium_eval.tools.tool import AddedTool, ToolContext

GROUP: Final = "podium.tools"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A tool and the package that it comes from."""

    tool: AddedTool
    package: str


def installed() -> dict[str, EntryPoint]:
    """Every tool that an installed package offers, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_plugins(wanted: Sequence[str], context: ToolContext) -> list[Plugin]:
    """The installed tools that TOOLS names; without TOOLS none: a package that happens to be there changes no run.

    Raises:
        ConfigError: every one that cannot be used.
    """
    plugins: list[Plugin] = []
    problems: list[str] = []
    for name, point in sorted(installed().items()):
        if not any(fnmatchcase(name, pattern) for pattern in wanted):
            continue
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
        where = f"TOOLS: {name} of {package} ({point.value})"
        try:
            tool: Any = point.load()(context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (another package's code)
            problems.append(f"{where} cannot be loaded: {type(error).__name__}: {error}")
            continue
        if (problem := unusable(tool, name)) is not None:
            problems.append(f"{where}: {problem}")
        else:
            plugins.append(Plugin(tool, package))
    if problems:
        raise ConfigError(problems)
    return plugins


def unusable(tool: Any, name: str) -> str | None:
    """Why something is no tool that can be added; None: it is one."""
    if getattr(tool, "name", None) != name or NAME.fullmatch(name) is None:
        return f"its name must be the entry point's, of letters, digits, _ and -: it is {getattr(tool, 'name', None)!r}"
    if name in TOOLS or name == "invalid":
        return "this name is taken by a built-in tool; give it another"
    if not isinstance(getattr(tool, "description", None), str) or not callable(getattr(tool, "use", None)):
        return "needs a description (text) and an async method use"
    parameters: Any = getattr(tool, "parameters", None)
    if not isinstance(parameters, dict):
        return "its parameters must be a JSON Schema of an object (a dict)"
    properties: Any = cast("dict[str, Any]", parameters).get("properties", {})
    if not isinstance(properties, dict):
        return "the properties of its parameters must be an object"
    try:
        json.dumps(parameters)
    except (TypeError, ValueError) as error:
        return f"its parameters are no JSON: {error}"
    aliases: Any = getattr(tool, "aliases", None)
    if not isinstance(aliases, list | tuple):
        return "its aliases must be a list of experts; () for none"
    if unknown := [str(alias) for alias in cast("list[Any]", aliases) if alias not in ALIASES]:
        return f"its alias {unknown[0]!r} is none of {', '.join(ALIASES)}"
    if aliases and "model" in properties:
        return "its parameters may not have 'model': that is how the orchestrator names the expert"
    return None
