"""Sends the package's log to a run's files and the terminal for as long as the run lasts."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rich.console import Console

from podium_eval.log.console import ConsoleHandler
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter


@asynccontextmanager
async def logging_to(writer: LogWriter, redactor: Redactor, live: Console | None = None) -> AsyncGenerator[None]:
    """Start the writer; at the end everything is on the disk and the writer is closed. live: see ConsoleHandler."""
    logger = logging.getLogger("podium_eval")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [writer, ConsoleHandler(redactor, colour="NO_COLOR" not in os.environ, live=live)]
    writer.start()
    try:
        yield
    finally:
        logger.handlers.clear()
        await asyncio.to_thread(writer.close)
