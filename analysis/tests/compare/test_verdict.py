"""A verdict on two runs: against simulation and an independent power computation."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from podium_analysis.compare import gate
from podium_analysis.compare.verdict import verdict


def test_clear_differences_are_told_and_their_direction():
    up = [1.0] * 60 + [-1.0] * 10 + [0.0] * 130
    assert verdict(up).word == "better"
    assert verdict([-value for value in up]).word == "worse"
    assert verdict([0.0] * 50).word == "not told apart"


def test_a_sure_difference_below_interest_is_no_verdict():
    moved = [1.0] * 300 + [-1.0] * 100 + [0.0] * 19_600
    found = verdict(moved, smallest=2.0)
    assert (found.low > 0, found.word) == (True, "not told apart")
    assert "below the 2 points of interest" in str(found)
    assert verdict(moved, smallest=0.5).word == "better"


def test_equal_runs_are_told_apart_no_oftener_than_the_level():
    rng = np.random.default_rng(7)
    moved = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.7, 0.15], size=(4000, 200))
    told = sum(verdict(row, 0.05, 0.01).word != "not told apart" for row in moved)
    assert told / 4000 == pytest.approx(0.05, abs=0.012)


def test_the_number_of_questions_gives_the_power():
    rng = np.random.default_rng(8)
    p = [0.12, 0.7, 0.18]
    n = verdict(rng.choice([-1.0, 0.0, 1.0], p=p, size=100_000), smallest=6.0).n_needed
    spread = 0.3 - 0.06**2
    assert n == pytest.approx(spread * ((1.959964 + 0.841621) / 0.06) ** 2, rel=0.02)
    moved = rng.choice([-1.0, 0.0, 1.0], p=p, size=(3000, n))
    assert sum(verdict(row, 0.05, 0.01).word == "better" for row in moved) / 3000 == pytest.approx(0.8, abs=0.03)


def test_a_stricter_level_widens_the_interval():
    moved = [1.0] * 20 + [0.0] * 80
    five, one = verdict(moved, 0.05), verdict(moved, 0.01)
    assert (one.high - one.low) / (five.high - five.low) == pytest.approx(2.575829 / 1.959964, rel=1e-4)
    assert math.isclose(one.difference, 20.0)


@pytest.mark.parametrize("given", [([], 0.05, 2.0), ([0.0], 0.0, 2.0), ([0.0], 0.05, 0.0)])
def test_what_has_no_verdict_is_refused(given: tuple[list[float], float, float]):
    with pytest.raises(ValueError, match="a verdict needs"):
        verdict(*given)


@pytest.fixture
def gate_status(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        gate.register(parser.add_subparsers())
        args = parser.parse_args(["gate", *words])
        status = args.handler(args)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_gate_exits_1_for_a_worse_run_alone(
    make_run: Callable[..., Path], gate_status: Callable[..., tuple[int, str]]
) -> None:
    good, bad = str(make_run("good", n=150, accuracy=0.8)), str(make_run("bad", n=150, seed=2, accuracy=0.2))
    status, said = gate_status(bad, "--baseline", good)
    assert (status, said.split(":")[0]) == (1, "worse")
    status, said = gate_status(good, "--baseline", bad, "--level", "0.01")
    assert (status, said.split(":")[0]) == (0, "better")
    assert "99 % interval" in said
    status, said = gate_status(good, "--baseline", good)
    assert (status, said.split(":")[0]) == (0, "not told apart")


def test_gate_exits_2_where_there_is_no_verdict(
    make_run: Callable[..., Path], gate_status: Callable[..., tuple[int, str]]
) -> None:
    run = str(make_run("good", n=10))
    assert gate_status(run)[0] == 2
    assert gate_status(run, "--baseline", "no-such-run")[0] == 2
    assert gate_status(run, "--baseline", run, "--level", "2")[0] == 2
