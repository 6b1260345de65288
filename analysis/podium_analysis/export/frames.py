"""A run as frames: tasks, calls, events; as Parquet or CSV files, or in Python as pandas DataFrames."""

# pandas and DuckDB's results are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import argparse
import importlib.util
import os
import sys
import weakref
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from podium_contracts.event import Stamp, Use, event_fields
from podium_contracts.events import LlmCall, NewerSchema, ToolCall
from podium_contracts.files import replacing

from podium_analysis.load import run_data
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder
from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import COLUMNS, IN_TIME
from podium_analysis.scoring.scores import LIMITS
from podium_analysis.stats.compute import Stats, compute_stats

if TYPE_CHECKING:
    import pandas as pd

Name = Literal["tasks", "calls", "events"]
NAMES: Final[tuple[Name, ...]] = ("tasks", "calls", "events")
Format = Literal["parquet", "csv"]

_WRITTEN: Final = {"parquet": "FORMAT parquet", "csv": "FORMAT csv, HEADER"}
_OUTCOME: Final = f"""
    CASE WHEN status IS NULL THEN NULL WHEN status = 'skipped' THEN 'skipped'
         WHEN status = 'done' AND ending IN ({", ".join(f"'{ending}'" for ending in sorted(LIMITS))}) THEN 'unanswered'
         WHEN status = 'done' AND correct IS NOT NULL THEN if(correct, 'right', 'wrong')
         WHEN ending = 'answered' THEN 'ungraded' ELSE 'error' END
"""


def frame_sql(run: RunData, name: Name) -> str:
    """The query whose result is the frame.

    tasks: a row a task that the log names, NULLs for one that has not ended; outcome as stats.json counts it.
    calls: a row a model call and tool call. `turn` is equal for all calls of one turn, so (turn, tool) joins a tool
    call with the model calls that it made; the orchestrator's call of the turn has no tool.
    events: a row an event that counts, all columns.
    end_ms is the time in the run at which it was written, segments end to end.
    """
    offsets = " ".join(f"WHEN {segment.n} THEN {segment.offset_ms!r}" for segment in run.segments)
    end = f"mono_ms + CASE coalesce(segment, 1) {offsets} END AS end_ms" if offsets else "mono_ms AS end_ms"
    if name == "tasks":
        return (
            f"SELECT t.task_id, t.epoch, f.* EXCLUDE (task, task_id, epoch, kind), {_OUTCOME} AS outcome "
            "FROM tasks t LEFT JOIN final f USING (task) ORDER BY t.task"
        )
    if name == "events":
        return f"SELECT {end}, {', '.join(COLUMNS)} FROM events ORDER BY {IN_TIME}"
    known = {f.name: None for cls in (Stamp, LlmCall, ToolCall) for f in event_fields(cls) if f.use is not Use.LOG_ONLY}
    return f"""
        SELECT {end}, task_id || '#' || coalesce(epoch, 1) || '.' || greatest(attempt, 1) || '.' || step AS turn,
               {", ".join(known)}
        FROM (SELECT *, count(*) FILTER (type = 'task_start') OVER (
                  PARTITION BY task_id, coalesce(epoch, 1) ORDER BY {IN_TIME} ROWS UNBOUNDED PRECEDING) AS attempt
              FROM events)
        WHERE type IN ('llm_call', 'tool_call') ORDER BY {IN_TIME}
    """


def write_frames(run: RunData, out: Path, form: Format) -> list[Path]:
    """Write tasks, calls and events to `out`; readers see the old file or the new one."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name in NAMES:
        path = out / f"{name}.{form}"
        with replacing(path) as temporary:
            quoted = str(temporary).replace("'", "''")
            run.execute(f"COPY ({frame_sql(run, name)}) TO '{quoted}' ({_WRITTEN[form]})")
        written.append(path)
    return written


class Run:
    """A run for a notebook. Frames are made when first asked for, and kept. Close it, use `with`, or let it go."""

    def __init__(self, data: RunData) -> None:
        self.data = data
        """The tables themselves: `data.rows(sql)`, and the log's own lines: `data.events()`."""
        self._close = weakref.finalize(self, data.close)

    @property
    def id(self) -> str:
        return self.data.run_id

    @cached_property
    def tasks(self) -> "pd.DataFrame":
        """A row a task; see frame_sql."""
        return self._frame("tasks")

    @cached_property
    def calls(self) -> "pd.DataFrame":
        """A row a model call and tool call; see frame_sql."""
        return self._frame("calls")

    @cached_property
    def events(self) -> "pd.DataFrame":
        """A row an event; see frame_sql."""
        return self._frame("events")

    @cached_property
    def statistics(self) -> Stats:
        """All that stats.json holds, by attribute."""
        return compute_stats(self.data)

    @cached_property
    def stats(self) -> "pd.DataFrame":
        """A row a metric, indexed by its name: unit, n, n_missing, mean, sd, min, max, percentiles."""
        import pandas as pd

        drop = {"histograms", "intervals", "by_status", "by_tool_model", "by_step"}
        metrics: dict[str, dict[str, Any]] = msgspec.to_builtins(self.statistics.metrics)
        rows = {name: {k: v for k, v in entry.items() if k not in drop} for name, entry in metrics.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def _frame(self, name: Name) -> "pd.DataFrame":
        return self.data.db.cursor().execute(frame_sql(self.data, name)).df()

    def close(self) -> None:
        """Drop the tables; frames that were made stay."""
        self._close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_run(path: str | os.PathLike[str], *, memory_mb: int = 512) -> Run:
    """Read a run folder (or its events.jsonl) for a notebook. memory_mb: of the tables; frames are beside them.

    Raises:
        ImportError: pandas is not installed.
        LoadError: no such folder, or no log in it.
        NewerSchema: the log was written by a newer Podium.
    """
    if importlib.util.find_spec("pandas") is None:
        raise ImportError("load_run needs pandas: pip install pandas (podium-analysis export does without)")
    return Run(run_data.load_run(Path(path), memory_mb=memory_mb))


def register(subparsers: Any) -> None:
    """Add `export` to podium-analysis."""
    parser = subparsers.add_parser("export", help="tasks, calls and events as Parquet or CSV files")
    parser.add_argument("run", metavar="RUN", help="a run's id or folder")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--parquet", dest="form", action="store_const", const="parquet", help="types and all, small")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="for spreadsheets; empty: unknown")
    parser.add_argument("-o", "--out", type=Path, help="default: RUN/analysis/frames")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 when there is no readable log."""
    try:
        folder = run_folder(args.run)
        with run_data.load_run(folder) as loaded:
            paths = write_frames(loaded, args.out or folder / "analysis" / "frames", args.form)
    except (OSError, LoadError, NewerSchema) as error:
        print(f"podium-analysis export: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0
