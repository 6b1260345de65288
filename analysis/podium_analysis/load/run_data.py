"""A run folder, read: its events as a table, its tasks, samples and manifest.

DuckDB reads the JSON lines with all cores, strictly by the columns of `schema.py`, into a table that spills to disk
beyond its memory limit. So memory is bounded by a setting and not by the log. Bad lines (torn, no JSON, a needed field
missing or of the wrong type) are left out, an optional value of the wrong type counts as missing; both are counted and
reported by line.
"""

# DuckDB's results and orjson's objects are untyped: their types are stated here, where they enter.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

import duckdb
import orjson
from podium_contracts.events import check_schema
from podium_contracts.records import TaskRecord

from podium_analysis.load.event_table import LoadError, ReadLog, read_events
from podium_analysis.load.records import BadRecord, read_records
from podium_analysis.load.schema import REQUIRED
from podium_analysis.load.tables import Segment as Segment
from podium_analysis.load.tables import TaskRow as TaskRow
from podium_analysis.load.tables import make_tables, read_segments

if TYPE_CHECKING:  # numpy is imported beside the reading of the log, which does not need it
    import numpy as np
    import numpy.typing as npt

IN_MEMORY_BYTES: Final = 2_000_000_000
"""The table of a larger log is a compressed file from the start, which is read faster than spilled blocks."""
THREAD_MB: Final = 64
"""Memory that a reading thread needs: buffers of twice LINE_BYTES, and what it builds from them."""


class RunData:
    """A loaded run. Close it (or use `with`): it holds a temporary folder. Threads may query it at the same time.

    `db` has the tables
      events  a row per good line, in any order (schema.IN_TIME sorts them): the columns of schema.COLUMNS, NULL
              where the line has none; and kind, a number for what schema.KIND names together;
      cells   a row per kind: kind, what schema.KIND names, n (how many events), and of each number n_<name> and
              sum_<name> over them. What is counted or summed by these alone need not go through all events;
      tasks   a row per (task_id, epoch) that the log names: task, task_id, epoch;
      final   a row per task that has ended: the fields of TaskRow, and kind, a number for its status.
    """

    def __init__(
        self,
        folder: Path,
        db: duckdb.DuckDBPyConnection,
        scratch: Path | None,
        manifest: dict[str, Any],
        read: ReadLog,
        log_bytes: int,
        segments: Sequence[Segment],
    ) -> None:
        self.folder = folder
        self.db = db
        self.manifest = manifest
        """run.json, or {} when there is none (yet)."""
        self.problems = read.problems
        self.n_problems = read.n_left_out
        """Lines that were left out."""
        self.n_lost_values = read.n_lost
        """Lines that were kept, but not all of their values."""
        self.n_events = read.n_events
        self.log_bytes = log_bytes
        self.segments = tuple(segments)
        self._scratch = scratch
        self._tasks: tuple[TaskRow, ...] | None = None

    @property
    def run_id(self) -> str:
        return str(self.manifest.get("run_id") or self.folder.name)

    @property
    def log(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def wall_ms(self) -> float:
        """The segments' lengths together; pauses between them are not in it."""
        return sum(segment.length_ms for segment in self.segments)

    @property
    def ended(self) -> bool:
        """The last segment wrote run_end."""
        return bool(self.segments) and self.segments[-1].reason is not None

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The result of a query as tuples. For small results."""
        return self.db.cursor().execute(sql, list(parameters)).fetchall()

    def execute(self, sql: str) -> None:
        """Run a statement that has no result. Tables that it makes are seen by every thread; temporary ones are not."""
        self.db.cursor().execute(sql)

    def arrays(self, sql: str, parameters: Sequence[object] = ()) -> "dict[str, npt.NDArray[Any]]":
        """The result of a query as arrays by column name; a NULL is NaN in a DOUBLE column. Cast what may be NULL."""
        raw = self.db.cursor().execute(sql, list(parameters)).fetchnumpy()
        return {name: _plain(column) for name, column in raw.items()}

    def tasks(self) -> Sequence[TaskRow]:
        """Every task that has ended, by its last ending, in the order of eid, id and epoch."""
        if self._tasks is None:
            names = ", ".join(TaskRow.__dataclass_fields__)
            rows = self.rows(f"SELECT {names} FROM final ORDER BY eid NULLS LAST, task_id, epoch")
            self._tasks = tuple(TaskRow(*row) for row in rows)
        return self._tasks

    def events(self, *types: str) -> Iterator[dict[str, Any]]:
        """The log's own objects, line by line, of the given types (all by default); bad lines are passed over.

        Whole objects as the file has them (ts, error_message, …): 3 µs each, nothing is kept.
        """
        wanted = set(types) if types else set(REQUIRED)
        with self.log.open("rb") as lines:
            for line in lines:
                try:
                    event: Any = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(event, dict) and event.get("type") in wanted:
                    yield cast(dict[str, Any], event)

    def records(self, bad: list[BadRecord] | None = None) -> Iterator[TaskRecord]:
        """tasks/*.json in the order of their names; unreadable ones go to `bad`.

        Raises:
            LoadError: a file is no task record, or of a newer version, and `bad` is None; the message names it.
        """
        yield from read_records(self.folder, bad)

    def samples(self) -> Iterator[dict[str, Any]]:
        """samples.jsonl, an object a second; torn lines are passed over; nothing when the run took none."""
        path = self.folder / "samples.jsonl"
        if not path.exists():
            return
        with path.open("rb") as lines:
            for line in lines:
                try:
                    sample: Any = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(sample, dict):
                    yield cast(dict[str, Any], sample)

    def close(self) -> None:
        """Drop the tables and the temporary folder."""
        self.db.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> "RunData":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_run(path: Path, *, memory_mb: int = 512, threads: int | None = None) -> RunData:
    """Read a run folder (or its events.jsonl).

    memory_mb: the limit of the table's memory, half of it for logs beyond IN_MEMORY_BYTES; what is beyond goes to a
    temporary folder. threads: None is all cores, as far as the memory goes (THREAD_MB each).

    Raises:
        LoadError: no such folder, no log in it, or a line longer than LINE_BYTES.
        NewerSchema: the log was written by a newer Podium.
    """
    folder = path.parent if path.name == "events.jsonl" else path
    log = folder / "events.jsonl"
    if not folder.is_dir():
        raise LoadError(f"{folder}: no such run folder; give --run a run's id or folder (RUNS_DIR holds the runs)")
    if not log.is_file():
        raise LoadError(f"{folder}: no events.jsonl in it; it is no run folder, or the run has not started")
    _check_first_line(log)
    scratch = Path(tempfile.mkdtemp(prefix="podium-analysis-"))
    log_bytes = log.stat().st_size
    on_disk = log_bytes > IN_MEMORY_BYTES
    db = duckdb.connect(
        str(scratch / "events.duckdb") if on_disk else ":memory:",
        config={
            # With the table on disk more memory buys little, and the arrays of a long log need some.
            "memory_limit": f"{memory_mb // 2 if on_disk else memory_mb}MB",
            "temp_directory": str(scratch),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(max(1, min(threads or os.cpu_count() or 1, memory_mb // THREAD_MB))),
        },
    )
    try:
        read = read_events(db, log)
        make_tables(db)
        return RunData(folder, db, scratch, _manifest(folder), read, log_bytes, read_segments(db))
    except BaseException:
        db.close()
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _check_first_line(log: Path) -> None:
    with log.open("rb") as lines:
        first = lines.readline()
    try:
        event: Any = orjson.loads(first)
        version = event["schema_version"]
    except (ValueError, TypeError, KeyError):
        return  # cut off, bad or no run_start: reported as a problem later, the rest is analysed
    if isinstance(version, int):
        check_schema(version)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        manifest: Any = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError as error:
        raise LoadError(f"{path}: no JSON ({error.msg}); restore it or remove it to analyse the log alone") from error
    if not isinstance(manifest, dict):
        raise LoadError(f"{path}: no JSON object")
    return cast(dict[str, Any], manifest)


def _plain(column: Any) -> "npt.NDArray[Any]":
    import numpy as np

    if not isinstance(column, np.ma.MaskedArray):
        return np.asarray(column)
    masked = cast("np.ma.MaskedArray[Any, np.dtype[Any]]", column)
    plain = np.asarray(masked.data)  # no copy: a column of a long log is tens of MB
    unknown = np.ma.getmaskarray(masked)
    if unknown.any():
        plain[unknown] = {"f": np.nan, "i": -1}.get(plain.dtype.kind)
    return plain
