import asyncio
import io
import logging
from collections.abc import Iterator

import pytest
from harness.clock import HandClock
from podium_contracts.events import Breaker, Judge, Limit, LlmCall, TaskComplete
from podium_contracts.records import TaskRecord
from podium_eval.log.console import ConsoleHandler, Terminal
from podium_eval.log.meter import InFlight, Meter
from podium_eval.log.monitor import monitor_line
from podium_eval.log.progress import Reporter, clock_text, eta_line, heartbeat_line, task_line
from podium_eval.log.redact import Redactor
from rich.console import Console


def ended(status: str = "done", correct: bool | None = True, error_type: str | None = None) -> TaskComplete:
    return TaskComplete(
        run_id="r",
        task_id="t",
        status=status,  # type: ignore[arg-type]
        ending="answered",
        correct=correct,
        rounds=1,
        duration_ms=1.0,
        error_type=error_type,  # type: ignore[arg-type]
    )


def record(**changes: object) -> TaskRecord:
    fields: dict[str, object] = {
        "run_id": "r",
        "key": "k",
        "task_id": "a",
        "eid": 0,
        "question": "q",
        "gold_answer": "g",
        "status": "done",
        "ending": "answered",
        "correct": True,
        "rounds": 1,
        "started_ts": "",
        "finished_ts": "",
        "duration_ms": 1.0,
    }
    return TaskRecord(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_line_of_a_task_says_how_it_ended() -> None:
    assert task_line(record()) == "[HLE_TASK_COMPLETE] id=a status=done correct=true"
    assert task_line(record(correct=False, epoch=2)) == "[HLE_TASK_COMPLETE] id=a epoch=2 status=done correct=false"
    failed = record(status="error", correct=None, error_type="timeout", task_id="x\ny\x1b[31m")
    assert task_line(failed) == r"[HLE_TASK_COMPLETE] id=x\ny\x1b[31m status=error correct=none error_type=timeout"


def test_the_eta_leaves_out_earlier_segments_time() -> None:
    clock = HandClock()
    meter = Meter(clock, total=10, before=5)
    assert eta_line(meter) == "[OVERALL_ETA] done=5/15 elapsed=0:00:00 eta=?"
    clock.now += 60
    meter.observe(ended())
    meter.observe(ended("error", None, "timeout"))
    assert eta_line(meter) == "[OVERALL_ETA] done=7/15 elapsed=0:01:00 eta=0:04:00"
    assert clock_text(3725.9) == "1:02:05"


def test_the_heartbeat_names_the_oldest_and_the_last() -> None:
    clock = HandClock()
    meter = Meter(clock, total=20)
    for n in range(8):
        meter.in_flight[f"k{n}"] = InFlight(f"task-{n}", 1, clock.now + n, lambda n=n: (n + 1, "search search-1"))
    clock.now += 100
    meter.observe(Breaker(run_id="r", service="retrieval", state="open", reason="refused", waiting=3))
    line = heartbeat_line(meter, concurrency=8)
    assert "nothing finished for 0:01:40; in flight 8, left 20; retrieval is down (open); oldest: task-0 " in line
    assert "task-0 (turn 1, search search-1, 0:01:40)" in line
    assert "and 3 more" in line
    tail = heartbeat_line(meter, concurrency=64)
    assert "last: task-0" in tail
    assert "task-7 (turn 8, search search-1, 0:01:33)" in tail


async def test_a_heartbeat_comes_when_nothing_finishes_and_not_else(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    meter = Meter(clock, total=2)
    reporter = Reporter(meter, concurrency=2, heartbeat_s=30.0, live=None)
    caplog.set_level(logging.INFO)
    beating = asyncio.create_task(reporter.beat())
    meter.in_flight["k"] = InFlight("slow", 1, clock.now, lambda: (3, "judge"))
    await clock.pass_time(29)
    assert "[HEARTBEAT]" not in caplog.text
    await clock.pass_time(2)
    assert caplog.text.count("[HEARTBEAT]") == 1
    assert "slow (turn 3, judge" in caplog.text
    beating.cancel()


def test_services_and_limits_that_move_are_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reporter = Reporter(Meter(HandClock(), total=1), concurrency=1, heartbeat_s=30.0, live=None)
    reporter.observe(Breaker(run_id="r", service="sandbox", state="open", reason="refused", waiting=3))
    reporter.observe(Limit(run_id="r", provider="together", limit=32, previous=64, in_flight=64, reason="429"))
    assert "[BREAKER] sandbox is open: refused" in caplog.text
    assert "[LIMIT] together: 32 at once, before 64: 429" in caplog.text


def test_a_lockout_is_said_with_its_time_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    meter = Meter(clock, total=1)
    reporter = Reporter(meter, concurrency=1, heartbeat_s=30.0, live=None)
    event = Limit(
        run_id="r", provider="openai", limit=8, previous=8, in_flight=8, reason="429", locked_out_ms=2_700_000.0
    )
    meter.observe(event)
    reporter.observe(event)
    assert "[LOCKED OUT] openai takes no calls until 2027-01-15T09:01:40Z, for 0:45:00" in caplog.text
    assert meter.locked_out == ["openai"]
    assert "openai takes no calls" in heartbeat_line(meter, 1)
    clock.now += 2701
    assert meter.locked_out == []


def test_a_limit_s_line_fits_a_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reporter = Reporter(Meter(HandClock(), total=1), concurrency=1, heartbeat_s=30.0, live=None)
    words = "429: Rate limit\nreached for\x1b[31m tokens " + "x" * 100_000
    reporter.observe(Limit(run_id="r", provider="openai", limit=32, previous=64, in_flight=64, reason=words))
    (line,) = [record.getMessage() for record in caplog.records]
    assert len(line) <= 100
    assert "\x1b" not in line
    assert line.startswith("[LIMIT] openai: 32 at once, before 64: 429: Rate limit")


def test_an_ungraded_answer_is_said_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reporter = Reporter(Meter(HandClock(), total=1), concurrency=1, heartbeat_s=30.0, live=None)
    judged = {"run_id": "r", "task_id": "q7", "protocol": "hle", "duration_ms": 1.0, "method": "model"}
    reporter.observe(Judge(**judged, correct=None, error_type="judge_error", error_message="no verdict in 'Sure!'"))  # type: ignore[arg-type]
    reporter.observe(Judge(**judged, correct=True))  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == ["[UNGRADED] q7: no verdict in 'Sure!'"]


def llm(prompt: int | None, cost: float | None) -> LlmCall:
    return LlmCall(
        run_id="r",
        role="expert",
        provider="p",
        model="m",
        duration_ms=1.0,
        prompt_tokens=prompt,
        completion_tokens=prompt,
        cost_usd=cost,
    )


def test_the_monitor_line_has_errors_rate_cost_and_eta() -> None:
    clock = HandClock()
    meter = Meter(clock, total=10, before=2)
    clock.now += 30
    meter.observe(llm(3000, 0.5))
    meter.observe(llm(None, None))
    meter.observe(ended())
    meter.observe(ended("error", None, "timeout"))
    meter.observe(ended("error", None, "timeout"))
    line = monitor_line(meter, clock.wall())
    assert "done=5/12 in_flight=0 errors=timeout:2 tokens_per_s=100in/100out" in line
    assert "cost_usd=0.5000+1_unpriced_calls elapsed=0:00:30 eta=0:01:10" in line
    free = Meter(clock, total=1)
    free.observe(llm(1, None))
    assert "cost_usd=unknown(1_calls)" in monitor_line(free, clock.wall()), "an unknown price was shown as zero"


def test_tokens_a_second_forget_what_is_older_than_a_minute() -> None:
    clock = HandClock()
    meter = Meter(clock, total=1)
    meter.observe(llm(6000, None))
    clock.now += 61
    meter.observe(llm(600, None))
    assert meter.tokens_per_s() == (10.0, 10.0)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.Logger("podium_eval.progress")
    yield made
    made.handlers.clear()


def test_the_eta_is_red_on_the_console_alone(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.addHandler(ConsoleHandler(Redactor(["sk-secret"]), Terminal(colour=True)))
    logger.info("[HLE_TASK_COMPLETE] id=sk-secret status=done correct=true")
    logger.info("[OVERALL_ETA] done=1/2 elapsed=0:00:01 eta=0:00:01")
    logger.warning("careful")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "[HLE_TASK_COMPLETE] id=[redacted] status=done correct=true",
        "\x1b[31m[OVERALL_ETA] done=1/2 elapsed=0:00:01 eta=0:00:01\x1b[0m",
    ]
    assert err == "WARNING: careful\n"


def test_a_terminal_sees_a_bar_instead_of_the_lines(logger: logging.Logger) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    meter = Meter(HandClock(), total=2)
    logger.addHandler(ConsoleHandler(Redactor(), Terminal(colour=True, live=terminal)))
    with Reporter(meter, concurrency=1, heartbeat_s=30.0, live=terminal) as reporter:
        meter.observe(ended())
        logger.info("[HLE_TASK_COMPLETE] id=a", extra={"bar": True})
        logger.warning("retrieval is down")
        reporter.finished(record())
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "1/2" in shown
    assert "retrieval is down" in shown
    assert "[HLE_TASK_COMPLETE]" not in shown
