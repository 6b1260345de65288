"""A connection to one MCP server: started, called, started again when it died, closed; every wait has a limit."""

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from mcp import ClientSession, MCPError
from mcp_types import CONNECTION_CLOSED, CallToolResult, PaginatedRequestParams, Tool

from podium_eval.clock import SYSTEM_CLOCK
from podium_eval.errors import Failure
from podium_eval.settings.tools import ToolSettings
from podium_eval.tools.mcp.servers import Server
from podium_eval.tools.mcp.transport import transport

_log = logging.getLogger(__name__)

_MOST_PAGES: Final = 20
_MOST_TOOLS: Final = 128
_STDERR_CHARS: Final = 600


class _Life:
    """One life of the server, in a task of its own: what opens a connection must also close it."""

    def __init__(self, described: Server, connect_s: float) -> None:
        self._described = described
        self._connect_s = connect_s
        self.session: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        self.session.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._closing = asyncio.Event()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (end closes it)
        self.tools: Sequence[Tool] = ()
        self.task = asyncio.create_task(self._run(), name="mcp")

    async def _run(self) -> None:
        try:
            async with (
                transport(self._described, self._errors, self._connect_s) as (read, write),
                ClientSession(read, write, read_timeout_seconds=self._connect_s) as session,
            ):
                await session.initialize()
                self.tools = await _listed(session)
                self.session.set_result(session)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 (whatever ends a connection is raised in its callers)
            if not self.session.done():
                self.session.set_exception(error)
            else:
                _log.debug("an MCP connection ended: %r", error)
        finally:
            if not self.session.done():
                self.session.cancel()

    def stderr(self) -> str:
        """The end of what the command wrote to stderr; ends the life's file."""
        try:
            self._errors.seek(0, 2)
            self._errors.seek(max(0, self._errors.tell() - _STDERR_CHARS))
            return " ".join(self._errors.read().split())
        except (OSError, ValueError):
            return ""

    async def end(self, within_s: float) -> None:
        """Ask it to end, then cancel it."""
        self._closing.set()
        if not self.task.done():
            await asyncio.wait({self.task}, timeout=within_s)
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=within_s)
        self._errors.close()


class Connection:
    """A server by the run's name for it. Calls beyond its `concurrency` wait."""

    def __init__(self, name: str, described: Server, settings: ToolSettings) -> None:
        self.name = name
        self._described = described
        self.spec = described.spec
        self.server = name
        """Its own name and version, once it has started."""
        self._settings = settings
        self._life: _Life | None = None
        self._starts = 0
        self._starting = asyncio.Lock()
        self.gate = asyncio.Semaphore(self.spec.concurrency)

    async def start(self) -> Sequence[Tool]:
        """Start the server; its tools, of those that the file wants.

        Raises:
            Failure: it did not start within MCP_START_S, or has no such tool.
        """
        await self._session()
        assert self._life is not None
        tools = self._life.tools
        if (patterns := self.spec.tools) is not None:
            tools = [tool for tool in tools if any(fnmatchcase(tool.name, pattern) for pattern in patterns)]
        if not tools:
            there = ", ".join(tool.name for tool in self._life.tools) or "none"
            raise Failure("tool_error", f"offers none of the tools wanted; there are: {there[:500]}")
        return tools

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Raises Failure (tool_error): the server refused, died, took longer than timeout_s or does not come back."""
        session = await self._session()
        life = self._life
        try:
            return await session.call_tool(tool, arguments, read_timeout_seconds=self.spec.timeout_s)
        except MCPError as error:
            if error.error.code == CONNECTION_CLOSED or "terminated" in error.error.message.lower():
                await self._died(life)
            raise Failure("tool_error", f"MCP server {self.name}: {error.error.message}") from error
        except Exception as error:
            await self._died(life)
            raise Failure("tool_error", f"MCP server {self.name}: {type(error).__name__}: {error}") from error

    async def ping(self) -> None:
        """Raises Failure: it does not answer."""
        session = await self._session()
        try:
            async with SYSTEM_CLOCK.timeout(self.spec.timeout_s):
                await session.list_tools()
        except Exception as error:
            raise Failure("tool_error", f"MCP server {self.name}: {error!r}") from error

    async def aclose(self) -> None:
        """End the server; a command that does not end is killed."""
        if self._life is not None:
            await self._life.end(self._settings.mcp_close_s)
            self._life = None

    async def _session(self) -> ClientSession:
        async with self._starting:
            if self._life is not None and self._life.task.done():
                await self._died(self._life)
            if self._life is None:
                if self._starts > self._settings.mcp_restarts:
                    limit = f"{self._settings.mcp_restarts} times (MCP_RESTARTS)"
                    raise Failure("tool_error", f"MCP server {self.name} died and was restarted {limit} already")
                self._starts += 1
                self._life = await self._born()
            return self._life.session.result()

    async def _born(self) -> _Life:
        life = _Life(self._described, self._settings.mcp_start_s)
        try:
            done, _ = await asyncio.wait({life.session}, timeout=self._settings.mcp_start_s)
        except asyncio.CancelledError:
            await life.end(self._settings.mcp_close_s)
            raise
        error = None if not done or life.session.cancelled() else life.session.exception()
        if done and not life.session.cancelled() and error is None:
            info = life.session.result().server_info
            self.server = f"{info.name} {info.version}"[:100] if info is not None else self.name
            return life
        why = f"no answer within {self._settings.mcp_start_s:g} s (MCP_START_S)" if not done else _reason(error)
        heard = life.stderr()
        await life.end(self._settings.mcp_close_s)
        raise Failure(
            "tool_error", f"MCP server {self.name} did not start: {why}{f'; it wrote: {heard}' * bool(heard)}"
        )

    async def _died(self, life: _Life | None) -> None:
        if life is None or life is not self._life:
            return
        self._life = None
        _log.warning("MCP server %s died; it is started again at its next call", self.name)
        await life.end(self._settings.mcp_close_s)


async def _listed(session: ClientSession) -> list[Tool]:
    """All pages of tools/list, as far as a server may go."""
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor or len(tools) > _MOST_TOOLS:
            break
    return tools[:_MOST_TOOLS]


def _reason(error: BaseException | None) -> str:
    """The first exception of a group that has a message."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return "it ended" if error is None else f"{type(error).__name__}: {error}"[:500]
