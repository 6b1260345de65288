"""A task's finished turns, a line each, so that a killed run goes on at the turn it was in."""

import logging
import os
from collections.abc import Container
from pathlib import Path
from typing import Any, Final

import orjson
from podium_contracts.records import Turn

from podium_eval.episode.task import Progress
from podium_eval.files import append_line, json_bytes, repair_tail
from podium_eval.log.event_log import LogWriter
from podium_eval.log.redact import Redactor

VERSION: Final = 1
_log = logging.getLogger(__name__)


class Checkpoints:
    """checkpoints/<key>.jsonl, appended by the log's writer after the events of the same turn.

    Appending makes a turn's cost independent of how many came before it. A line that a kill tore is cut away.
    """

    def __init__(self, folder: Path, writer: LogWriter, redactor: Redactor) -> None:
        self._folder = folder
        self._writer = writer
        self._redactor = redactor

    def append(self, key: str, turn: Turn, progress: Progress) -> None:
        """Queue the turn; returns at once. A disk that is full breaks the log, which stops the run."""
        line = {
            "version": VERSION,
            "turn": turn,
            "active_ms": progress.active_ms,
            "cost_usd": progress.cost_usd,
            "n_unpriced": progress.n_unpriced,
            "started_ts": progress.started_ts,
            "attempts": progress.attempts,
        }
        path = self._path(key)
        self._writer.put_job(lambda: append_line(path, self._redactor.data(json_bytes(line))))

    def begun(self, finished: Container[str]) -> frozenset[str]:
        """Keys with a checkpoint. One of a `finished` task, recorded just before a crash, is removed."""
        keys: set[str] = set()
        for path in self._folder.glob("*.jsonl"):
            if path.stem in finished:
                path.unlink()
            else:
                keys.add(path.stem)
        return frozenset(keys)

    def remove(self, key: str) -> None:
        """Queue the removal: the task has a record now, or starts afresh."""
        path = self._path(key)
        self._writer.put_job(lambda: path.unlink(missing_ok=True))

    def load(self, key: str) -> Progress | None:
        """The progress of a task that an earlier segment began, or None. Blocks on the disk."""
        path = self._path(key)
        repair_tail(path)
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return None
        progress = Progress()
        good = 0
        for raw in lines:
            try:
                progress = _read(raw, progress.turns)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                # What is appended from now on must be readable: nothing may stand behind this line.
                os.truncate(path, good)
                _log.warning("%s: a line is no checkpoint (%r): its task goes on before it", path, error)
                break
            good += len(raw)
        return progress if progress.turns else None

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.jsonl"


def _read(raw: bytes, before: list[Turn]) -> Progress:
    """A line and the turns before it."""
    line: dict[str, Any] = orjson.loads(raw)
    if line["version"] != VERSION:
        raise ValueError(f"version {line['version']!r}, this Podium writes {VERSION}")
    known = {k: v for k, v in line["turn"].items() if k in Turn.__dataclass_fields__}
    return Progress(
        turns=[*before, Turn(**known)],
        active_ms=float(line["active_ms"]),
        cost_usd=line["cost_usd"],
        n_unpriced=int(line["n_unpriced"]),
        started_ts=line["started_ts"],
        attempts=int(line["attempts"]),
    )
