"""A tool of an MCP server as Podium's own: its result is text, its failure data."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_types import CallToolResult, EmbeddedResource, TextContent, TextResourceContents
from mcp_types import Tool as ServerTool

from podium_eval.clock import Clock, since_ms
from podium_eval.costs.prices import Charge
from podium_eval.errors import Failure
from podium_eval.tools.mcp.connection import Connection
from podium_eval.tools.tool import ToolRequest, ToolResult

_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_DESCRIPTION_CHARS: Final = 2_000
_SCHEMA_CHARS: Final = 20_000


class McpTool:
    """Named SERVER_TOOL, so that two servers' tools of one name stay two."""

    aliases: tuple[str, ...] = ()

    def __init__(self, connection: Connection, tool: ServerTool, clock: Clock) -> None:
        """Raises Failure: its schema is larger than a prompt should hold."""
        self.name = _NOT_IN_A_NAME.sub("_", f"{connection.name}_{tool.name}")[:64]
        self.description = (tool.description or tool.title or tool.name)[:_DESCRIPTION_CHARS]
        self.parameters: Mapping[str, Any] = tool.input_schema
        if (size := len(json.dumps(self.parameters))) > _SCHEMA_CHARS:
            raise Failure("tool_error", f"the schema of {tool.name} has {size} characters: leave it out by `tools`")
        self._called = tool.name
        self._connection = connection
        self._clock = clock

    async def use(self, request: ToolRequest) -> ToolResult:
        """See Tool. Parts: `queue`, behind the server's other calls, and `call`."""
        result, began = ToolResult(), self._clock.mono()
        parts = result.parts.parts_ms = {}
        async with self._connection.gate:
            parts["queue"] = since_ms(self._clock, began)
            began = self._clock.mono()
            request.report(self.name)
            try:
                answer = await self._connection.call(self._called, dict(request.arguments))
            except Failure as failure:
                result.failure = failure
                return result
            finally:
                parts["call"] = since_ms(self._clock, began)
        if self._connection.spec.usd_per_call is not None:
            result.charge = Charge(self._connection.spec.usd_per_call)
        text = text_of(answer)
        if answer.is_error:
            result.failure = Failure("tool_error", text or "the server reports an error without a reason")
        else:
            result.text = text or "(nothing)"
        return result


def text_of(answer: CallToolResult) -> str:
    """Its texts; of images, sounds and files what they are. Structured content where there is no text."""
    shown = list(_shown(answer))
    if not shown and answer.structured_content is not None:
        return json.dumps(answer.structured_content, ensure_ascii=False)
    return "\n\n".join(shown)


def _shown(answer: CallToolResult) -> Iterator[str]:
    for block in answer.content:
        if isinstance(block, TextContent):
            yield block.text
        elif isinstance(block, EmbeddedResource):
            held = block.resource
            yield held.text if isinstance(held, TextResourceContents) else f"[a file, {held.mime_type}, not shown]"
        else:
            named = getattr(block, "mime_type", None) or getattr(block, "uri", "")
            yield f"[{block.type} {named}, not shown]"
