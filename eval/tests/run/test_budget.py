import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole
from podium_contracts.events import LlmCall, TaskComplete
from podium_eval.clock import SystemClock
from podium_eval.log.meter import Meter
from podium_eval.run.budget import Budget, unpriced_problem


def budget(limit: float, **fields: Any) -> Budget:
    return Budget(limit, Meter(SystemClock(), total=100), **fields)


def call(of: Budget, task: str, usd: float | None) -> None:
    event = LlmCall(run_id="r", task_id=task, role="expert", provider="p", model="m", duration_ms=1.0, cost_usd=usd)
    of.meter.observe(event)
    of.observe(event)


def end(of: Budget, task: str, usd: float | None, status: str = "done") -> None:
    event = TaskComplete(
        run_id="r",
        task_id=task,
        status=status,  # type: ignore[arg-type]
        ending="answered" if status == "done" else "error",
        correct=None,
        rounds=1,
        duration_ms=1.0,
        cost_usd=usd,
    )
    of.meter.observe(event)
    of.observe(event)


async def admitted(of: Budget, task: str) -> bool | None:
    """None: it waits."""
    try:
        return await asyncio.wait_for(of.admit(task, 1), 0.01)
    except TimeoutError:
        return None


async def test_pilots_first_then_what_they_cost():
    of = budget(10.0, pilots=2)
    assert [await admitted(of, name) for name in "abc"] == [True, True, None]
    waiting = asyncio.ensure_future(of.admit("c", 1))
    call(of, "a", 2.0)
    end(of, "a", 2.0)
    assert await waiting is True
    assert (of.per_task_usd, of.ahead_usd) == (2.0, 4.0)
    call(of, "b", 1.5)
    assert of.ahead_usd == pytest.approx(2.5), "what b has spent is no longer ahead"
    assert [await admitted(of, name) for name in "de"] == [True, True]
    assert of.meter.spent_usd + of.ahead_usd == pytest.approx(10.0)
    assert await admitted(of, "f") is False
    assert "3.5000 spent, about 6.5000 in flight" in of.describe()


async def test_past_runs_make_pilots_needless():
    of = budget(1.0, expected_usd=0.25, pilots=1)
    assert [await admitted(of, name) for name in "abcde"] == [True, True, True, True, False]


async def test_a_pilot_that_failed_lets_another_one_go():
    of = budget(1.0, pilots=1)
    assert [await admitted(of, "a"), await admitted(of, "b")] == [True, None]
    end(of, "a", None, status="error")
    assert await admitted(of, "b") is True
    assert of.per_task_usd is None


async def test_pilots_that_spend_it_all_end_it():
    of = budget(1.0, pilots=1)
    assert await admitted(of, "a") is True
    call(of, "a", 1.2)
    assert await admitted(of, "b") is False


async def test_what_earlier_segments_spent_counts():
    of = budget(1.0)
    of.meter.spent_usd = 1.0
    assert await admitted(of, "a") is False


async def test_calls_without_a_price_are_said():
    of = budget(1.0)
    call(of, "a", None)
    assert "1 calls without a price not counted" in of.describe()


def test_a_budget_needs_prices():
    assert unpriced_problem(5.0, []) is None
    problem = unpriced_problem(5.0, ["openai/gpt-x", "openai/gpt-x", "nebius/y"])
    assert problem is not None
    assert "no price is known for openai/gpt-x, nebius/y; add rows with PRICES_FILE" in problem


PRICES = """
[[tokens]]
provider = "vllm"
model = "*"
input = 1000.0
output = 1000.0
date = 2026-11-22
source = "this test"
"""


async def test_a_run_stops_within_its_budget_and_resumes(tmp_path: Path):
    ids = numbered(60)
    (tmp_path / "prices.toml").write_text(PRICES)
    async with server(latency_s=0.02) as stub:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            concurrency=32,
            prices_file=tmp_path / "prices.toml",
        )
        assert await run.run("--limit", "2") == 0
        each = max(record.cost_usd or 0.0 for record in run.records().values())
        assert each > 0
        spent = sum(record.cost_usd or 0.0 for record in run.records().values())
        limit = spent + 20 * each
        assert await run.run(env={"BUDGET": f"{limit}"}) == 1
        assert run.events("run_end")[-1]["reason"] == "budget"
        assert f"BUDGET={limit:g} USD" in run.said
        costs = sum(record.cost_usd or 0.0 for record in run.records().values())
        assert limit - 3 * each <= costs <= limit + each
        assert {record.status for record in run.records().values()} == {"done"}
        assert await run.run(env={"BUDGET": f"{100 * each}"}) == 0
        assert_whole(run, ids)


async def test_a_budget_that_cannot_see_a_models_price_is_refused(tmp_path: Path):
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), budget=5)
        extra = {"JUDGE": "openai/no-such-model-1", "OPENAI_API_KEY": "k"}
        assert await run.run(env=extra) == 2
    assert "BUDGET=5 cannot be held: no price is known for openai/no-such-model-1" in run.said
