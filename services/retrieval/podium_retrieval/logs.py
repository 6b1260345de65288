"""Logs as JSON lines on standard error."""

import logging
import sys

from podium_contracts.levels import level_number, register_levels
from pythonjsonlogger.json import JsonFormatter


def set_up_logging(level: str) -> None:
    """Send every logger's records to standard error, one JSON object a line. Called by the console command alone."""
    register_levels()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "ts", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level_number(level))
    for noisy in ("httpx2", "httpcore2", "sentence_transformers", "transformers", "faiss", "filelock", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, level_number(level)))
