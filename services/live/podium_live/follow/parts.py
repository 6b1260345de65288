"""Where ended tasks' time went, kept up as the log grows, by the report's own definitions.

The report takes each part from an event by the SQL of podium_analysis.stats.counted over the whole log. The same SQL
runs here over the new events alone, in SQLite, and the parts are added up; the rules of which events count are those
of counted_events. An added tool's own parts are in `tools: rest`.
"""

import re
import sqlite3
import weakref
from dataclasses import dataclass, field
from typing import Any, Final

from podium_analysis.stats.counted import REST, TOOL_PARTS, TURN_PARTS
from podium_analysis.stats.time_accounting import PARTS

_SQL: Final = " ".join(sql for _, sql in (TURN_PARTS | TOOL_PARTS).values())
_COLUMNS: Final = tuple(sorted({*re.findall(r"\b[a-z_]+_ms\b", _SQL), "tool", "duration_ms", "duration_total_ms"}))
_AT: Final = {name: place for place, name in enumerate(PARTS)}
UNEXPLAINED: Final = "unexplained_ms"

Key = tuple[str, int]


@dataclass(slots=True)
class _Account:
    """One task. turns: (start, step) to the parts of that turn. ended: what overall holds of it."""

    start: int = 0
    open: bool = False
    turns: dict[tuple[int, int], list[float]] = field(default_factory=dict[tuple[int, int], list[float]])
    ended: list[float] | None = None


class Parts:
    """Milliseconds by part over the tasks that ended."""

    labels: Final = dict(PARTS) | {UNEXPLAINED: "unexplained"}

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._db.close)
        self._db.create_function("least", 2, min, deterministic=True)
        self._db.execute(f"CREATE TABLE e ({', '.join(_COLUMNS)})")
        self._insert = f"INSERT INTO e VALUES ({', '.join('?' * len(_COLUMNS))})"
        self._tasks: dict[Key, _Account] = {}
        self._overall = [0.0] * (len(PARTS) + 1)

    @property
    def overall_ms(self) -> dict[str, float]:
        return dict(zip(self.labels, self._overall, strict=True))

    def add(self, events: list[dict[str, Any]]) -> None:
        """The log's next events, in its order."""
        turns = iter(self._of([e for e in events if _is_turn(e)], TURN_PARTS, rest=False))
        tools = iter(self._of([e for e in events if _is_tool(e)], TOOL_PARTS, rest=True))
        for event in events:
            kind = event.get("type")
            if _is_turn(event):
                self._count(event, next(turns))
            elif _is_tool(event):
                self._count(event, next(tools))
            elif kind == "task_start":
                self._begin(event)
            elif kind == "task_complete":
                self._end(event)

    def _of(
        self, events: list[dict[str, Any]], parts: dict[str, tuple[str, str]], *, rest: bool
    ) -> list[dict[str, float]]:
        """The parts of each event that has some."""
        if not events:
            return []
        self._db.executemany(self._insert, ([_plain(event.get(name)) for name in _COLUMNS] for event in events))
        columns = ", ".join(sql for _, sql in parts.values())
        rows = self._db.execute(f"SELECT duration_total_ms, {columns} FROM e ORDER BY rowid").fetchall()
        self._db.execute("DELETE FROM e")
        found: list[dict[str, float]] = []
        for total, *values in rows:
            known = {name: float(value) for name, value in zip(parts, values, strict=True) if value is not None}
            if rest and total is not None:
                known[REST] = float(total) - sum(known.values())
            found.append(known)
        return found

    def _account(self, event: dict[str, Any]) -> _Account:
        return self._tasks.setdefault(key_of(event), _Account())

    def _count(self, event: dict[str, Any], parts: dict[str, float]) -> None:
        account = self._account(event)
        turn = account.turns.setdefault((account.start, event.get("step") or 0), [0.0] * len(PARTS))
        for name, value in parts.items():
            turn[_AT[name]] += value

    def _begin(self, event: dict[str, Any]) -> None:
        account, step = self._account(event), event.get("resumed_at_step") or 1
        before = event.get("active_before_ms")
        if account.start and (before == 0 if before is not None else step <= 1):
            account.turns.clear()
        elif account.open:  # a crash cut the turn off, and it is made again
            for start, at in list(account.turns):
                if start == account.start and at >= step:
                    del account.turns[start, at]
        account.start += 1
        account.open = True

    def _end(self, event: dict[str, Any]) -> None:
        account = self._account(event)
        account.open = False
        if account.ended is not None:
            self._overall = [whole - one for whole, one in zip(self._overall, account.ended, strict=True)]
        account.ended = None
        if event.get("status") == "skipped" or not account.turns:
            return
        sums = [sum(column) for column in zip(*account.turns.values(), strict=True)]
        account.ended = [*sums, float(event.get("duration_ms") or 0.0) - sum(sums)]
        self._overall = [whole + one for whole, one in zip(self._overall, account.ended, strict=True)]


def key_of(event: dict[str, Any]) -> Key:
    """A task's id and epoch."""
    return str(event.get("task_id")), int(event.get("epoch") or 1)


def _is_turn(event: dict[str, Any]) -> bool:
    return event.get("type") == "llm_call" and event.get("role") == "orchestrator" and event.get("task_id") is not None


def _is_tool(event: dict[str, Any]) -> bool:
    return event.get("type") == "tool_call" and event.get("task_id") is not None


def _plain(value: Any) -> Any:
    """What SQLite can hold; anything else is as missing, as in the report."""
    if isinstance(value, int | float):
        return value if abs(value) < 2**63 else None
    return value if isinstance(value, str) else None
