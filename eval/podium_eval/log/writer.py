"""The log's writer thread: events.jsonl, eval.log and checkpoints in the order they were put.

The loop only stamps a record and puts it on a queue. The thread formats, redacts and writes whole lines with one
write() a batch, so what a killed process leaves behind is at most a torn last line, which the next start cuts away.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
from podium_contracts.events import Event, event_to_json
from podium_contracts.levels import LEVELS, register_levels
from podium_contracts.text.surrogates import encodable, written_out
from pythonjsonlogger.core import LogData
from pythonjsonlogger.orjson import OrjsonFormatter

from podium_eval.clock import iso
from podium_eval.files import LineFile, repair_tail
from podium_eval.log.redact import Redactor

_LEVEL_NAMES: Final = {number: name for name, number in LEVELS.items()}
_GATHER_S: Final = 0.02
"""How long the writer lets a batch gather: a wake-up an event would take the interpreter from the loop each time."""
_BATCH: Final = 2000

Job = Callable[[], None]


class LogBroken(OSError):
    """The log can no longer be written (most often: the disk is full). The run must stop; a resume goes on."""


class EventRecord(logging.LogRecord):
    """A stdlib record that carries an Event; formatting happens in the writer's thread.

    LogRecord's own constructor looks up process, thread and caller, which costs more than all the rest of emit; this
    one sets what a formatter reads.
    """

    exc_info = exc_text = stack_info = None
    name = "podium.events"
    msg = message = ""
    args = ()

    def __init__(self, event: Event, created: float, mono_ms: float) -> None:
        self.event = event
        self.levelno = event.LEVEL
        self.created = created
        self.mono_ms = mono_ms


class EventFormatter(OrjsonFormatter):
    """An EventRecord as one JSON object: type, ts, level, mono_ms, then the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        log_data: LogData = {}
        self.add_fields(log_data, record, {})
        return self.serialize_log_record(log_data)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        assert isinstance(record, EventRecord)
        fields = event_to_json(record.event)
        log_data["type"] = fields["type"]
        log_data["ts"] = iso(record.created)
        log_data["level"] = _LEVEL_NAMES[record.levelno]
        log_data["mono_ms"] = round(record.mono_ms, 3)
        log_data.update(fields)

    def jsonify_log_record(self, log_data: LogData) -> str:
        try:
            return super().jsonify_log_record(log_data)
        except orjson.JSONEncodeError:
            return super().jsonify_log_record(encodable(log_data))


class LogWriter(logging.Handler):
    """The one writer. A stdlib handler: ordinary records go to eval.log; `put_job` orders file work behind them.

    on_failure is called once, in the writer's thread, when a write fails; from then on everything is dropped and
    flush raises LogBroken.
    """

    def __init__(
        self,
        events: Path,
        log: Path,
        *,
        redactor: Redactor,
        on_failure: Callable[[OSError], None],
    ) -> None:
        super().__init__()
        self.torn_bytes = repair_tail(events)
        repair_tail(log)
        self._events = LineFile(events)
        self._log = LineFile(log)
        self._redactor = redactor
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[logging.LogRecord | Job | threading.Event | None] = queue.SimpleQueue()
        self._event_format = EventFormatter()
        self._line_format = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self._line_format.converter = time.gmtime
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self.error: OSError | None = None

    def start(self) -> None:
        """Start the thread."""
        register_levels()
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record (stdlib's entry; never blocks)."""
        self._queue.put(record)

    def put_job(self, job: Job) -> None:
        """Run file work in the writer's thread, after everything put before."""
        self._queue.put(job)

    async def flush_to_disk(self) -> None:
        """Return when all that was put before is on the disk; many callers share one fdatasync.

        Raises:
            LogBroken: a write failed, now or before.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.put_job(_Sync(loop, future))
        await future
        if self.error is not None:
            raise LogBroken(self.error.errno, self.error.strerror or str(self.error))

    def close(self) -> None:
        """Write what is queued and stop the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._events.close()
            self._log.close()
        super().close()

    def _work(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            if self._queue.empty():
                time.sleep(_GATHER_S)
            while len(batch) < _BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            going = self._write(batch)

    def _write(self, batch: list[Any]) -> bool:
        events: list[str] = []
        lines: list[str] = []
        syncs: list[_Sync] = []
        going = True

        def out() -> None:
            if events:
                text = "\n".join(events) + "\n"
                events.clear()
                self._guard(lambda: self._events.write(self._redactor.data(text.encode())))
            if lines:
                text = "\n".join(lines) + "\n"
                lines.clear()
                self._guard(lambda: self._log.write(self._redactor.data(written_out(text).encode())))

        for item in batch:
            if isinstance(item, EventRecord):
                events.append(self._event_format.format(item))
            elif isinstance(item, logging.LogRecord):
                lines.append(self._line_format.format(item))
            elif isinstance(item, _Sync):
                syncs.append(item)
            elif item is None:
                going = False
            else:
                out()
                self._guard(item)
        out()
        if syncs:
            self._guard(self._events.sync)
            for sync in syncs:
                sync.done()
        return going

    def _guard(self, work: Job) -> None:
        if self.error is not None:
            return
        try:
            work()
        except OSError as error:
            self.error = error
            self._on_failure(error)


class _Sync:
    """A place in the queue that someone waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[None]") -> None:
        self._loop = loop
        self._future = future

    def __call__(self) -> None:
        raise AssertionError("a sync is no job")

    def done(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return  # the loop is gone, and whoever waited with it

    def _resolve(self) -> None:
        if not self._future.done():
            self._future.set_result(None)
