"""Retrieval and sandbox that answer wrongly: named failures of their tools, tried again, never an answer or a grade."""

from pathlib import Path

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval, assert_whole
from loopback.openai_server import Fault

FAULTS = {
    "429 with Retry-After": (Fault("status", status=429, retry_after="0.01"), "rate_limit"),
    "500": (Fault("status", status=500), None),
    "503 with Retry-After": (Fault("status", status=503, retry_after="0.01"), None),
    "hang": (Fault("hang"), "timeout"),
    "reset connection": (Fault("reset"), "connection"),
    "half a JSON body": (Fault("half_json"), None),
    "body cut short": (Fault("half_body"), "connection"),
    "JSON of another shape": (Fault("empty_choices"), None),
    "a proxy's page": (Fault("html"), None),
}
"""Fault -> its error type; None: the service's own, retrieval_error or sandbox_error."""
# Both clients stand on one HttpService: what is its business is tried on one of them.
ALWAYS = [(name, "/retrieve") for name in FAULTS] + [
    (name, "/run") for name in ("500", "JSON of another shape", "reset connection")
]
NOW_AND_THEN = [("429 with Retry-After", "/retrieve"), ("500", "/run"), ("reset connection", "/retrieve")]
OWN = {"/retrieve": "retrieval_error", "/run": "sandbox_error"}
QUICK = {
    "retrieval_timeout_s": 0.5,
    "sandbox_timeout_s": 0.3,
    "sandbox_wait_s": 0.2,
    "retrieval_attempts": 2,
    "sandbox_attempts": 2,
    "max_tool_failures": 2,
    "breaker_wait_s": 0.4,
}


@pytest.mark.parametrize(("name", "path"), ALWAYS)
async def test_a_resume_repairs_tasks_of_a_failing_service(name: str, path: str, tmp_path: Path) -> None:
    fault, error_type = FAULTS[name]
    ids = numbered(2)
    async with server() as stub, server(path_faults={path: fault}) as services:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            retrieval_url=services.address,
            sandbox_url=services.address,
            **QUICK,
        )
        assert await run.run() == 1, run.said
        for record in run.records().values():
            assert (record.status, record.correct, record.answer_text) == ("error", None, None)
        failed = [event for event in run.events("tool_call") if event["status"] == "failed"]
        named = {event["error_type"] for event in failed} | {record.error_type for record in run.records().values()}
        # One that gives no answer at all is soon known to be down.
        assert named - {"connection"} == {error_type or OWN[path]} - {"connection"}
        services.path_faults = {}
        assert await run.run() == 0, run.said
    assert_whole(run, ids)


@pytest.mark.parametrize(("name", "path"), NOW_AND_THEN)
async def test_a_service_that_fails_now_and_then_is_asked_again(name: str, path: str, tmp_path: Path) -> None:
    ids = numbered(6)
    async with server() as stub, server(path_faults={path: FAULTS[name][0]}, every=3) as services:
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            retrieval_url=services.address,
            sandbox_url=services.address,
            concurrency=1,
        )
        assert await run.run() == 0, run.said
    assert_whole(run, ids)
    assert {event["status"] for event in run.events("tool_call")} == {"ok"}
