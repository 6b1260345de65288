"""The events of a run on their way to the log: level, time stamps, observers."""

import logging
from collections.abc import Callable

from podium_contracts.events import Event
from podium_contracts.levels import level_number

from podium_eval.clock import Clock, SystemClock
from podium_eval.log.writer import EventRecord, LogBroken, LogWriter

_log = logging.getLogger(__name__)


class EventLog:
    """The EventSink of a run: filters by level, stamps both clocks, calls observers, queues for the writer."""

    def __init__(
        self,
        writer: LogWriter,
        *,
        level: str = "PROFILE",
        clock: Clock | None = None,
        observers: tuple[Callable[[Event], None], ...] = (),
    ) -> None:
        self._writer = writer
        self._level = level_number(level)
        self._clock = clock or SystemClock()
        self._began = self._clock.mono()
        self._observers = observers

    @property
    def mono_ms(self) -> float:
        """Milliseconds since the segment began."""
        return (self._clock.mono() - self._began) * 1000

    def emit(self, event: Event) -> None:
        """Stamp and queue; observers see every event, the file those that the level lets through."""
        for observe in self._observers:
            observe(event)
        self.note(event)

    def note(self, event: Event) -> None:
        """emit without observers, for what is written now and was counted before."""
        if self._level <= event.LEVEL or event.ALWAYS:
            mono_ms = (self._clock.mono() - self._began) * 1000
            self._writer.emit(EventRecord(event, self._clock.wall(), mono_ms))

    async def flush(self) -> None:
        """See LogWriter.flush_to_disk."""
        await self._writer.flush_to_disk()

    async def end(self) -> bool:
        """Flush for the last time; False, with a line on the terminal, when the log broke."""
        try:
            await self.flush()
        except LogBroken as error:
            _log.error("the log ends here: %s", error.strerror)
            return False
        return True
