"""The log of a run or a rejudge, open for as long as it lasts."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from podium_eval.log.console import ConsoleHandler, Terminal
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter


@asynccontextmanager
async def open_log(
    events: Path, log: Path, *, redactor: Redactor, terminal: Terminal, broken: Callable[[OSError], None]
) -> AsyncGenerator[LogWriter]:
    """Send events to `events`, the package's log to `log` and the terminal; at the end all of it is on the disk.

    broken: called once, in the event loop's thread, when a write fails.

    Raises:
        OSError: a file cannot be opened.
    """
    loop = asyncio.get_running_loop()

    def failed(error: OSError) -> None:
        loop.call_soon_threadsafe(broken, error)

    writer = LogWriter(events, log, redactor=redactor, on_failure=failed)
    logger = logging.getLogger("podium_eval")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [writer, ConsoleHandler(redactor, terminal)]
    writer.start()
    try:
        yield writer
    finally:
        logger.handlers.clear()
        await asyncio.to_thread(writer.close)
