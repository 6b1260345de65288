"""Extracts the message from an error response of a provider, a proxy or a web server at a wrong address."""

import re
from typing import Any, Final, cast

import orjson

_PAGE = re.compile(rb"\s*+<(?:!doctype|html)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<]{0,200})", re.IGNORECASE)
_HEAD: Final = 20_000
"""Bytes of a page among which its title stands."""

_READ: Final = 2000
"""Bytes of a text that is no JSON."""


def is_page(body: bytes) -> bool:
    """Whether it is HTML, as proxies, gateways and wrong addresses answer."""
    return _PAGE.match(body) is not None


def said(body: bytes) -> str:
    """The message of an error body: message and code of the usual JSON, a page's title, else the text itself."""
    if is_page(body):
        title = _TITLE.search(body[:_HEAD])
        named = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        return f"a web page, {named!r}" if named else "a web page without a title"
    try:
        parsed: Any = orjson.loads(body)
    except ValueError:
        return body[:_READ].decode("utf-8", "replace").strip()
    if isinstance(parsed, dict):
        fields = cast("dict[str, Any]", parsed)
        inner = fields.get("error", fields)
        if isinstance(inner, dict):
            known = cast("dict[str, Any]", inner)
            parts = [known.get(name) for name in ("code", "type", "message", "detail")]
            texts = [part for part in parts if isinstance(part, str) and part]
            if texts:
                return " ".join(texts)
        if isinstance(inner, str):
            return inner
    return body[:_READ].decode("utf-8", "replace")
