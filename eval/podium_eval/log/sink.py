"""The sink of calls that belong to no run, as those of a check."""

from podium_contracts.events import Event


class Discard:
    """An EventSink that keeps nothing."""

    def emit(self, event: Event) -> None:
        """Nothing happens."""

    async def flush(self) -> None:
        """Nothing to wait for."""
