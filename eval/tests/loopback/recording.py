"""An EventSink that keeps events where a test can look at them, and Models wired to loopback servers."""

import asyncio
from collections.abc import Callable
from typing import Any

from podium_contracts.events import Event
from podium_eval.models.build import build_models
from podium_eval.models.models import Models
from podium_eval.settings.models import ModelSettings


class RecordingSink:
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._emitted = asyncio.Event()

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self._emitted.set()

    async def seen(self, wanted: Callable[[Any], bool]) -> None:
        """Return once an event that is wanted has been emitted."""
        while not any(wanted(event) for event in self.events):
            self._emitted.clear()
            await self._emitted.wait()

    async def flush(self) -> None:
        return None

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if getattr(event, "type", None) == kind]


QUICK: dict[str, Any] = {
    "retry_first_s": 0.001,
    "retry_longest_s": 0.01,
    "breaker_first_s": 0.02,
    "breaker_longest_s": 0.05,
    "breaker_wait_s": 5.0,
}
"""Settings under which a test need not wait for what a run waits for."""


def settings_for(address: str, **changes: Any) -> ModelSettings:
    """Orchestrator, judge and all experts at one address of a server of one's own."""
    values: dict[str, Any] = {
        "orchestrator_url": address,
        "expert_default": f"vllm/expert@{address}",
        "judge": f"vllm/judge@{address}",
        **QUICK,
        **changes,
    }
    return ModelSettings(**values)


def models_for(address: str, sink: RecordingSink | None = None, **changes: Any) -> Models:
    """Models for settings_for; the caller closes them."""
    concurrency = changes.pop("concurrency", 16)
    options = {name: changes.pop(name) for name in ("auth_failures", "on_auth_failures") if name in changes}
    return build_models(
        settings_for(address, **changes),
        sink or RecordingSink(),
        ids={"run_id": "test", "segment": 2},
        concurrency=concurrency,
        **options,
    )
