import json
from pathlib import Path
from typing import Any

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval
from podium_eval.costs.estimate import estimate
from podium_eval.costs.prices import TokenPrice, UnitPrice
from podium_eval.costs.usage import Pieces, TaskUsage, Use, finished_tasks, past_runs


def price(each: float) -> TokenPrice:
    return TokenPrice("p", "m", input=each, output=each, cached_input=None, date="2026-11-22", source="test")


def task(name: str, duration_ms: float = 60_000.0, **uses: Use) -> TaskUsage:
    return TaskUsage("old", name, 1, uses, duration_ms, "done")


PAST = [
    task("a", orchestrator=Use(2, 1000, 500, 100), judge=Use(1, 200, 0, 50)),
    task("b", orchestrator=Use(4, 3000, 1500, 300), judge=Use(1, 200, 0, 50), **{"answer-1": Use(1, 500, 0, 500)}),
]
MODELS = {"orchestrator": "vllm/o", "judge": "openai/j", "answer-1": "openai/e"}


def test_past_tasks_are_scaled_by_hand():
    made = estimate(PAST, 10, 5, MODELS, {"orchestrator": None, "judge": price(1000.0), "answer-1": price(2000.0)}, {})
    parts = {part.name: part for part in made.parts}
    assert parts["orchestrator"].use == Use(30, 20_000, 10_000, 2_000)
    assert parts["orchestrator"].usd is None
    assert parts["judge"].usd == pytest.approx(10 * 0.25)
    assert parts["answer-1"].usd == pytest.approx(5 * 2.0)
    assert (made.usd, made.usd_per_task) == (pytest.approx(12.5), pytest.approx(1.25))
    assert (made.n_past, made.runs, made.unpriced) == (2, ("old",), ("orchestrator",))
    # Tasks cost 0.25 and 2.25: variance 2; 1.96 * sqrt(2 * (10 + 100 / 2)).
    assert made.high == pytest.approx(12.5 + 1.96 * 120**0.5)
    assert made.low == 0.0
    assert made.hours == pytest.approx(10 / 60 / 5)


def test_pieces_are_scaled_and_unknown_ones_are_named():
    past = [task("a"), task("b")]
    past[0].pieces = {"search": Pieces(2.0), "extract": Pieces(5.0, n_unknown=1), "code_second": Pieces(30.0)}
    past[1].pieces = {"search": Pieces(0.0)}
    search = UnitPrice("search", 0.01, "2026-11-22", "test")
    made = estimate(past, 20, 1, {}, {}, {"search": search, "extract": search, "code_second": None})
    assert [(part.unit, part.n, part.usd) for part in made.pieces] == [
        ("search", 20.0, pytest.approx(0.2)),
        ("extract", None, None),
        ("code_second", 300.0, None),
    ]
    assert (made.usd, made.usd_per_task) == (pytest.approx(0.2), pytest.approx(0.01))
    assert made.unpriced == ("extracted pages", "seconds of code")
    # Tasks cost 0.02 and 0: variance 0.0002; 1.96 * sqrt(0.0002 * (20 + 400 / 2)).
    assert made.high == pytest.approx(0.2 + 1.96 * (0.0002 * 220) ** 0.5)


def test_without_a_price_there_is_no_cost():
    made = estimate(PAST, 10, 5, {}, {}, {})
    assert (made.usd, made.low, made.usd_per_task) == (None, None, None)
    assert made.unpriced == ("answer-1", "judge", "orchestrator")
    assert [part.model for part in made.parts] == [None] * 3


def test_calls_without_token_counts_make_a_part_unknown():
    past = [task("a", judge=Use(2, 200, 0, 50, n_unknown=1))]
    made = estimate(past, 1, 1, {}, {"judge": price(1.0)}, {})
    assert made.usd is None


def test_one_task_has_no_interval_and_none_no_estimate():
    assert estimate(PAST[:1], 5, 1, MODELS, {"judge": price(1.0)}, {}).low is None
    with pytest.raises(ValueError, match="no past task"):
        estimate([], 5, 1, MODELS, {}, {})


def log(folder: Path, *events: dict[str, Any], tail: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("".join(json.dumps(e, separators=(",", ":")) + "\n" for e in events) + tail)
    return folder


def test_only_finished_tasks_of_the_newest_runs_count(tmp_path: Path):
    call = {"type": "llm_call", "task_id": "a", "epoch": 1, "role": "judge", "prompt_tokens": 5, "completion_tokens": 2}
    used = {"type": "tool_call", "task_id": "a", "epoch": 1, "status": "ok"}
    done = {"type": "task_complete", "task_id": "a", "epoch": 1, "status": "done", "duration_ms": 9.0}
    log(
        tmp_path / "r1",
        call,
        {**call, "error_type": "timeout"},
        {**call, "rejudge": True},
        {**call, "role": "expert", "alias": "answer-1", "cached_tokens": 3},
        {**call, "task_id": "b"},
        {**call, "prompt_tokens": None},
        {**used, "web_ms": 80.0, "web_searches": 1, "web_pages": 4},
        {**used, "web_ms": 80.0, "web_searches": 0},
        {**used, "exec_status": "ok", "code_ms": 1500.0},
        {**used, "exec_ms": 9.0},
        done,
        {**done, "task_id": "b", "status": "error"},
        tail='{"type":"llm_call","torn',
    )
    log(tmp_path / "r2", call)
    (found,) = finished_tasks(past_runs(tmp_path))
    assert (found.task_id, found.run_id, found.duration_ms) == ("a", "r1", 9.0)
    assert found.uses == {"judge": Use(2, 5, 0, 2, 1), "answer-1": Use(1, 5, 3, 2)}
    assert found.pieces == {"search": Pieces(1.0), "extract": Pieces(4.0, 1), "code_second": Pieces(1.5)}
    assert [run.name for run in past_runs(tmp_path, newest=1)] in (["r1"], ["r2"])
    assert past_runs(tmp_path / "none") == []


async def test_the_command_before_and_after_a_first_run(tmp_path: Path):
    (tmp_path / "prices.toml").write_text(
        '[[tokens]]\nprovider = "vllm"\nmodel = "expert"\ninput = 10.0\noutput = 10.0\n'
        'date = 2026-11-22\nsource = "this test"\n'
    )
    async with server() as stub:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", numbered(30))),
            prices_file=tmp_path / "prices.toml",
        )
        assert await run.run(command="estimate") == 1
        assert "holds no finished task" in run.said
        # 30 tasks of an expert's 4 calls, 3,500 tokens in and 1,500 out, each at 10 USD a million: 6 USD.
        assert "An order of magnitude, from assumptions and no measurement: 2 to 18 USD." in run.said
        assert "orchestrator: 4 calls a task, 3,500 tokens in, 300 out (no price: left out)" in run.said
        assert max(map(len, run.said.splitlines())) <= 80 or str(tmp_path) in run.said
        assert await run.run("--limit", "3") == 0
        assert await run.run("--epochs", "2", "--run-id", "next", command="estimate") == 0
    assert "60 tasks: 30 questions of" in run.said
    assert "An estimate from 3 finished tasks of run; not a measurement." in run.said
    cost = sum(record.cost_usd or 0.0 for record in run.records().values())
    assert f"cost: about {cost * 20:,.4f} USD (95% prediction" in run.said
    assert "without orchestrator" in run.said
