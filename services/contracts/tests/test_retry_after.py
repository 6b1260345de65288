from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_contracts.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after-ms": "0", "retry-after": "9"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 99 Oct 2015 99:99:99 GMT"}, None),
        ({"retry-after": "0.5", "date": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 0.5),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(httpx2.Headers(headers)) == seconds


def test_retry_after_as_a_date() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    wish = retry_after_s({"retry-after": moment})
    assert wish is not None
    assert 25 <= wish <= 30


def test_a_date_is_held_against_the_servers_own_clock() -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    moment = format_datetime(ahead + timedelta(seconds=7), usegmt=True)
    assert retry_after_s({"retry-after": moment, "date": format_datetime(ahead, usegmt=True)}) == 7.0


@given(st.text(), st.text(), st.text())
def test_any_header_gives_seconds_ahead_or_none(after: str, milliseconds: str, date: str) -> None:
    for headers in ({"retry-after": after, "date": date}, {"retry-after-ms": milliseconds, "retry-after": after}):
        seconds = retry_after_s(headers)
        assert seconds is None or seconds > 0
