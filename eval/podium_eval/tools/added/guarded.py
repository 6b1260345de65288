"""Holds an added tool to its limits: what it raises, how long it takes and how much it returns become data."""

import asyncio
import logging
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from podium_eval.errors import Failure, Unavailable
from podium_eval.tools.tool import AddedTool, ToolRequest, ToolResult

_log = logging.getLogger(__name__)

MESSAGE_CHARS: Final = 2_000
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Of a tool, as OpenAI's protocol takes it; of a timed part too."""
_MOST_PARTS: Final = 16
_MOST_DOCUMENTS: Final = 100
_GIVE_UP_S: Final = 1.0
"""After its cancellation; a tool that goes on is left to itself."""


class GuardedTool:
    """An added tool as the episodes use it: `use` never raises but for a cancellation, and always ends."""

    def __init__(self, tool: AddedTool, source: tuple[str, str], *, timeout_s: float, result_chars: int) -> None:
        """source: where it comes from, as (provider, model) of its events."""
        self.name = tool.name
        self.description = tool.description
        self.parameters = tool.parameters
        self.aliases = tuple(tool.aliases)
        self.source = source
        self._tool = tool
        self._timeout_s = timeout_s
        self._result_chars = result_chars

    async def use(self, request: ToolRequest) -> ToolResult:
        """See Tool."""
        # In a task of its own: a tool that swallows its cancellation must not hold the episode.
        task = asyncio.create_task(self._tried(request), name=f"tool {self.name}")
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=_GIVE_UP_S)
            raise
        if done:
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=_GIVE_UP_S)
        return ToolResult(
            failure=Failure("tool_error", f"{self.name} took longer than {self._timeout_s:g} s (TOOL_TIMEOUT_S)")
        )

    async def _tried(self, request: ToolRequest) -> ToolResult:
        try:
            return self._kept(await self._tool.use(request))
        except Unavailable as failure:
            # That a service of the run is down ends a task; an added tool's service is one of several.
            return ToolResult(failure=Failure("tool_error", shortened(failure.message, MESSAGE_CHARS)))
        except Failure as failure:
            failure.message = shortened(failure.message, MESSAGE_CHARS)
            return ToolResult(failure=failure)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return ToolResult(failure=Failure("tool_error", f"{self.name} was cancelled from inside"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (an added tool's failure goes to the model as its result)
            _log.error("the tool %s (%s) failed", self.name, self.source[1], exc_info=error)
            message = shortened(f"{self.name} raised {type(error).__name__}: {error}", MESSAGE_CHARS)
            return ToolResult(failure=Failure("tool_error", message))

    def _kept(self, result: Any) -> ToolResult:
        """The result within its limits. A text alone is one; grading is no added tool's to do."""
        if isinstance(result, str):
            return ToolResult(text=shortened(result, self._result_chars))
        if not isinstance(result, ToolResult):
            raise TypeError(f"use returned {type(result).__name__}, not a ToolResult or a text")
        if result.text is not None:
            result.text = shortened(str(result.text), self._result_chars)
        result.judgement = None
        result.documents = [
            {
                key: shortened(value, self._result_chars) if isinstance(value, str) else None
                for key, value in document.items()
            }
            for document in result.documents[:_MOST_DOCUMENTS]
        ]
        result.parts.parts_ms = _times(result.parts.parts_ms)
        if isinstance(result.failure, Unavailable):
            result.failure = Failure("tool_error", result.failure.message)
        if result.failure is not None:
            result.failure.message = shortened(str(result.failure.message), MESSAGE_CHARS)
        return result


def shortened(text: str, chars: int) -> str:
    """At most so many characters, with a count of those left out; what UTF-8 cannot hold becomes a question mark."""
    kept = text[:chars].encode("utf-8", "replace").decode()
    return kept if len(text) <= chars else f"{kept}… [{len(text) - chars} more characters left out]"


def _times(parts: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Those that are a time: a name, and milliseconds that are finite and not negative."""
    kept = {
        name: float(ms)
        for name, ms in list((parts or {}).items())[:_MOST_PARTS]
        if NAME.fullmatch(name) and isinstance(ms, int | float) and math.isfinite(ms) and ms >= 0
    }
    return kept or None
