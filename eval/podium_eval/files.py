"""JSON as UTF-8 bytes, of values that may hold text which UTF-8 cannot."""

from dataclasses import asdict, is_dataclass
from typing import Any, cast

import orjson


def json_bytes(value: Any, *, indent: bool = False) -> bytes:
    """A dataclass or plain value as JSON with a last newline; on one line, or indented by two."""
    options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, option=options)
    except orjson.JSONEncodeError:
        return orjson.dumps(encodable(value), option=options)


def encodable(value: Any) -> Any:
    """The same value with lone surrogates written out as `\\ud800`: Python's strings hold them, UTF-8 does not."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if is_dataclass(value) and not isinstance(value, type):
        return encodable(asdict(value))
    if isinstance(value, dict):
        known = cast("dict[Any, Any]", value)
        return {encodable(key): encodable(item) for key, item in known.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in cast("list[Any]", value)]
    return value
