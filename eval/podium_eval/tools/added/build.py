"""The tools of a run beside the built-in ones: those of entry points, and those of MCP servers while they run."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from podium_contracts.names import TOOLS

from podium_eval.clock import Clock
from podium_eval.errors import ConfigError, Failure
from podium_eval.settings.read import listed
from podium_eval.settings.run import RunSettings
from podium_eval.tools.added.guarded import GuardedTool
from podium_eval.tools.added.plugins import installed, load_plugins
from podium_eval.tools.specs import ToolSpecs
from podium_eval.tools.tool import AddedTool, ToolContext


class Server(Protocol):
    """An MCP server that was started. server: its own name and version."""

    name: str
    server: str

    async def ping(self) -> None:
        """Raises Failure: it does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class AddedTools:
    """tools: each within its limits. servers: those that run, with the names of their tools."""

    tools: tuple[GuardedTool, ...] = ()
    servers: tuple[tuple[Server, tuple[str, ...]], ...] = ()
    wanted: tuple[str, ...] = ()

    def choose(self, specs: ToolSpecs) -> ToolSpecs:
        """Those that TOOLS names; all where it is empty.

        Raises:
            ConfigError: it names none that exists, or leaves out answer.
        """
        if not self.wanted:
            return specs
        chosen = specs.offered(self.wanted)
        every = [*TOOLS, *(tool.name for tool in self.tools)]
        names = {spec.name for spec in chosen.specs}
        unknown = [name for name in self.wanted if "*" not in name and name not in names and name not in every]
        if unknown:
            others = sorted({*every, *installed()})
            raise ConfigError([f"TOOLS: there is no tool {unknown[0]!r}; there are {', '.join(others)}"])
        if "answer" not in names:
            raise ConfigError(["TOOLS: leaves out answer, so no task could end"])
        return chosen

    @property
    def packaged(self) -> list[GuardedTool]:
        """Those of entry points."""
        return [tool for tool in self.tools if tool.source[0] == "tool"]

    def describe(self) -> list[dict[str, str]]:
        """For run.json: each tool and what it comes from."""
        return [{"name": tool.name, "kind": tool.source[0], "source": tool.source[1]} for tool in self.tools]


@asynccontextmanager
async def added_tools(
    settings: RunSettings, clock: Clock, of_benchmark: Sequence[str] = ()
) -> AsyncGenerator[AddedTools]:
    """Load the entry points that TOOLS names (without it those that the benchmark is meant for), start MCP_SERVERS'.

    The servers end with the context.

    Raises:
        ConfigError: all that cannot be loaded or started.
    """
    wanted = listed(settings.tools)
    tools: list[GuardedTool] = []

    def guard(tool: AddedTool, kind: str, source: str) -> None:
        if any(tool.name == other.name for other in tools):
            raise ConfigError([f"two added tools are named {tool.name!r}: rename the MCP server, or leave one out"])
        limits = {"timeout_s": settings.tool_timeout_s, "result_chars": settings.tool_result_chars}
        tools.append(GuardedTool(tool, (kind, source), **limits))  # pyright: ignore[reportArgumentType]

    for plugin in load_plugins(wanted or of_benchmark, ToolContext(settings, clock)):
        guard(plugin.tool, "tool", plugin.package)
    if settings.mcp_servers is None:
        yield AddedTools(tuple(tools), (), wanted)
        return
    try:
        # The package `mcp` is an extra: few runs need it, and it takes a third of a second to load.
        from podium_eval.tools.mcp.connection import Connection
        from podium_eval.tools.mcp.servers import load_servers
        from podium_eval.tools.mcp.tool import McpTool
    except ImportError as error:
        raise ConfigError([f"MCP_SERVERS needs the extra podium-eval[mcp]: {error}"]) from error
    described = load_servers(settings.mcp_servers, settings.variable)
    connections = [Connection(name, server, settings) for name, server in described.items()]
    try:
        begun = await asyncio.gather(*(connection.start() for connection in connections), return_exceptions=True)
        servers: list[tuple[Server, tuple[str, ...]]] = []
        problems: list[str] = []
        for connection, outcome in zip(connections, begun, strict=True):
            try:
                made = [McpTool(connection, tool, clock) for tool in _raised(outcome)]
            except Failure as failure:
                problems.append(f"MCP_SERVERS={settings.mcp_servers}: {connection.name}: {failure.message}")
                continue
            for tool in made:
                guard(tool, "mcp", connection.server)
            servers.append((connection, tuple(tool.name for tool in made)))
        if problems:
            raise ConfigError(problems)
        yield AddedTools(tuple(tools), tuple(servers), wanted)
    finally:
        await asyncio.gather(*(connection.aclose() for connection in connections), return_exceptions=True)


def _raised(outcome: Any) -> Sequence[Any]:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
