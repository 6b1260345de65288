"""The parts that need no process: bounded output, naming an ending, packets."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_sandbox.isolation.layers import Isolation
from podium_sandbox.isolation.rlimits import Limits
from podium_sandbox.process import protocol as wire
from podium_sandbox.run.outcome import Limit, judge
from podium_sandbox.run.output import HeadTail

LIMIT = Limit(timeout_s=60, cpu_s=30, memory_bytes=1 << 30, output_bytes=1 << 20, scratch_bytes=1 << 20, processes=16)


@given(st.lists(st.binary(max_size=50)), st.integers(min_value=2, max_value=60))
def test_head_and_tail_are_kept_whatever_the_pieces(pieces: list[bytes], limit: int):
    held = HeadTail(limit)
    for piece in pieces:
        held.feed(piece)
    whole = b"".join(pieces)
    assert held.total == len(whole)
    assert held.truncated == (len(whole) > limit)
    if not held.truncated:
        assert held.text() == whole.decode(errors="replace")
    else:
        head, tail = whole[: limit // 2], whole[-(limit - limit // 2) :]
        mark = f"\n[… {len(whole) - limit} bytes of output left out …]\n"
        assert held.text() == head.decode(errors="replace") + mark + tail.decode(errors="replace")


def test_memory_of_a_long_stream_is_bounded():
    held = HeadTail(1000)
    for _ in range(10_000):
        held.feed(b"x" * 100)
    assert len(held._head) + len(held._tail) <= 1600


@pytest.mark.parametrize(
    ("stop", "wait_status", "memory_error", "status", "exit_code", "words"),
    [
        (None, 0, False, "ok", 0, None),
        (None, 3 << 8, False, "error", 3, None),
        (None, 1 << 8, True, "memory", 1, "1024 MiB"),
        (None, 0, True, "ok", 0, None),
        (None, int(signal.SIGXCPU), False, "timeout", None, "CPU time than its limit of 30 s"),
        (None, int(signal.SIGKILL), False, "killed", -9, "killed"),
        (None, int(signal.SIGSEGV), False, "error", -11, "SIGSEGV"),
        (None, 40, False, "error", -40, "signal 40"),
        (None, None, False, "killed", None, "killed"),
        ("wall", None, False, "timeout", None, "longer than its limit of 60 s"),
        ("cpu", None, False, "timeout", None, "30 s"),
        ("memory", None, False, "memory", None, "1024 MiB"),
        ("output", 0, False, "output_limit", None, "1 MiB"),
        ("scratch", None, False, "killed", None, "1 MiB"),
        ("processes", None, False, "killed", None, "16"),
    ],
)
def test_each_ending_has_its_name_and_sentence(stop, wait_status, memory_error, status, exit_code, words):  # type: ignore[no-untyped-def]
    verdict = judge(stop=stop, wait_status=wait_status, memory_error=memory_error, limit=LIMIT)
    assert (verdict.status, verdict.exit_code) == (status, exit_code)
    if words is None:
        assert verdict.sentence is None
    else:
        assert verdict.sentence is not None
        assert words in verdict.sentence


@pytest.mark.parametrize(
    "packet",
    [
        wire.Run(1, Limits(1.0, 2, 3, 4, 5, 6), None, "/s", "/c"),
        wire.Kill(2),
        wire.Ready(Isolation("user", 7, True, False, ("x",)), 1.5, 10, {"python": "3"}),
        wire.Started(3, 4),
        wire.Exited(5, None, 1.0, 0.5, 7),
        wire.Gone(6),
    ],
)
def test_packets_come_out_as_they_went_in(packet: wire.Packet):
    assert wire.decode(wire.encode(packet)) == packet
