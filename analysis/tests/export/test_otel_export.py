"""A stored log's spans reach a collector over HTTP; a collector that is away is told and ends the command."""

import asyncio
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from loopback.otlp_receiver import receiver

pytest.importorskip("opentelemetry.sdk", reason="needs podium-analysis[otel]")
STORED = Path(__file__).parent.parent / "data/schema-1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(STORED, tmp_path / "run")


async def command(*argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "podium_analysis", "export-otel", *argv),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_every_call_of_the_log_is_a_span(run: Path) -> None:
    events = [orjson.loads(line) for line in (run / "events.jsonl").read_bytes().splitlines()]
    async with receiver() as collector:
        status, said = await command(str(run), "--endpoint", collector.endpoint)
        once = {(span.trace, span.id) for span in collector.spans}
        again, _ = await command(str(run), "--endpoint", collector.endpoint)
    assert (status, again) == (0, 0), said
    assert f"{len(once):,} spans sent" in said
    assert len(collector.spans) == 2 * len(once)
    assert {(span.trace, span.id) for span in collector.spans} == once, "what is sent again is the same span"
    calls = [event for event in events if event["type"] == "llm_call"]
    chats = {(s.trace, s.id) for s in collector.spans if s.attributes["gen_ai.operation.name"] == "chat"}
    assert len(chats) == len(calls)


async def test_a_collector_that_refuses_is_told(run: Path) -> None:
    async with receiver(status=400) as collector:
        status, said = await command(str(run), "--endpoint", collector.endpoint)
    assert status == 1
    assert "spans are not exported" in said
    assert "0 spans sent" in said


async def test_a_name_that_is_missing_is_named(run: Path, tmp_path: Path) -> None:
    status, said = await command(str(run))
    assert (status, "OTEL_EXPORTER_OTLP_ENDPOINT" in said) == (2, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        status, said = await command(str(tmp_path / "none"), "--endpoint", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert status == 2
    assert "none" in said
