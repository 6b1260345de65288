"""The log as the terminal shows it."""

import logging
import sys
from dataclasses import dataclass
from typing import TextIO

from podium_contracts.text.surrogates import written_out
from rich.console import Console

from podium_eval.log.progress import ETA_MARK
from podium_eval.log.redact import Redactor

_RED = "\033[31m"
_PLAIN = "\033[0m"


@dataclass(frozen=True, slots=True)
class Terminal:
    """colour: whether lines may be coloured. live: the console of a live bar, None for plain lines."""

    colour: bool
    live: Console | None = None


class ConsoleHandler(logging.Handler):
    """Lines of a run to stdout, the ETA line in red, warnings and worse to stderr.

    With a live bar, what the bar shows already is left out and the rest is printed above it.
    """

    def __init__(self, redactor: Redactor, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self._redactor = redactor
        self._colour = terminal.colour
        self._live = terminal.live

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; a closed pipe is not worth a run."""
        try:
            text = self._redactor.text(record.getMessage())
            if record.exc_info:
                text = f"{text}\n{self._redactor.text(logging.Formatter().formatException(record.exc_info))}"
            if self._live is not None:
                if not getattr(record, "bar", False):
                    self._live.print(text, markup=False, highlight=False, soft_wrap=True)
                return
            warning = record.levelno >= logging.WARNING
            stream: TextIO = sys.stderr if warning else sys.stdout
            if warning:
                text = f"{record.levelname}: {text}"
            elif self._colour and text.startswith(ETA_MARK):
                text = f"{_RED}{text}{_PLAIN}"
            stream.write(f"{written_out(text, stream.encoding or 'utf-8')}\n")
            stream.flush()
        except (OSError, ValueError):
            return
