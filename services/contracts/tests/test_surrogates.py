"""Half a pair of surrogates is written out, measured and hashed without an error, and never lost."""

import json
from dataclasses import dataclass

import pytest
from podium_contracts.text.surrogates import encodable, lossless_bytes, lossless_text, same_length, written_out

HALF = "a\ud800b é 𝄞"


def test_a_lone_surrogate_is_written_out() -> None:
    assert written_out(HALF) == "a\\ud800b é 𝄞"
    assert written_out("é", "ascii") == "\\xe9"


def test_offsets_of_a_measured_text_hold_in_the_original() -> None:
    measured = same_length(HALF)
    assert measured.encode()
    assert measured[3:] == HALF[3:]


@pytest.mark.parametrize("text", [HALF, "", "\udfff", "plain"])
def test_lossless_bytes_come_back(text: str) -> None:
    assert lossless_text(lossless_bytes(text)) == text


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        lossless_text(b"\xff")


@dataclass
class Row:
    text: str
    number: int


def test_values_at_any_depth_become_encodable() -> None:
    value = {"\udfff": [Row("\ud800", 2**64), (HALF, -(2**63), 10**5000)]}
    found = json.loads(json.dumps(encodable(value)).encode())
    row, others = found["\\udfff"]
    assert row == {"text": "\\ud800", "number": str(2**64)}
    assert others[:2] == ["a\\ud800b é 𝄞", -(2**63)]
    assert int(others[2], 16) == 10**5000
