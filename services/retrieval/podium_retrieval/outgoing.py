"""Errors of calls to other servers without headers, keys and passwords; and when to call again."""

from urllib.parse import urlsplit

import httpx2


def describe_failure(error: Exception, key: str | None) -> str:
    """An httpx2 exception in one line, without the key.

    The text of an exception about a header is left out: httpx2 puts the header itself there.
    """
    words = str(error)
    if not words or isinstance(error, httpx2.LocalProtocolError) or "header" in words.lower():
        return type(error).__name__
    return f"{type(error).__name__}: {without_key(words, key)}"


def without_key(text: str, key: str | None) -> str:
    """`text` with *** for the key: some servers repeat the key that they refuse."""
    return text.replace(key.strip(), "***") if key and key.strip() else text


def without_password(address: str) -> str:
    """An address without the user and password that may stand before its host."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that cannot be read"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
