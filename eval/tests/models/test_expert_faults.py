"""Experts that fail in every way servers can: shown to the orchestrator as failed tools, never graded as wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness.chain import EXPERTS, TURNS, call, numbered, questions, server
from harness.process import Eval, assert_whole
from loopback.openai_server import Fault, Reply, Rule, Rules

FAULTS = {
    "429": Fault("status", status=429, retry_after="0.05"),
    "500": Fault("status", status=500),
    "503 with Retry-After": Fault("status", status=503, retry_after="0.05"),
    "hang": Fault("hang"),
    "reset connection": Fault("reset"),
    "half a JSON body": Fault("half_json"),
    "body cut short": Fault("half_body"),
    "empty choices": Fault("empty_choices"),
    "null content": Fault("null_content"),
    "40 MB answer": Fault("huge"),
    "a proxy's page": Fault("html"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_an_expert_that_fails_now_and_then_costs_no_answer(name: str, tmp_path: Path) -> None:
    ids = numbered(6)
    async with server() as stub, server(fault=FAULTS[name], every=3) as experts:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ids),
            experts=experts.address,
            expert_timeout_s=2,
            concurrency=6,
        )
        assert await run.run() == 0, run.said
    assert_whole(run, ids)
    failed = [event for event in run.events("llm_call") if event.get("error_type")]
    retried = [event for event in run.events("llm_call") if event["attempts"] > 1]
    assert failed or retried, "the fault was never met"
    if name in ("429", "503 with Retry-After"):
        assert any(event["limit"] < event["previous"] for event in run.events("limit"))
        assert "[LIMIT] vllm" in run.said
        assert "[LIMIT] vllm" in run.folder.log.read_text()


@pytest.mark.parametrize(
    ("name", "error_type"),
    [
        ("500", "server_error"),
        ("hang", "timeout"),
        ("null content", "bad_response"),
        ("reset connection", "connection"),
    ],
)
async def test_a_resume_repairs_tasks_of_a_failing_expert(name: str, error_type: str, tmp_path: Path) -> None:
    ids = numbered(3)
    async with server() as stub, server(fault=FAULTS[name]) as experts:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ids),
            experts=experts.address,
            expert_timeout_s=0.5,
            model_attempts=2,
            max_tool_failures=2,
            breaker_failures=100,
        )
        assert await run.run() == 1, run.said
        for record in run.records().values():
            assert (record.status, record.error_type, record.correct) == ("error", error_type, None)
            assert record.answer_text is None
            assert [turn.status for turn in record.turns] == ["failed", "failed"]
        assert all(id_ in run.said for id_ in ids)
        assert run.events("run_end")[-1]["n_error"] == 3
        experts.fault = None
        assert await run.run() == 0, run.said
        assert_whole(run, ids)
        asked = stub.stats.chat_requests
        assert await run.run() == 0, "a graded task was asked again"
        assert stub.stats.chat_requests == asked


async def test_after_a_failed_tool_the_orchestrator_may_choose_another(tmp_path: Path) -> None:
    script = [
        Rule([call("answer", "answer-2")], contains=("Call one tool now", "answer with answer-1 failed")),
        Rule([call("answer", "answer-1")], contains=("Call one tool now",)),
        *EXPERTS,
    ]
    refusing = Fault("status", status=400, body="the prompt is flagged by our content policy")
    async with server(script=script) as stub, server(fault=refusing) as broken:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["one"]),
            expert_answer_1=f"vllm/broken@{broken.address}/v1",
        )
        assert await run.run() == 0, run.said
    assert_whole(run, ["one"])
    turns = run.records()["one"].turns
    assert [(turn.alias, turn.status, turn.error_type) for turn in turns] == [
        ("answer-1", "failed", "content_filter"),
        ("answer-2", "ok", None),
    ]


def odd(call_: Reply, marker: str) -> Rule:
    """The first turn of the question that holds `marker`."""
    return Rule([call_], contains=("Call one tool now", f"Question {marker}:"), absent=("## Turn 1",))


async def test_turns_that_call_nothing_valid_are_counted_and_end_nothing(tmp_path: Path) -> None:
    ten = tuple(("search", json.dumps({"model": f"search-{n % 3 + 1}"})) for n in range(10))
    oddities = {
        "wrong-tool": Reply(text=None, tool_calls=(("browse", '{"model":"search-1"}'),)),
        "wrong-model": Reply(text=None, tool_calls=(("search", '{"model":"gpt-9"}'),)),
        "no-model": Reply(text=None, tool_calls=(("search", "{}"),)),
        "no-json": Reply(text=None, tool_calls=(("search", '{"model": "search-1'),)),
        "a-list": Reply(text=None, tool_calls=(("search", '["search-1"]'),)),
        "words": Reply(text="I would rather search first."),
        "nothing": Reply(text=""),
    }
    good = {
        "ten": Reply(text=None, tool_calls=ten),
        "written": Reply(text='<tool_call>{"name": "search", "arguments": {"model": "search-2"}}</tool_call>'),
        "thought": Reply(
            text=None, reasoning='So: <tool_call>{"name": "search", "arguments": {"model": "search-3"}}</tool_call>'
        ),
    }
    first = [
        Rule([reply], contains=("Call one tool now", f"Question {id_}:"), absent=("## Document",))
        for id_, reply in good.items()
    ]
    script = [*(odd(reply, id_) for id_, reply in oddities.items()), *first, *TURNS, *EXPERTS]
    ids = [*oddities, *good]
    async with server(script=script) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        assert await run.run() == 0, run.said
    assert_whole(run, ids)
    records = run.records()
    for id_ in oddities:
        assert records[id_].turns[0].status == "invalid", id_
        assert (records[id_].rounds, records[id_].invalid_turns) == (4, 1)
    for id_, alias in (("ten", "search-1"), ("written", "search-2"), ("thought", "search-3")):
        assert (records[id_].turns[0].status, records[id_].turns[0].alias) == ("ok", alias)
        assert records[id_].rounds == 3
    invalid = [event for event in run.events("tool_call") if event["status"] == "invalid"]
    assert sorted(event["tool"] for event in invalid) == sorted(
        ["browse", "search", "search", "search", "search", "", ""]
    )


async def test_after_a_failed_judge_only_the_judge_is_asked(tmp_path: Path) -> None:
    wordy = Rule([Reply(text="<answer>six times seven, which is forty-two</answer>")], contains=("Answer the problem",))
    verdict = Rule([Reply(text='{"correct": true}')], contains=("Compare an answer",))
    async with server(script=[*TURNS, wordy, *EXPERTS]) as stub, server(script=[verdict]) as judge:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["one"]),
            judge=f"vllm/judge@{judge.address}/v1",
            model_attempts=2,
        )
        judge.fault = Fault("status", status=500)
        assert await run.run() == 1, run.said
        record = run.records()["one"]
        assert (record.status, record.error_type, record.correct) == ("error", "judge_error", None)
        assert record.answer_text is not None
        asked = stub.stats.chat_requests
        judge.fault = None
        assert await run.run() == 0, run.said
        assert stub.stats.chat_requests == asked
    record = run.records()["one"]
    assert (record.status, record.correct, record.rounds, record.attempts) == ("done", True, 3, 2)


async def test_a_late_failure_resumes_behind_the_last_good_turn(tmp_path: Path) -> None:
    def refuses_the_third_turn(body: dict[str, Any]) -> Fault | None:
        text = json.dumps(body)
        third = "Call one tool now" in text and "## Program" in text
        return Fault("status", status=400, body="no such parameter") if third else None

    async with server(handler=refuses_the_third_turn) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["one"]))
        assert await run.run() == 1, run.said
        record = run.records()["one"]
        assert (record.error_type, record.rounds, record.correct) == ("bad_request", 2, None)
        stub.handler = None
        assert await run.run() == 0, run.said
    assert_whole(run, ["one"])
    assert run.records()["one"].attempts == 2
    assert [event["step"] for event in run.events("tool_call")] == [1, 2, 3], "a good turn was taken again"


async def test_five_refused_keys_stop_the_run(tmp_path: Path) -> None:
    ids = numbered(40)
    async with server() as stub, server(rules=Rules(api_key="right")) as experts:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ids),
            experts=experts.address,
            expert_api_key="wrong-key-of-a-user",
            concurrency=2,
        )
        assert await run.run() == 1, run.said
        assert "EXPERT_API_KEY" in run.said
        assert run.events("run_end")[-1]["reason"] == "auth_failures"
        assert experts.stats.chat_requests <= 7
        await assert_nowhere(run, "wrong-key-of-a-user")
        assert await run.run(env={"EXPERT_API_KEY": "right"}) == 0, run.said
    assert_whole(run, ids)


async def assert_nowhere(run: Eval, secret: str) -> None:
    """The secret is in no file of the run and in nothing that it said."""
    assert secret not in run.said
    for path in run.runs.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


async def test_a_secret_in_an_answer_is_redacted_everywhere(tmp_path: Path) -> None:
    secret = 'sk-very"secret/key+1'
    echo: list[Any] = [
        *TURNS,
        *EXPERTS[:1],
        Rule([Reply(text=f"```python\nprint({secret!r})\n```")], contains=("Write one Python program",)),
        Rule([Reply(text=f"{secret}\n<answer>42</answer>")], contains=("Answer the problem",)),
    ]
    async with server(script=echo) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["one"]), expert_api_key=secret)
        assert await run.run() == 0, run.said
    await assert_nowhere(run, secret)
    await assert_nowhere(run, json.dumps(secret)[1:-1])
    assert_whole(run, ["one"])
    assert "[redacted]" in (run.records()["one"].answer_text or "")
