import asyncio
import json
import logging
import os
import time
from pathlib import Path

import pytest
from podium_contracts.events import LlmCall, RunStart, TaskComplete, TaskStart
from podium_eval.clock import SystemClock
from podium_eval.files import repair_tail
from podium_eval.log.event_log import EventLog
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogBroken, LogWriter


class SteppingClock(SystemClock):
    """A wall clock that someone sets back an hour, and a monotonic one that goes on."""

    def __init__(self) -> None:
        self.offset = 0.0

    def wall(self) -> float:
        return 1_800_000_000.25 + time.monotonic() + self.offset


def writer_in(folder: Path, *secrets: str, failures: list[OSError] | None = None) -> LogWriter:
    writer = LogWriter(
        folder / "events.jsonl",
        folder / "eval.log",
        redactor=Redactor(secrets),
        on_failure=[].append if failures is None else failures.append,
    )
    writer.start()
    return writer


def call(**changes: object) -> LlmCall:
    fields: dict[str, object] = {"run_id": "r", "role": "expert", "provider": "p", "model": "m", "duration_ms": 1.5}
    return LlmCall(**{**fields, **changes})  # type: ignore[arg-type]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


async def test_a_flush_puts_events_on_disk_in_order(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    log = EventLog(writer)
    for step in range(500):
        log.emit(call(step=step))
    await log.flush()
    found = lines(tmp_path)
    assert [event["step"] for event in found] == list(range(500))
    assert list(found[0])[:4] == ["type", "ts", "level", "mono_ms"]
    assert found[0]["level"] == "PROFILE"
    assert "prompt_tokens" not in found[0]
    writer.close()


async def test_without_a_flush_they_are_there_within_a_second(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    EventLog(writer).emit(call())
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.put_job(lambda: loop.call_soon_threadsafe(written.set))
    async with asyncio.timeout(1.0):
        await written.wait()
    assert len(lines(tmp_path)) == 1
    writer.close()


async def test_the_level_never_filters_required_events(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    log = EventLog(writer, level="ERROR")
    log.emit(
        RunStart(
            run_id="r",
            protocol="hle",
            concurrency=1,
            max_rounds=1,
            n_tasks=1,
            n_finished=0,
            dataset_sha256="",
            orchestrator_model="m",
        )
    )
    log.emit(TaskStart(run_id="r"))
    log.emit(call())
    log.emit(TaskComplete(run_id="r", status="done", ending="answered", correct=True, rounds=1, duration_ms=1.0))
    await log.flush()
    assert [event["type"] for event in lines(tmp_path)] == ["run_start", "task_complete"]
    writer.close()


async def test_a_wall_clock_that_steps_back_changes_no_duration(tmp_path: Path) -> None:
    clock = SteppingClock()
    writer = writer_in(tmp_path)
    log = EventLog(writer, clock=clock)
    log.emit(call())
    clock.offset = -3600.0
    log.emit(call())
    await log.flush()
    first, second = lines(tmp_path)
    assert str(second["ts"]) < str(first["ts"])
    assert 0 <= float(str(first["mono_ms"])) <= float(str(second["mono_ms"])) < 60_000
    writer.close()


async def test_text_that_utf8_cannot_hold_and_secrets_are_dealt_with(tmp_path: Path) -> None:
    secret = 'key-"quoted"-1'
    writer = writer_in(tmp_path, secret)
    log = EventLog(writer)
    log.emit(call(error_message="half a pair: \ud800"))
    log.emit(call(error_message=f"refused {secret}!"))
    writer.emit(logging.LogRecord("podium_eval", logging.INFO, "", 0, "with %s", (secret,), None))
    await log.flush()
    assert lines(tmp_path)[1]["error_message"] == "refused [redacted]!"
    assert "half a pair" in str(lines(tmp_path)[0]["error_message"])
    writer.close()
    assert secret not in (tmp_path / "eval.log").read_text()


async def test_jobs_run_behind_the_events_put_before_them(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    log = EventLog(writer)
    seen: list[int] = []
    for n in range(3):
        log.emit(call(step=n))
        writer.put_job(lambda: seen.append(len(lines(tmp_path))))
    await log.flush()
    assert seen == [1, 2, 3]
    writer.close()


async def test_a_full_disk_is_reported_once_with_whole_lines(tmp_path: Path) -> None:
    """/dev/full refuses every write as a full disk does."""
    failures: list[OSError] = []
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    writer = writer_in(tmp_path, failures=failures)
    log = EventLog(writer)
    for _ in range(100):
        log.emit(call())
    with pytest.raises(LogBroken):
        await log.flush()
    log.emit(call())
    with pytest.raises(LogBroken):
        await log.flush()
    assert len(failures) == 1
    assert failures[0].strerror == os.strerror(28)
    writer.close()


def test_repair_cuts_only_what_no_newline_ends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert repair_tail(path) == 0
    for content, kept in (
        (b"", b""),
        (b"a\nb\n", b"a\nb\n"),
        (b"a\nb", b"a\n"),
        (b"abc", b""),
        (b"a\n" + b"x" * 200_000, b"a\n"),
    ):
        path.write_bytes(content)
        assert repair_tail(path) == len(content) - len(kept)
        assert path.read_bytes() == kept


async def test_the_loop_pays_little_for_an_event(tmp_path: Path) -> None:
    """docs/reliability.md has the figures of a quiet machine; this bound only catches work that crept into emit."""
    writer = writer_in(tmp_path)
    log = EventLog(writer)
    event = call()
    took: list[int] = []
    for _ in range(2000):
        began = time.perf_counter_ns()
        log.emit(event)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    assert took[1000] < 20_000
    await log.flush()
    writer.close()
