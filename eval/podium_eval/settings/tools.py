"""The settings of tools: which are offered, those of MCP servers, and the limits of all that are not built in."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ToolSettings(BaseSettings):
    """Every field is an environment variable of the same name in capitals, and an option of `podium-eval run`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    tools: str = Field(
        default="",
        description="Tools offered, by name or pattern, separated by commas: search,answer,clock,time_*. Empty: the "
        "built-in ones and every MCP server's.",
    )
    mcp_servers: Path | None = Field(
        default=None, description="File (TOML or JSON) of MCP servers whose tools are offered; see docs/tools.md."
    )
    tool_timeout_s: PositiveFloat = Field(default=120.0, description="Longest call of a tool that is not built in.")
    tool_result_chars: PositiveInt = Field(
        default=20_000, description="Characters kept of what a tool that is not built in returns."
    )
    mcp_start_s: PositiveFloat = Field(
        default=30.0, description="Longest wait for an MCP server to start and list its tools."
    )
    mcp_restarts: NonNegativeInt = Field(
        default=5, description="How often an MCP server that died is started again within a run."
    )
    mcp_close_s: PositiveFloat = Field(
        default=10.0, description="Longest wait for an MCP server to end, before it is left or killed."
    )

    _file: dict[str, str] = PrivateAttr(default_factory=dict[str, str])

    def take_file(self, values: Mapping[str, str | None]) -> None:
        """Keep the variables of the file that the settings were read from; empty ones are not set."""
        self._file |= {name: value for name, value in values.items() if value}

    def variable(self, name: str) -> str | None:
        """A variable that is no setting, by its name: of the environment, else of the settings' file; None: not set."""
        return os.environ.get(name, self._file.get(name))
