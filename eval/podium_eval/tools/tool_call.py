"""An orchestrator's call as its model wrote it: name and JSON arguments, wherever they stand in the answer."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from podium_eval.models.chat import ChatResult, ToolInvocation

_CALL_TAG: Final = re.compile(r"</?tool_call>")
DEEPEST: Final = 50
"""Levels of arguments: the log's JSON holds no more than some 250, and no tool takes more than one."""
_INTEGER_DIGITS: Final = 18
"""Of an integer that JSON's 64 bits hold for sure; a longer one stays text."""


def tool_name(named: str) -> str:
    """The tool of `functions.search` or `search<|channel|>commentary`, as gpt-oss writes them."""
    return named.partition("<|")[0].strip().removeprefix("functions.")


def parse_arguments(arguments: str) -> Any:
    """JSON arguments; a text that is itself JSON is read once more, as some servers encode twice."""
    parsed: Any = _json(arguments) if arguments.strip() else {}
    return _json(parsed) if isinstance(parsed, str) else parsed


def _json(text: str) -> Any:
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _INTEGER_DIGITS else digits)


def is_shallow(value: Any, levels: int) -> bool:
    """Whether lists and objects lie at most so many deep."""
    layer: list[Any] = [value]
    for _ in range(levels + 1):
        inner: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                inner += cast("dict[str, Any]", item).values()
            elif isinstance(item, list):
                inner += cast("list[Any]", item)
        if not inner:
            return True
        layer = inner
    return False


def written_call(result: ChatResult) -> ToolInvocation | None:
    """The first call that stands in the text or the thinking as <tool_call>{…}</tool_call>; None without one."""
    for text in (result.text, result.reasoning or ""):
        for raw in _tagged(text):
            try:
                call: Any = _json(raw)
            except (ValueError, RecursionError):
                continue
            if isinstance(call, dict) and isinstance(call.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
                known = cast("dict[str, Any]", call)
                arguments = known.get("arguments", {})
                if isinstance(arguments, str) or is_shallow(arguments, DEEPEST):
                    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
                    return ToolInvocation(known["name"], written)
    return None


def _tagged(text: str) -> Iterator[str]:
    """What stands in <tool_call>…</tool_call>, the end of the last one perhaps cut off; each part is read once."""
    opened: int | None = None
    for tag in _CALL_TAG.finditer(text):
        if tag[0] == "<tool_call>":
            opened = tag.end()
        elif opened is not None:
            yield text[opened : tag.start()]
            opened = None
    if opened is not None:
        yield text[opened:]
