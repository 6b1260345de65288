"""Answers of web look-ups as bytes in one SQLite file, shared by threads and processes."""

import fcntl
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

_FILE: Final = "pages-1.sqlite3"
"""The number is the version of the tables: another one is another file."""
_BUSY_S: Final = 1.0
"""Wait for another process's transaction, or for its opening of the file; a look-up's own limit is longer."""
_POLL_S: Final = 0.01
_PAGE: Final = 4096
"""SQLite's unit: a value's size is counted in whole ones, as long values take them."""
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TABLES: Final = """
PRAGMA auto_vacuum = FULL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS sizes ON answers (number, size);
"""
_DROP_OLDEST: Final = """
DELETE FROM answers WHERE number IN (
    SELECT number FROM (SELECT number, sum(size) OVER (ORDER BY number DESC) AS with_newer FROM answers)
    WHERE with_newer > ?
)
"""


class WebCache:
    """Bytes by key, at most `limit_bytes` of them: the least recently stored go first.

    A corrupt file is renamed to `<name>.corrupt`, named in the log, and a new one begun.

    Raises:
        OSError: the folder or the file cannot be used.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / _FILE
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()  # guards the one connection, which all threads use in turn
        self._opened: int | None = None  # inode of the file that the connection has
        self._database = self._open()

    def get(self, key: str) -> bytes | None:
        """The value kept under a key, or None.

        Raises:
            sqlite3.Error: the file cannot be read. OSError: nor can a new one be opened.
        """
        row = self._run(lambda database: database.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone())
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, unless it alone exceeds the limit.

        Raises:
            sqlite3.Error: the file cannot be written. OSError: nor can a new one be opened.
        """
        size = -(-(len(value) + len(key)) // _PAGE) * _PAGE
        if size > self._limit_bytes:
            return

        def store(database: sqlite3.Connection) -> None:
            with database:  # one transaction
                database.execute("BEGIN IMMEDIATE")
                database.execute(
                    "INSERT OR REPLACE INTO answers (key, size, value) VALUES (?, ?, ?)", (key, size, value)
                )
                database.execute(_DROP_OLDEST, (self._limit_bytes,))

        self._run(store)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`; once more on a new file if this one turns out to be corrupt."""
        with self._lock:
            try:
                return work(self._database)
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._database.close()
                self._database = self._open(corrupt=error)
                return work(self._database)

    def _open(self, corrupt: sqlite3.DatabaseError | None = None) -> sqlite3.Connection:
        """The file with its tables. A corrupt one is set aside, unless another process did that meanwhile."""
        with _alone(self._file.with_suffix(".lock")):
            try:
                if corrupt is not None and self._inode() == self._opened:
                    raise corrupt
                return self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise OSError(f"{self._file}: {error}") from error
                self._set_aside(error)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            database.executescript(_TABLES)
        except BaseException:
            database.close()
            raise
        self._opened = self._inode()
        return database

    def _inode(self) -> int | None:
        return self._file.stat().st_ino if self._file.exists() else None

    def _set_aside(self, error: Exception) -> None:
        aside = self._file.with_name(self._file.name + ".corrupt")
        self._file.replace(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the corrupt file, and must not be applied to its successor
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        _LOG.warning("the web cache was corrupt (%s) and begins anew; the old file is %s", error, aside)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return (error.sqlite_errorcode or 0) & 0xFF in _CORRUPT  # the low byte: extended codes say where


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Hold a file's lock against other processes.

    Raises:
        TimeoutError: another process holds it for too long.
    """
    end = time.monotonic() + _BUSY_S
    with lock.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"{lock}: another process has held it for {_BUSY_S:g} s") from None
                time.sleep(_POLL_S)
        yield
