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


class Discard:
    """An EventSink that keeps nothing."""

    def emit(self, event: Event) -> None:
        """Nothing happens."""

    async def flush(self) -> None:
        """Nothing to wait for."""
