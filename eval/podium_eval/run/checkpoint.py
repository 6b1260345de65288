"""A task's finished turns, a line each, so that a killed run goes on at the turn it was in."""

import logging
import os
from collections.abc import Container
from pathlib import Path
from typing import Final

import msgspec
from podium_contracts.records import Turn

from podium_eval.episode.task import Progress
from podium_eval.files import append_line, decoded, json_bytes, repair_tail
from podium_eval.log.redact import Redactor
from podium_eval.log.writer import LogWriter

CHECKPOINT_VERSION: Final = 1
_log = logging.getLogger(__name__)


class CheckpointLine(msgspec.Struct):
    """A line of checkpoints/<key>.jsonl. Times and costs are the task's so far, over all segments."""

    version: int
    turn: Turn
    active_ms: float
    cost_usd: float | None
    n_unpriced: int
    started_ts: str | None
    attempts: int


_LINE: Final = msgspec.json.Decoder(CheckpointLine)


def read_checkpoint(raw: bytes) -> CheckpointLine:
    """One line of a checkpoint.

    Raises:
        ValueError: another version, no JSON, or a field that is missing or of another type; it is named.
    """
    line = decoded(_LINE, raw)
    if line.version != CHECKPOINT_VERSION:
        raise ValueError(f"version {line.version}, this Podium writes {CHECKPOINT_VERSION}")
    return line


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
            "version": CHECKPOINT_VERSION,
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
            except ValueError as error:
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
    line = read_checkpoint(raw)
    return Progress(
        turns=[*before, line.turn],
        active_ms=line.active_ms,
        cost_usd=line.cost_usd,
        n_unpriced=line.n_unpriced,
        started_ts=line.started_ts,
        attempts=line.attempts,
    )
