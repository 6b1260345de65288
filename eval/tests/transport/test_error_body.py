import time

import pytest
from podium_eval.transport.error_body import is_page, said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no", "code": "x"}}', "x no"),
        (b'{"error": "no"}', "no"),
        (b"plain words", "plain words"),
        (b"<html><title>Sign in</title>", "a web page, 'Sign in'"),
        (b"  <!DOCTYPE html><html><body>hi", "a web page without a title"),
        (b"<html><title></title>", "a web page without a title"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_what_a_body_says(body: bytes, words: str) -> None:
    assert said(body) == words


@pytest.mark.parametrize("piece", [b"<title", b"<title ", b"<", b" ", b"<html>", b"{", b"["])
def test_hostile_bodies_cost_linear_time(piece: bytes) -> None:
    def seconds(times: int) -> float:
        body = b"<html>" + piece * times
        began = time.perf_counter()
        said(body)
        is_page(piece * times)
        return time.perf_counter() - began

    short = min(seconds(20_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(3)) <= 8 * short + 0.02
