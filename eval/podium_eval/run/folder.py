"""A run's folder: its lock, its layout, and finished tasks written whole or not at all."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from podium_contracts.names import ErrorType, TaskStatus
from podium_contracts.records import TaskRecord, record_from_json

from podium_eval.files import json_bytes, write_atomically
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

    @property
    def ungraded_answer(self) -> bool:
        """Answered, but the judge failed: only the judge runs again."""
        return self.status == "error" and self.error_type == "judge_error" and self.has_answer


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
        return record_from_json(json.loads((self.tasks / f"{key}.json").read_bytes()))

    def saved(self) -> Iterator[Saved]:
        """Every finished task. A file that is no record is set aside as *.corrupt and its task runs again."""
        for path in sorted(self.tasks.glob("*.json")):
            try:
                yield saved_of(record_from_json(orjson.loads(path.read_bytes())))
            except ValueError as error:
                aside = path.with_suffix(".corrupt")
                path.rename(aside)
                _log.warning("%s is no task record (%s): set aside as %s, its task runs again", path, error, aside.name)
