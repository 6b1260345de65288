"""Numbers as people read them, one form for terminal, figures and pages."""

import math
from datetime import datetime
from typing import Final

MISSING: Final = "–"


def number(value: float | int | None, digits: int | None = None) -> str:
    """A number for people: thousands apart, `digits` decimals, or as many as three figures need; – for None."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if digits is None:
        if float(value).is_integer():
            digits = 0
        else:
            size = math.floor(math.log10(abs(value))) if value else 0
            digits = min(6, max(0, 2 - size))
    return f"{value:,.{digits}f}"


def duration(ms: float | None) -> str:
    """Milliseconds in the unit that reads best, three digits of it: 1.23 ms, 45.6 s, 1 min 04 s, 2 h 05 min.

    Rounded before the unit is chosen: 59,960 ms is `1 min 00 s`.

    The page's script (report/assets/page.js) writes durations the same way.
    """
    if ms is None or not math.isfinite(ms):
        return MISSING
    if ms < 0:  # before divmod, which rounds down: -64 s would be -2 min 56 s
        return f"-{duration(-ms)}"
    if ms == 0:
        return "0 ms"
    for limit, factor, unit in ((0.9995, 1000.0, "µs"), (999.5, 1.0, "ms"), (59_950.0, 0.001, "s")):
        if ms < limit:
            size = ms * factor
            return f"{size:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f} {unit}"
    minutes, seconds = divmod(round(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def money(usd: float | None) -> str:
    """US dollars: cents, or below one dollar as many decimals as two figures need."""
    if usd is None or not math.isfinite(usd):
        return MISSING
    size = abs(usd)
    digits = 2 if size >= 1 or size == 0 else min(9, 1 - math.floor(math.log10(size)))
    return f"{'-' if usd < 0 else ''}${size:,.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as percent."""
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def moment(ts: str | None) -> str:
    """An ISO time to the minute and with its zone: `2026-11-22 09:00 UTC`; as it is where it is none."""
    try:
        time = datetime.fromisoformat(ts or "")
    except ValueError:
        return ts or MISSING
    zone = time.strftime("%z")
    named = "UTC" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}" if zone else "(zone unknown)"
    return f"{time:%Y-%m-%d %H:%M} {named}"
