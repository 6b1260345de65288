"""Durations as people read them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_analysis.quantities import duration, moment

UNITS = {"µs": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-64_000, "-1 min 04 s"),
        (64_000, "1 min 04 s"),
        (-3_600_000, "-1 h 00 min"),
        (59_960, "1 min 00 s"),
        (999.6, "1.00 s"),
        (9_999, "10.0 s"),
        (0, "0 ms"),
        (0.14, "140 µs"),
        (0.001, "1.00 µs"),
    ],
)
def test_a_duration_as_text(ms: float, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        ("2026-11-22T09:00:31.5Z", "2026-11-22 09:00 UTC"),
        ("2026-11-22T09:00:31+00:00", "2026-11-22 09:00 UTC"),
        ("2026-11-22T09:00+05:30", "2026-11-22 09:00 +05:30"),
        ("2026-11-22T09:00", "2026-11-22 09:00 (zone unknown)"),
        ("soon", "soon"),
        (None, "–"),
    ],
)
def test_a_time_has_its_zone(ts: str | None, text: str) -> None:
    assert moment(ts) == text


@given(st.floats(min_value=0.1, max_value=1e9))
def test_a_duration_and_its_negative_differ_by_the_sign(ms: float) -> None:
    assert duration(-ms) == f"-{duration(ms)}"


@given(st.floats(min_value=-1e9, max_value=1e9).filter(lambda ms: abs(ms) >= 0.1))
def test_a_duration_read_back_is_the_duration(ms: float) -> None:
    text = duration(ms)
    parts = re.findall(r"([\d.]+) (µs|ms|min|h|s)", text)
    value = sum(float(number) * UNITS[unit] for number, unit in parts)
    last = UNITS[parts[-1][1]] * (1 if "." not in parts[-1][0] else 0.1)
    assert abs(value - abs(ms)) <= last
    assert text.startswith("-") == (ms < 0)
