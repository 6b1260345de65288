"""What may be said of a call to another server: no header, no key, no password; and when to call it again."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx


def describe_failure(error: Exception, key: str | None) -> str:
    """An httpx exception in one line, without the key.

    The words of an exception that speaks of a header are left out: httpx puts the header itself there.
    """
    words = str(error)
    if not words or isinstance(error, httpx.LocalProtocolError) or "header" in words.lower():
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


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After, a number or a date; None where it is absent, unreadable, zero or past."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        moment = _moment(value)
        if moment is None:
            return None
        # A date is one of the server's clock, so it is held against that clock where the answer says what it shows.
        seconds = (moment - (_moment(headers.get("date", "")) or datetime.now(UTC))).total_seconds()
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
