"""What a check tries of added tools: each MCP server is asked again, each package's tool was loaded."""

from collections.abc import Awaitable, Callable, Iterator, Sequence

from podium_eval.tools.added.build import AddedTools, Server


def tool_items(added: AddedTools) -> Iterator[tuple[str, Callable[[], Awaitable[str]]]]:
    """An item of the check for each MCP server and for each tool of a package."""
    for server, names in added.servers:
        yield f"MCP server {server.name}", lambda server=server, names=names: _lists(server, names)
    for tool in added.packaged:
        yield f"tool {tool.name}", lambda source=tool.source[1]: _loaded(source)


async def _lists(server: Server, tools: Sequence[str]) -> str:
    await server.ping()
    return f"{server.server}: {', '.join(tools)}"


async def _loaded(package: str) -> str:
    return f"{package}, loaded"
