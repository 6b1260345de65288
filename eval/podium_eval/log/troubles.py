"""What goes wrong in a run that goes on: the first of each kind, many in a row, and the sum at the end.

A run whose every turn is invalid, or whose judge is never readable, ends without one task as an error; its log must not
look like that of a run in good order.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from podium_contracts.events import Event, Judge, LlmCall, ToolCall

Kind = Literal["turns", "expert calls", "judgements"]
WRONG: Final[dict[Kind, str]] = {"turns": "invalid", "expert calls": "failed", "judgements": "failed"}
_SHOWN: Final = 300
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    what: str
    total: int = 0
    wrong: int = 0
    in_row: int = 0


class Troubles:
    """An EventLog observer. in_row: how many of a kind in a row give a warning; on_row is called with each."""

    def __init__(self, in_row: int, on_row: Callable[[str], None]) -> None:
        self._in_row = in_row
        self._on_row = on_row
        self._counts = {kind: _Count(f"{kind} {wrong}") for kind, wrong in WRONG.items()}

    def observe(self, event: Event) -> None:
        """Count turns, expert calls and judgements, and warn of those that went wrong."""
        if isinstance(event, ToolCall):
            self._count("turns", event, event.error_message if event.status == "invalid" else None)
        elif isinstance(event, LlmCall) and event.role == "expert":
            reason = f"{event.alias}: {event.error_type}: {event.error_message}" if event.error_type else None
            self._count("expert calls", event, reason)
        elif isinstance(event, Judge):
            self._count("judgements", event, event.error_message or event.error_type)

    def lines(self) -> list[str]:
        """`32 of 32 turns invalid`, for each kind of which something went wrong."""
        return [f"{count.wrong} of {count.total} {count.what}" for count in self._counts.values() if count.wrong]

    def _count(self, kind: Kind, event: Event, reason: str | None) -> None:
        count = self._counts[kind]
        count.total += 1
        if reason is None:
            count.in_row = 0
            return
        count.wrong += 1
        count.in_row += 1
        shown = " ".join(reason.split())[:_SHOWN]
        task = getattr(event, "task_id", None)
        if count.wrong == 1:
            _log.warning("[TROUBLE] the first of the %s that %s: task %s: %s", kind, _verb(kind), task, shown)
        if count.in_row == self._in_row:
            line = f"{count.in_row} {kind} in a row {WRONG[kind]}, the last: {shown}"
            _log.warning("[TROUBLE] %s", line)
            self._on_row(line)


def _verb(kind: Kind) -> str:
    return "are invalid" if kind == "turns" else "fail"
