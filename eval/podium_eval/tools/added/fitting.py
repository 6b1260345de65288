"""Whether a call's arguments fit an added tool's schema."""

from collections.abc import Mapping
from typing import Any, Final, cast

_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}


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
