import json
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.charges import CostLine
from podium_analysis.stats.costs import costs, task_costs
from podium_contracts.events import Event, LlmCall, TaskComplete, ToolCall, event_to_json


def call(task: str, role: str, tool: str | None, model: str, usd: float | None, **fields: Any) -> LlmCall:
    return LlmCall(
        run_id="r",
        task_id=task,
        role=role,  # type: ignore[arg-type]
        tool=tool,  # type: ignore[arg-type]
        provider="openai" if model.startswith("gpt") else "vllm",
        model=model,
        duration_ms=1.0,
        cost_usd=usd,
        prompt_tokens=fields.pop("prompt", 100),
        completion_tokens=10,
        **fields,
    )


def done(task: str, correct: bool | None) -> TaskComplete:
    return TaskComplete(
        run_id="r", task_id=task, status="done", ending="answered", correct=correct, rounds=1, duration_ms=1.0
    )


def used(tool: str, task: str = "a", **fields: Any) -> ToolCall:
    return ToolCall(run_id="r", task_id=task, tool=tool, duration_ms=1, duration_total_ms=1, status="ok", **fields)


EVENTS: list[Event] = [
    call("a", "orchestrator", None, "orchestrator", None),
    call("a", "expert", "search", "gpt-5", 0.01, alias="search-1", cached_tokens=50),
    call("a", "expert", "answer", "gpt-5", 0.04, alias="answer-1"),
    call("a", "judge", "answer", "gpt-5-mini", 0.002),
    done("a", True),
    call("b", "orchestrator", None, "orchestrator", None),
    call("b", "expert", "answer", "gpt-5", None, alias="answer-1", error_type="timeout", prompt=None),
    call("b", "expert", "answer", "gpt-5", 0.05, alias="answer-1", epoch=1),
    call("b", "judge", "answer", "gpt-5-mini", 0.002),
    done("b", True),
    call("c", "orchestrator", None, "orchestrator", None),
    done("c", False),
]


def write(folder: Path, events: list[Event], **manifest: Any) -> Path:
    folder.mkdir()
    lines = [{"ts": "t", "level": "INFO", "mono_ms": i * 1000.0, **event_to_json(e)} for i, e in enumerate(events)]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def named(lines: tuple[CostLine, ...]) -> dict[str, float | None]:
    return {line.name: None if line.usd is None else round(line.usd, 6) for line in lines}


def test_every_way_of_cutting_sums_to_the_same_dollars(tmp_path: Path):
    folder = write(tmp_path / "r", EVENTS)
    again = [call("a", "judge", "answer", "gpt-5", 9.0, rejudge=True), done("a", True)]
    again.append(call("b", "judge", "answer", "gpt-5", None, rejudge=True, error_type="timeout", prompt=None))
    (folder / "rejudge.jsonl").write_text("".join(json.dumps(event_to_json(e)) + "\n" for e in again) + '{"type":"llm')
    with load_run(folder) as run:
        got, tasks = costs(run), task_costs(run)
        assert [(t.task_id, round(t.usd or 0, 6)) for t in task_costs(run, dearest=1)] == [("a", 0.052)]
    assert got.total.usd == pytest.approx(0.104)
    assert (got.total.calls, got.total.n_priced, got.total.n_unpriced, got.total.n_failed) == (9, 5, 3, 1)
    assert (got.total.prompt_tokens, got.total.cached_tokens, got.total.completion_tokens) == (800, 50, 90)
    assert named(got.by_role) == {"expert": 0.1, "judge": 0.004, "orchestrator": None}
    assert named(got.by_tool) == {"answer": 0.094, "search": 0.01, "orchestrator": None}
    assert named(got.by_model) == {"openai/gpt-5": 0.1, "openai/gpt-5-mini": 0.004, "vllm/orchestrator": None}
    assert named(got.by_alias) == {"answer-1": 0.09, "search-1": 0.01, "judge": 0.004, "orchestrator": None}
    assert [(t.task_id, t.usd if t.usd is None else round(t.usd, 6), t.n_unpriced) for t in tasks] == [
        ("a", 0.052, 1),
        ("b", 0.052, 1),
        ("c", None, 1),
    ]
    assert (got.n_correct, got.at_least) == (2, True)
    assert got.per_correct_usd == pytest.approx(0.052)
    assert (got.rejudges.calls, got.rejudges.usd, got.rejudges.n_failed, got.rejudges.n_unpriced) == (2, 9.0, 1, 0)
    assert got.rejudges.prompt_tokens == 100


def test_what_tools_paid_by_the_piece_is_in_every_cut(tmp_path: Path):
    prices = {"search": {"usd": 0.008}, "extract": {"usd": 0.0016}, "gpu_hour": {"usd": 3.6}}
    events: list[Event] = [
        call("a", "judge", "answer", "gpt-5", 0.1, alias=None),
        used("search", web_ms=80.0, web_searches=1, web_pages=5, cost_usd=0.016),
        used("search", web_ms=10.0, web_searches=0, web_pages=0),
        used("search", "b", web_ms=900.0, web_searches=1, cost_usd=0.008, n_unpriced=1),
        used("enhance_reasoning", "b", exec_ms=900.0, exec_status="ok", code_ms=500.0, n_unpriced=1),
        used("answer", "b"),
        done("a", True),
        done("b", False),
    ]
    with load_run(write(tmp_path / "r", events, prices=prices, gpus=[])) as run:
        got, tasks = costs(run), task_costs(run)
    assert named(got.by_role) == {"judge": 0.1, "web": 0.024, "sandbox": None}
    assert named(got.by_model) == {"openai/gpt-5": 0.1, "web": 0.024, "sandbox": None}
    assert named(got.by_alias) == {"judge": 0.1, "web": 0.024, "sandbox": None}
    assert named(got.by_tool) == {"answer": 0.1, "search": 0.024, "enhance_reasoning": None}
    assert (got.total.calls, got.total.n_priced, got.total.n_unpriced, got.total.n_failed) == (4, 3, 2, 0)
    assert [(t.task_id, t.usd and round(t.usd, 6), t.n_unpriced) for t in tasks] == [
        ("a", 0.116, 0),
        ("b", 0.008, 2),
    ]
    units = {unit.unit: (unit.quantity, unit.usd and round(unit.usd, 6)) for unit in got.units}
    assert units == {
        "search": (2.0, 0.016),
        "extract": (5.0, 0.008),
        "code_second": (0.5, None),
        "gpu_hour": (0.0, 0.0),
    }
    assert got.total_usd == pytest.approx(0.124), "pieces are paid once"
    assert (got.at_least, got.per_correct_usd) == (True, pytest.approx(0.124))


def test_pieces_of_an_older_log_are_priced_by_its_manifest(tmp_path: Path):
    prices = {"code_second": {"usd": 0.001}, "gpu_hour": {"usd": 3.6}}
    events = [*EVENTS, used("enhance_reasoning", exec_ms=1500.0), used("search", exec_ms=500.0, web_ms=80.0)]
    folder = write(tmp_path / "r", events, prices=prices, gpus=[{}, {}])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    new = ("web_searches", "web_pages", "code_ms", "cost_usd", "n_unpriced")
    old = [{k: v for k, v in line.items() if line["type"] != "tool_call" or k not in new} for line in lines]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    with load_run(folder) as run:
        got = costs(run)
    units = {unit.unit: unit for unit in got.units}
    assert (units["code_second"].quantity, units["code_second"].usd) == (2.0, 0.002)
    assert units["gpu_hour"].quantity == pytest.approx(13 / 3600 * 2)
    assert (units["search"].quantity, units["search"].usd) == (1.0, None)
    assert got.total_usd == pytest.approx(0.104 + 0.002 + 13 / 3600 * 2 * 3.6)
    assert got.at_least, "the web search has no price"


def test_models_on_ones_own_gpus_are_paid_by_the_hour(tmp_path: Path):
    events = [call("a", "orchestrator", None, "orchestrator", None), call("a", "judge", "answer", "gpt-5", 0.1)]
    with load_run(write(tmp_path / "r", events, prices={"gpu_hour": {"usd": 3.0}}, gpus=[{}])) as run:
        assert not costs(run).at_least
    events[1] = call("a", "judge", "answer", "gpt-5", None)
    with load_run(write(tmp_path / "s", events, prices={"gpu_hour": {"usd": 3.0}}, gpus=[{}])) as run:
        assert costs(run).at_least


def test_a_run_without_any_price_has_no_cost(tmp_path: Path):
    events = [call("a", "orchestrator", None, "orchestrator", None), done("a", True)]
    with load_run(write(tmp_path / "r", events, prices={"gpu_hour": {"usd": 3.0}}, gpus=[])) as run:
        got = costs(run)
    assert (got.total.usd, got.total_usd, got.per_correct_usd, got.at_least) == (None, None, None, True)


def test_free_is_not_unknown(tmp_path: Path):
    with load_run(write(tmp_path / "r", [call("a", "orchestrator", None, "o", 0.0), done("a", True)])) as run:
        got = costs(run)
    assert (got.total_usd, got.per_correct_usd, got.at_least) == (0.0, 0.0, False)


def test_a_log_without_calls(tmp_path: Path):
    with load_run(write(tmp_path / "r", [done("a", False)])) as run:
        got, tasks = costs(run), task_costs(run)
        assert task_costs(run, dearest=10) == ()
    assert (got.total.calls, got.total.usd, got.total_usd, got.by_role) == (0, None, None, ())
    assert tasks[0].usd is None
