"""The log's sums beside vLLM's counters: windows, restarts, segments, and calls that are not the server's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.server_check import server_check
from podium_contracts.events import Event, LlmCall

MakeLog = Callable[[list[Event | bytes]], Path]
SERVER = "http://127.0.0.1:1406/v1"


def call(**fields: Any) -> LlmCall:
    base: dict[str, Any] = {
        "run_id": "r", "task_id": "a", "step": 1, "role": "orchestrator", "provider": "vllm", "model": "o",
        "server": SERVER, "duration_ms": 100.0, "queue_ms": 10.0, "prefill_ms": 20.0, "decode_ms": 60.0,
        "prompt_tokens": 100, "cached_tokens": 40, "completion_tokens": 5, "timing_source": "server",
    }  # fmt: skip
    return LlmCall(**(base | fields))


def sample(at_s: float, n: int, segment: int = 1) -> dict[str, Any]:
    """Counters after n calls like call()."""
    return {
        "mono_ms": at_s * 1000.0,
        "segment": segment,
        "vllm": {
            "queue_s_sum": n * 0.010, "prefill_s_sum": n * 0.020, "decode_s_sum": n * 0.060, "requests_total": n,
            "prompt_tokens_total": n * 100, "cached_tokens_total": n * 40, "generation_tokens_total": n * 5,
        },
    }  # fmt: skip


def ratios(check: dict[str, Any] | None) -> dict[str, Any]:
    assert check is not None
    return {one.name: one.ratio for one in check.sums}


def test_equal_sums_have_the_ratio_one(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        check = server_check(run, run.samples())
    assert check is not None
    assert check.server == SERVER
    assert check.n_segments == 2
    assert all(ratio == pytest.approx(1.0, abs=1e-4) for ratio in ratios(check).values())


def test_calls_outside_the_samples_are_left_out(make_log: MakeLog) -> None:
    folder = make_log([call() for _ in range(10)])  # written at 0 s, 1 s, … 9 s
    with load_run(folder) as run:
        check = server_check(run, [sample(1.5, 2), sample(4.5, 5), sample(7.5, 8)])
    assert check is not None
    assert check.n_calls == 6
    assert list(ratios(check).values()) == pytest.approx([1.0] * 7)


def test_experts_on_the_same_server_count_and_others_do_not(make_log: MakeLog) -> None:
    folder = make_log(
        [
            call(),
            call(role="expert", tool="search"),
            call(role="expert", tool="search", server="https://elsewhere.example/v1", queue_ms=None, prefill_ms=None),
            call(role="judge", error_type="timeout", queue_ms=None, prefill_ms=None, decode_ms=None),
            call(role="judge", error_type="bad_response"),  # answered, and nobody could read it
        ]
    )
    with load_run(folder) as run:
        check = server_check(run, [sample(-1, 0), sample(9, 3)])
    assert check is not None
    assert check.n_calls == 3
    assert ratios(check)["requests"] == 1.0


def test_a_restarted_server_counts_from_zero_again(make_log: MakeLog) -> None:
    folder = make_log([call() for _ in range(6)])
    with load_run(folder) as run:
        check = server_check(run, [sample(-1, 10), sample(2.5, 13), sample(5.5, 3)])
    assert check is not None
    assert check.n_restarts == 1
    assert ratios(check)["queue_ms"] == pytest.approx(1.0)


def test_a_disagreement_shows(make_log: MakeLog) -> None:
    folder = make_log([call(prefill_ms=520.0) for _ in range(4)])
    with load_run(folder) as run:
        found = ratios(server_check(run, [sample(-1, 0), sample(9, 4)]))
    assert found["prefill_ms"] == pytest.approx(26.0)
    assert found["decode_ms"] == pytest.approx(1.0)


def test_no_samples_no_check_and_nothing_counted_no_ratio(make_log: MakeLog) -> None:
    with load_run(make_log([call()])) as run:
        assert server_check(run, []) is None
        assert server_check(run, [{"mono_ms": 1.0, "vllm": None}]) is None
        check = server_check(run, [sample(-1, 3), sample(5, 3)])
        assert set(ratios(check).values()) == {None}
