"""A run in which nothing works must not look well."""

import logging
from pathlib import Path
from typing import Any

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval
from loopback.openai_server import Reply, Rule
from podium_contracts.events import ToolCall
from podium_eval.log.troubles import Troubles

NOTHING = [Rule([Reply(text="I would rather not.")], contains=("Call one tool now",))]
IDS: dict[str, Any] = {"run_id": "r", "task_id": "q", "eid": 0, "epoch": 1, "step": 1, "segment": 1}


def turn(*, valid: bool) -> ToolCall:
    status: Any = "ok" if valid else "invalid"
    reason = None if valid else "no such tool"
    return ToolCall(**IDS, tool="x", duration_ms=0.0, duration_total_ms=0.0, status=status, error_message=reason)


def test_the_first_trouble_and_long_rows_are_named(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[str] = []
    troubles = Troubles(3, rows.append)
    with caplog.at_level(logging.WARNING):
        for valid in (False, True, False, False, True, False, False, False, False):
            troubles.observe(turn(valid=valid))
    assert [record.getMessage() for record in caplog.records] == [
        "[TROUBLE] the first of the turns that are invalid: task q: no such tool",
        "[TROUBLE] 3 turns in a row invalid, the last: no such tool",
    ]
    assert rows == ["3 turns in a row invalid, the last: no such tool"]
    assert troubles.lines() == ["7 of 9 turns invalid"]


def test_a_run_without_trouble_has_no_line() -> None:
    troubles = Troubles(1, lambda _: None)
    troubles.observe(turn(valid=True))
    assert troubles.lines() == []


async def test_a_run_of_invalid_turns_alone_fails_and_names_why(tmp_path: Path) -> None:
    ids = numbered(4)
    async with server(script=NOTHING) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), max_rounds=8)
        assert await run.run() == 1, run.said
    assert "the turn called no tool" in run.said
    assert "32 of 32 turns invalid" in run.said
    assert "20 turns in a row invalid" in run.said
    assert "no task was answered" in run.said


async def test_so_many_in_a_row_stop_the_run_where_asked(tmp_path: Path) -> None:
    ids = numbered(10)
    async with server(script=NOTHING) as stub:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            concurrency=1,
            max_rounds=4,
            trouble_in_row=5,
            trouble_stops=1,
        )
        assert await run.run() == 1, run.said
    end = run.events()[-1]
    assert (end["reason"], end["n_done"], end["n_left"]) == ("trouble", 2, 8)
