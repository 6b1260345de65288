"""Reads Retry-After headers."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of retry-after-ms, or of Retry-After as a number or a date; header names in any case.

    None where it is absent or unreadable, and where it is zero or past: a server that is overloaded and asks for no
    pause gets the caller's own growing one, or thirty attempts would be over within a second.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _ahead(milliseconds / 1000)
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return _ahead(seconds)
    moment = _moment(value)
    if moment is None:
        return None
    # The date is by the server's clock, so it is compared with the response's Date where there is one.
    now = _moment(headers.get("date")) or datetime.now(UTC)
    return _ahead((moment - now).total_seconds())


def _ahead(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):  # OverflowError: a year of more digits than a date has
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
