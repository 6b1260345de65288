"""Starts the exporter beside a run and ends it: OTEL_EXPORTER_OTLP_ENDPOINT."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import orjson

from podium_eval.clock import Clock
from podium_eval.settings.telemetry import TelemetrySettings

_log = logging.getLogger(__name__)
_EXIT_S: Final = 5.0


@asynccontextmanager
async def exporting(
    settings: TelemetrySettings, folder: Path, *, run_id: str, segment: int, clock: Clock
) -> AsyncGenerator[None]:
    """Export what the segment logs, where a collector is configured. The end waits for OTEL_FINISH_S at most."""
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    try:
        process = await _start(settings, settings.otel_exporter_otlp_endpoint, folder, run_id, segment)
    except OSError as error:
        _log.warning("[OTEL] nothing is exported: the exporter cannot be started: %s", error)
        yield
        return
    assert process.stdin is not None
    assert process.stdout is not None
    reading = asyncio.create_task(_told(process.stdout))
    try:
        yield
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with clock.timeout(settings.otel_finish_s + _EXIT_S):
                await asyncio.wait([reading])
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
            _log.warning("[OTEL] the exporter did not end and was killed; podium-analysis export-otel sends the run")
        reading.cancel()


async def _start(
    settings: TelemetrySettings, endpoint: str, folder: Path, run_id: str, segment: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "podium_eval.telemetry.follow", str(folder), endpoint),
        *("--run-id", run_id, "--segment", str(segment), "--finish-s", str(settings.otel_finish_s)),
        *(("--content",) if settings.otel_content else ()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # ^C at the terminal ends the run; the exporter ends after it
    )


async def _told(lines: asyncio.StreamReader) -> None:
    async for line in lines:
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # of a library, not the exporter's own
        if "warning" in fields:
            _log.warning("[OTEL] %s", fields["warning"])
            continue
        sent, dropped = fields["sent"], fields["dropped"]
        if dropped or not fields["whole"]:
            rest = "" if fields["whole"] else " and more when OTEL_FINISH_S was over"
            _log.warning(
                "[OTEL] %d spans exported, %d dropped%s; podium-analysis export-otel sends the run again",
                *(sent, dropped, rest),
            )
        else:
            _log.info("[OTEL] %d spans exported", sent)
