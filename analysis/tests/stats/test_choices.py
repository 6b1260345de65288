"""Which tools and models were chosen, in what order, from logs with a known answer."""

from collections.abc import Callable
from pathlib import Path

from podium_analysis.load.run_data import load_run
from podium_analysis.stats.choices import StepChoice, choice_statistics
from podium_analysis.stats.counted import counted_events
from podium_analysis.stats.usage import CallErrors, ToolErrors, error_statistics, token_statistics
from podium_contracts.events import Event, LlmCall, TaskStart, ToolCall

MakeLog = Callable[[list[Event | bytes]], Path]


def use(task: str, step: int, tool: str, status: str = "ok", alias: str = "x-1", epoch: int = 1) -> ToolCall:
    return ToolCall(
        run_id="r", task_id=task, step=step, epoch=epoch, tool=tool, alias=alias, provider="p", model=f"m-{alias}",
        duration_ms=1.0, duration_total_ms=1.0, status=status, error_type="timeout" if status == "failed" else None,
    )  # type: ignore[arg-type]  # fmt: skip


def test_order_is_kept_within_a_task_and_epoch(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [
        use("a", 1, "search"), use("b", 1, "answer"), use("a", 2, "search", "failed"), use("a", 1, "answer", epoch=2),
        use("a", 3, "browse", "invalid"), use("a", 4, "answer", alias="x-2"),
    ]  # fmt: skip
    with load_run(make_log(events)) as run:
        found = choice_statistics(run, counted_events(run))
        errors = error_statistics(run)
    assert {(t.before, t.after): t.n for t in found.transitions} == {
        ("start", "search"): 1,
        ("start", "answer"): 2,
        ("search", "search"): 1,
        ("search", "invalid"): 1,
        ("invalid", "answer"): 1,
        ("answer", "end"): 3,
    }
    assert sum(t.share_of_from for t in found.transitions if t.before == "search") == 1.0
    assert {tuple(o.tools): o.n for o in found.openings} == {
        ("answer",): 2,
        ("search", "search", "invalid"): 1,
    }
    tools = {tool.tool: tool for tool in found.tools}
    assert tools["search"].by_status == {"ok": 1, "failed": 1}
    assert tools["invalid"].n == 1
    assert found.n == sum(tool.n for tool in found.tools) == 6
    assert [(m.alias, m.n, m.n_ok) for m in found.models if m.tool == "answer"] == [
        ("x-1", 2, 2),
        ("x-2", 1, 1),
    ]
    assert found.by_step[0] == StepChoice(1, {"answer": 2, "search": 1})
    assert errors.tools == [ToolErrors("search", "timeout", 1)]


def test_an_earlier_attempts_choices_are_no_transition(make_log: MakeLog) -> None:
    events: list[Event | bytes] = [
        TaskStart(run_id="r", task_id="a"), use("a", 1, "search"), TaskStart(run_id="r", task_id="a", attempt=2),
        use("a", 1, "answer"),
    ]  # fmt: skip
    with load_run(make_log(events)) as run:
        found = choice_statistics(run, counted_events(run))
    assert {(t.before, t.after) for t in found.transitions} == {("start", "answer"), ("answer", "end")}
    assert found.n == 2


def test_unknown_tokens_are_counted_apart_and_never_as_zero(make_log: MakeLog) -> None:
    def call(prompt: int | None, error: str | None = None) -> LlmCall:
        return LlmCall(
            run_id="r", role="expert", provider="p", model="m", duration_ms=1.0, prompt_tokens=prompt, error_type=error
        )  # type: ignore[arg-type]

    with load_run(make_log([call(10), call(None), call(5), call(None, "timeout")])) as run:
        (role,) = token_statistics(run).by_role
        errors = error_statistics(run)
    assert (role.n_calls, role.n_failed, role.prompt_tokens, role.n_unknown_prompt_tokens) == (4, 1, 15, 2)
    assert (role.completion_tokens, role.n_unknown_completion_tokens) == (None, 4)
    assert errors.calls == [CallErrors("expert", "p", "m", "timeout", 1)]
