"""A run's folder: its lock, its layout, tasks written whole or not at all, and the count of how they ended."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import orjson
from podium_contracts.events import TaskComplete
from podium_contracts.files import write_atomically
from podium_contracts.names import ErrorType, TaskStatus
from podium_contracts.records import RECORD_VERSION, TaskRecord

from podium_eval.episode.task import task_complete
from podium_eval.files import decoded, json_bytes
from podium_eval.log.redact import Redactor

_log = logging.getLogger(__name__)


class RunLocked(RuntimeError):
    """Another process owns this run's folder."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a resume needs to know of a finished task; the file holds the rest."""

    key: str
    task_id: str
    epoch: int
    status: TaskStatus
    correct: bool | None
    error_type: ErrorType | None
    attempts: int
    cost_usd: float | None
    has_answer: bool


@dataclass(slots=True)
class Endings:
    """Over all segments. total: tasks of the run. failed: id and error, by key, of tasks whose last end is an error."""

    total: int
    done: int = 0
    skipped: int = 0
    correct: int = 0
    answered: int = 0
    errors: dict[str, Saved] = field(default_factory=dict[str, Saved])

    def add(self, end: Saved) -> None:
        """A task's end; one that had ended in an error before may end again."""
        self.take_back(end.key)
        if end.status == "error":
            self.errors[end.key] = end
        elif end.status == "skipped":
            self.skipped += 1
        else:
            self.done += 1
            self.correct += end.correct is True
            self.answered += end.has_answer

    def take_back(self, key: str) -> str | None:
        """A task that had ended in an error runs again: the type of that error; None when it had not."""
        end = self.errors.pop(key, None)
        return None if end is None else end.error_type

    @property
    def failed(self) -> dict[str, str]:
        """Id and error, by key, of the tasks in errors."""
        return {key: f"{end.task_id} ({end.error_type})" for key, end in self.errors.items()}

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return self.total - self.done - self.skipped - len(self.errors)


def saved_of(record: TaskRecord) -> Saved:
    """The part of a record that the runner keeps in memory."""
    return Saved(
        key=record.key,
        task_id=record.task_id,
        epoch=record.epoch,
        status=record.status,
        correct=record.correct,
        error_type=record.error_type,
        attempts=record.attempts,
        cost_usd=record.cost_usd,
        has_answer=record.answer_text is not None,
    )


class _Version(msgspec.Struct):
    record_version: int


_RECORD: Final = msgspec.json.Decoder(TaskRecord)
_RECORD_VERSION: Final = msgspec.json.Decoder(_Version)


def read_record(raw: bytes) -> TaskRecord:
    """tasks/<key>.json; fields of a newer minor version are dropped.

    Raises:
        ValueError: a newer record version, no JSON, or a field that is missing or of another type; it is named.
    """
    version = decoded(_RECORD_VERSION, raw).record_version
    if version > RECORD_VERSION:
        raise ValueError(f"record version {version}; this Podium reads up to {RECORD_VERSION}")
    return decoded(_RECORD, raw)


class RunFolder:
    """runs/<run_id>/ and who may write in it."""

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self.path = path
        self.tasks = path / "tasks"
        self.checkpoints = path / "checkpoints"
        self.events = path / "events.jsonl"
        self.log = path / "eval.log"
        self.manifest = path / "run.json"
        self.samples = path / "samples.jsonl"
        self.monitor = path / "monitor.out"
        self._redactor = redactor or Redactor()
        self._lock: int | None = None
        self._files = ThreadPoolExecutor(4, thread_name_prefix="task-files")

    def acquire(self) -> None:
        """Make the folders and take the run for this process.

        Raises:
            RunLocked: another process has it; the message names it.
            OSError: the folder cannot be made or written.
        """
        self.tasks.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        fd = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 200).decode("utf-8", "replace").strip() or "another process"
            os.close(fd)
            raise RunLocked(
                f"run {self.path.name} is on already ({owner}): wait for it, stop it, or set another RUN_ID"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%FT%TZ}\n".encode(), 0)
        self._lock = fd
        for left in self.tasks.glob(".*.tmp"):
            left.unlink()

    def release(self) -> None:
        """Give the run back. The kernel does it too when the process dies."""
        self._files.shutdown(wait=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_record(self, record: TaskRecord) -> None:
        """tasks/<key>.json: a temporary file, fsync, rename. Blocks; `save` does it off the loop.

        Raises:
            OSError: the disk is full, or the folder is gone. No half file stays.
        """
        write_atomically(self.tasks / f"{record.key}.json", self._redactor.data(json_bytes(record, indent=True)))

    async def save(self, record: TaskRecord) -> None:
        """write_record in a file thread; on return the record is on the disk, also when the caller was cancelled."""
        import asyncio

        write = asyncio.get_running_loop().run_in_executor(self._files, self.write_record, record)
        await asyncio.shield(write)

    def read_record(self, key: str) -> TaskRecord:
        """One finished task.

        Raises:
            ValueError: it is no record that this version reads.
            FileNotFoundError: there is none.
        """
        return read_record((self.tasks / f"{key}.json").read_bytes())

    def saved(self) -> Iterator[Saved]:
        """Every finished task. A file that is no record is set aside as *.corrupt and its task runs again."""
        for path in sorted(self.tasks.glob("*.json")):
            try:
                yield saved_of(read_record(path.read_bytes()))
            except ValueError as error:
                aside = path.with_suffix(".corrupt")
                path.rename(aside)
                _log.warning("%s is no task record (%s): set aside as %s, its task runs again", path, error, aside.name)

    def unlogged(self, saved: Iterable[Saved], run_id: str, segment: int) -> Iterator[TaskComplete]:
        """The task_complete events of tasks whose record was kept but whose event was lost in a crash."""
        logged: set[tuple[str, int]] = set()
        with self.events.open("rb") as file:
            for line in file:
                if line.startswith(b'{"type":"task_complete"'):
                    try:
                        event = orjson.loads(line)
                        logged.add((event["task_id"], event["epoch"]))
                    except (ValueError, KeyError):
                        continue
        for record in saved:
            if (record.task_id, record.epoch) not in logged:
                yield task_complete(self.read_record(record.key), run_id, segment)
