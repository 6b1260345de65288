"""What tasks of past runs used: tokens by role or alias, web and code by the piece, time; read from their logs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson

from podium_eval.costs.prices import Unit

NEWEST: Final = 5
"""Runs that are read, newest first: older ones used other models and prompts."""

_CALL: Final = b'{"type":"llm_call"'
_TOOL: Final = b'{"type":"tool_call"'
_COMPLETE: Final = b'{"type":"task_complete"'


@dataclass(slots=True)
class Use:
    """Calls of one role or alias and their tokens. n_unknown: calls without token counts."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    n_unknown: int = 0

    def add(self, other: "Use") -> None:
        """Add another's counts to these."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.n_unknown += other.n_unknown


@dataclass(slots=True)
class Pieces:
    """Pieces of one kind: searches, pages, seconds. n_unknown: tool calls that used some, of unknown number."""

    n: float = 0.0
    n_unknown: int = 0

    def add(self, n: float | None) -> None:
        """Of one tool call; None: not known."""
        if n is None:
            self.n_unknown += 1
        else:
            self.n += n


@dataclass(slots=True)
class TaskUsage:
    """A finished task. uses: by `orchestrator`, `judge` or an expert's alias."""

    run_id: str
    task_id: str
    epoch: int
    uses: dict[str, Use] = field(default_factory=dict[str, Use])
    duration_ms: float = 0.0
    status: str | None = None
    pieces: dict[Unit, Pieces] = field(default_factory=dict[Unit, Pieces])


def past_runs(runs_dir: Path, newest: int = NEWEST) -> list[Path]:
    """Run folders with a log, the one written last first."""
    logs = sorted(runs_dir.glob("*/events.jsonl"), key=lambda log: log.stat().st_mtime, reverse=True)
    return [log.parent for log in logs[:newest]]


def finished_tasks(runs: Iterable[Path]) -> list[TaskUsage]:
    """Every task that ended as done, with all its calls, repeated attempts included; torn lines are passed over."""
    usages: list[TaskUsage] = []
    for run in runs:
        tasks: dict[tuple[str, int], TaskUsage] = {}
        for event in _events(run / "events.jsonl"):
            key = (str(event.get("task_id")), int(event.get("epoch") or 1))
            task = tasks.setdefault(key, TaskUsage(run.name, *key))
            if event["type"] == "task_complete":
                task.status = event.get("status")
                task.duration_ms = float(event.get("duration_ms") or 0.0)
            elif event["type"] == "tool_call":
                _add_pieces(event, task.pieces)
            elif event.get("error_type") is None and not event.get("rejudge"):
                name = event.get("alias") or event.get("role") or "?"
                task.uses.setdefault(name, Use()).add(_use(event))
        usages += [task for task in tasks.values() if task.status == "done"]
    return usages


def _add_pieces(event: dict[str, Any], pieces: dict[Unit, Pieces]) -> None:
    if event.get("web_ms") is not None:
        pieces.setdefault("search", Pieces()).add(event.get("web_searches"))
        pieces.setdefault("extract", Pieces()).add(event.get("web_pages"))
    if event.get("exec_status") is not None:
        ms = event.get("code_ms")
        pieces.setdefault("code_second", Pieces()).add(None if ms is None else ms / 1000)


def _use(event: dict[str, Any]) -> Use:
    prompt, completion = event.get("prompt_tokens"), event.get("completion_tokens")
    if prompt is None or completion is None:
        return Use(calls=1, n_unknown=1)
    return Use(1, prompt, event.get("cached_tokens") or 0, completion)


def _events(log: Path) -> Iterator[dict[str, Any]]:
    with log.open("rb") as lines:
        for line in lines:
            if line.startswith((_CALL, _TOOL, _COMPLETE)):
                try:
                    event: Any = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(event, dict):
                    yield cast("dict[str, Any]", event)
