import pytest
from podium_eval.scheduling.adaptive import Adaptive
from podium_eval.scheduling.order import DepthFirst, Turn
from podium_eval.scheduling.serving_model import Job, Outcome, simulate
from scheduling.regimes import A, B, C, D, exponential, h200, jobs

Regime = tuple[int, list[Job], int]


def adaptive(regime: Regime) -> Outcome:
    kv_tokens, tasks, at_once = regime
    order = Adaptive(kv_tokens, at_once=at_once, longest_wait_s=300.0)
    return simulate(h200(kv_tokens), tasks, at_once=at_once, order=order)


def server(regime: Regime) -> Outcome:
    return simulate(h200(regime[0]), regime[1], at_once=regime[2])


def depth_first(regime: Regime) -> Outcome:
    return simulate(h200(regime[0], 96), regime[1], at_once=regime[2], order=DepthFirst())


@pytest.mark.parametrize("regime", [A, B, C, D], ids=["A", "B", "C", "D"])
def test_adaptive_makes_what_the_best_other_order_makes(regime: Regime) -> None:
    best = max(server(regime).turns_per_s, depth_first(regime).turns_per_s)
    assert adaptive(regime).turns_per_s >= 0.95 * best


@pytest.mark.parametrize("regime", [B, C, D], ids=["B", "C", "D"])
def test_turns_wait_no_longer_where_holding_does_not_pay(regime: Regime) -> None:
    assert adaptive(regime).latency_s(0.99) <= 1.2 * server(regime).latency_s(0.99)


@pytest.mark.parametrize("tool_s", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("kv_tokens", [200_000, 400_000])
def test_no_regime_loses_more_than_a_tenth(kv_tokens: int, tool_s: float) -> None:
    regime = kv_tokens, jobs(192, 10, exponential(tool_s)), 96
    best = max(server(regime).turns_per_s, depth_first(regime).turns_per_s)
    assert adaptive(regime).turns_per_s >= 0.9 * best


def test_nobody_waits_longer_than_the_limit() -> None:
    kv_tokens, tasks, at_once = A[0], A[1][:256], 256
    order = Adaptive(kv_tokens // 4, at_once=at_once, longest_wait_s=20.0)
    outcome = simulate(h200(kv_tokens // 4), tasks, at_once=at_once, order=order)
    assert max(outcome.waits_s) <= 20.0 + 1.0
    assert len(outcome.ends_s) == 256


def test_the_limit_of_waiting_holds_before_any_tool_came_back() -> None:
    order = Adaptive(10_000_000, at_once=400, longest_wait_s=10.0)
    for place in range(400):
        order.arrive(place, 700, 0.0)
    assert len(order.admitted(0.0)) == 128
    assert order.admitted(9.0) == []
    assert sorted(order.admitted(11.0)) == list(range(128, 400))


def test_a_task_that_leaves_makes_room() -> None:
    order = Adaptive(10_000, at_once=8, longest_wait_s=60.0)
    for place in range(8):
        order.arrive(place, 4000, 0.0)
    first = order.admitted(0.0)
    assert first == [0, 1, 2, 3]
    assert order.admitted(0.0) == []
    order.left(0, 1.0)
    assert order.admitted(1.0) == [4]


def test_a_failed_turn_gives_its_room_back() -> None:
    order = Adaptive(10_000, at_once=8, longest_wait_s=60.0)
    for place in range(6):
        order.arrive(place, 4000, 0.0)
    order.admitted(0.0)
    order.answered(2, None, 1.0)
    assert order.admitted(1.0) == [4]


def test_the_lowest_place_goes_first() -> None:
    order = Adaptive(10_000, at_once=8, longest_wait_s=60.0)
    for place in (7, 3, 5, 1, 6, 2):
        order.arrive(place, 4000, 0.0)
    assert order.admitted(0.0) == [1, 2, 3, 5]
    assert order.priority(5) == 5


def test_turns_without_times_keep_it_holding() -> None:
    order = Adaptive(10_000, at_once=2, longest_wait_s=60.0)
    for n in range(100):
        order.arrive(0, 1000, float(n))
        assert order.admitted(float(n)) == [0]
        order.answered(0, Turn(1000, None, 10), n + 0.5)
    assert order.holding
