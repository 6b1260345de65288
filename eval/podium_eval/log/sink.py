"""Where events go: the interface of the log, and a sink for calls that belong to no run, as those of a check."""

from typing import Protocol

from podium_contracts.events import Event


class EventSink(Protocol):
    def emit(self, event: Event) -> None:
        """Stamp ts, level and mono_ms, queue for the one writer; never blocks the loop, never raises."""
        ...

    async def flush(self) -> None:
        """Return when all that was emitted before is on disk."""
        ...


class LateSink:
    """Keeps nothing until a sink is attached: for models that are built, and checked, before a run's log is open."""

    def __init__(self) -> None:
        self._sink: EventSink = Discard()

    def attach(self, sink: EventSink) -> None:
        """What is emitted from now on goes to `sink`."""
        self._sink = sink

    def emit(self, event: Event) -> None:
        """See EventSink."""
        self._sink.emit(event)

    async def flush(self) -> None:
        """See EventSink."""
        await self._sink.flush()


class Discard:
    """An EventSink that keeps nothing."""

    def emit(self, event: Event) -> None:
        """Nothing happens."""

    async def flush(self) -> None:
        """Nothing to wait for."""
