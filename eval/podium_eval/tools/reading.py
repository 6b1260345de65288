"""Reads the call that an orchestrator turn holds, as servers' parsers and models write it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from podium_eval.models.chat import ChatResult, ToolInvocation

DEEPEST: Final = 50
"""Levels of arguments: the log's JSON holds no more than some 250, and no tool takes more than a few."""
_CALL_TAG: Final = re.compile(r"</?tool_call>")
_INTEGER_DIGITS: Final = 18
"""Of an integer that JSON's 64 bits hold for sure; a longer one stays text."""
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def first_call(result: ChatResult) -> ToolInvocation | None:
    """The first call of a turn, also one left in the text or the thinking as <tool_call>{…}</tool_call>."""
    return result.tool_calls[0] if result.tool_calls else _written(result)


def tool_name(named: str) -> str:
    """The tool of `functions.search` or `search<|channel|>commentary`, as gpt-oss writes them."""
    return named.partition("<|")[0].strip().removeprefix("functions.")


def parsed(arguments: str) -> Any:
    """JSON arguments; a text that is itself JSON is read once more, as some servers encode twice.

    Raises:
        ValueError, RecursionError: they are no JSON.
    """
    value: Any = _json(arguments) if arguments.strip() else {}
    return _json(value) if isinstance(value, str) else value


def shallow(value: Any, levels: int = DEEPEST) -> bool:
    """Whether lists and objects lie at most so many deep."""
    layer: list[Any] = [value]
    for _ in range(levels + 1):
        inner: list[Any] = []
        for one in layer:
            if isinstance(one, dict):
                inner += cast("dict[str, Any]", one).values()
            elif isinstance(one, list):
                inner += cast("list[Any]", one)
        if not inner:
            return True
        layer = inner
    return False


def misfit(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a call's arguments by the tool's JSON Schema, its top level alone; None: nothing."""
    required: Any = schema.get("required")
    for name in cast("list[Any]", required) if isinstance(required, list) else []:
        if name not in arguments:
            return f"the argument {name!r} is missing"
    listed: Any = schema.get("properties")
    properties: dict[str, Any] = cast("dict[str, Any]", listed) if isinstance(listed, dict) else {}
    for name, value in arguments.items():
        known: Any = properties.get(name)
        if known is None and schema.get("additionalProperties") is False:
            return f"there is no argument {name[:80]!r}; it takes {', '.join(properties) or 'none'}"
        rule: dict[str, Any] = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
        kind: Any = rule.get("type")
        wanted = _KINDS.get(kind) if isinstance(kind, str) else None
        if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean")):
            return f"the argument {name[:80]!r} is no {kind}"
        choices: Any = rule.get("enum")
        if isinstance(choices, list) and value not in cast("list[Any]", choices):
            return f"the argument {name[:80]!r} is none of {str(cast('list[Any]', choices))[:200]}"
    return None


def _json(text: str) -> Any:
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _INTEGER_DIGITS else digits)


def _written(result: ChatResult) -> ToolInvocation | None:
    for text in (result.text, result.reasoning or ""):
        for raw in _tagged(text):
            try:
                call: Any = _json(raw)
            except (ValueError, RecursionError):
                continue
            if isinstance(call, dict) and isinstance(call.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
                known = cast("dict[str, Any]", call)
                arguments = known.get("arguments", {})
                if isinstance(arguments, str) or shallow(arguments):
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
