"""MCP_SERVERS: the file that names MCP servers, in TOML or in the JSON that other MCP clients read."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from podium_eval.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TABLES: Final = ("servers", "mcpServers")


class ServerSpec(BaseModel):
    """One server: a command (MCP over stdin and stdout), or an address (over HTTP)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    command: str | list[str] = Field(default_factory=list[str])
    args: list[str] = Field(default_factory=list[str])
    cwd: str | None = None
    env: list[str] = Field(default_factory=list[str])
    """Names of variables of this process that the server is given; it sees no others but PATH, HOME and the like."""
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Of HTTP: a header and the variable that holds its value."""
    tools: list[str] | None = None
    """Patterns of the tools that are offered; None: all."""
    timeout_s: Annotated[float, Field(gt=0, strict=False)] = 60.0
    concurrency: Annotated[int, Field(gt=0)] = 8
    """Calls at once."""
    result_bytes: Annotated[int, Field(ge=10_000)] = 1_000_000
    """Longest message that is taken from it."""
    usd_per_call: Annotated[float, Field(ge=0, strict=False, allow_inf_nan=False)] | None = None

    @property
    def argv(self) -> list[str]:
        """The command with its arguments."""
        return [*([self.command] if isinstance(self.command, str) else self.command), *self.args]

    @model_validator(mode="after")
    def _one_way(self) -> "ServerSpec":
        if bool(self.argv) == bool(self.url):
            raise ValueError("needs either command or url")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r} is not an address such as http://host:port/mcp")
        return self


Variable = Callable[[str], str | None]
"""The value of a variable, None where it is not set."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server as the file describes it, with the values of the variables that it names."""

    spec: ServerSpec
    environment: dict[str, str] = field(repr=False)
    """What `env` names."""
    headers: dict[str, str] = field(repr=False)
    """Each header with its value."""


def load_servers(path: Path, variable: Variable = lambda _: None) -> dict[str, Server]:
    """The servers of the file, by name.

    Raises:
        ConfigError: all that is wrong with it.
    """
    where = f"MCP_SERVERS={path}"
    try:
        text = path.read_text("utf-8")
        read: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([f"{where} cannot be read: {error}"]) from error
    whole: dict[str, Any] = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    table: Any = next((whole[name] for name in _TABLES if name in whole), None)
    if not isinstance(table, dict) or not table:
        raise ConfigError([f"{where}: has no server; write a table [servers.NAME] with command or url"])
    servers: dict[str, Server] = {}
    problems: list[str] = []
    for name, raw in cast("dict[str, Any]", table).items():
        if _NAME.fullmatch(name) is None:
            problems.append(f"{where}: {name[:80]!r} is no name: letters, digits, _ and -, at most 32")
            continue
        try:
            spec = ServerSpec.model_validate(raw)
        except ValidationError as error:
            problems += [f"{where}: {name}: {_where(problem['loc'])}{problem['msg']}" for problem in error.errors()]
            continue
        values = {named: variable(named) for named in {*spec.env, *spec.headers.values()}}
        problems += [f"{where}: {name}: {line}" for line in _unset(spec, values)]
        known = {named: value for named, value in values.items() if value is not None}
        environment = {named: known[named] for named in spec.env if named in known}
        headers = {header: known[named] for header, named in spec.headers.items() if named in known}
        servers[name] = Server(spec, environment, headers)
    if problems:
        raise ConfigError(problems)
    return servers


def _where(loc: tuple[int | str, ...]) -> str:
    return f"{'.'.join(str(part) for part in loc)}: " if loc else ""


def _unset(spec: ServerSpec, values: Mapping[str, str | None]) -> list[str]:
    """Variables that the file names and that are not there."""
    named: Mapping[str, str] = {**dict.fromkeys(spec.env, "env"), **dict.fromkeys(spec.headers.values(), "headers")}
    return [
        f"{key} takes names of variables, and {name[:80]!r} is not set, in the environment or the settings' file"
        for name, key in named.items()
        if values[name] is None
    ]
