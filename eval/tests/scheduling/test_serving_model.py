import pytest
from podium_eval.scheduling.order import DepthFirst
from podium_eval.scheduling.serving_model import Job, Outcome, simulate
from scheduling.regimes import A, B, D, h200


def test_one_task_takes_the_sum_of_its_parts() -> None:
    replica = h200(100_000)
    outcome = simulate(replica, [Job((1000, 2000), (10, 20), (3.0,))], at_once=1)
    fresh = 1000 + (2000 - 1010)
    read = sum(1000 + n for n in range(10)) + sum(2000 + n for n in range(20))
    steps = 30 * (replica.step_s + replica.weights_s) + fresh * replica.prefill_s + read * replica.kv_s
    assert outcome.wall_s == pytest.approx(steps + 3.0)
    assert outcome.cached_tokens == 1010
    assert len(outcome.latencies_s) == 2
    assert len(outcome.ends_s) == 1


def test_a_cache_with_room_keeps_every_prefix() -> None:
    kv_tokens, tasks, at_once = D
    outcome = simulate(h200(kv_tokens), tasks, at_once=at_once)
    kept = sum(sum(before + 128 for before in job.prompts[:-1]) for job in tasks)
    assert outcome.cached_tokens == kept


@pytest.mark.parametrize(
    ("regime", "order", "sequences", "measured"),
    [(A, None, 256, 10.5), (A, DepthFirst(), 96, 19.6), (B, None, 256, 4.72), (B, DepthFirst(), 20, 4.27)],
    ids=["A server", "A depth first", "B server", "B depth first"],
)
def test_measured_turns_a_second_within_fifteen_percent(
    regime: tuple[int, list[Job], int], order: DepthFirst | None, sequences: int, measured: float
) -> None:
    kv_tokens, tasks, at_once = regime
    outcome = simulate(h200(kv_tokens, sequences), tasks, at_once=at_once, order=order)
    assert outcome.turns_per_s == pytest.approx(measured, rel=0.15)


def test_quantiles_of_no_waiting_order_are_the_server_s() -> None:
    outcome = simulate(h200(50_000), B[1][:8], at_once=4)
    assert outcome.waits_s == [0.0] * len(outcome.latencies_s)
    assert outcome.latency_s(0.5) <= outcome.latency_s(0.99) == max(outcome.latencies_s)


def test_same_input_gives_the_same_outcome() -> None:
    runs: list[Outcome] = [simulate(h200(60_000), B[1][:16], at_once=8) for _ in range(2)]
    assert runs[0] == runs[1]
