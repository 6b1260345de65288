"""When a run has spent enough: what is spent, plus what the tasks in flight are expected to add."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from podium_contracts.events import Event, LlmCall, TaskComplete, ToolCall

from podium_eval.costs.estimate import estimate
from podium_eval.costs.prices import Prices
from podium_eval.costs.usage import finished_tasks, past_runs
from podium_eval.errors import ConfigError
from podium_eval.log.meter import Meter
from podium_eval.models.models import configured_models
from podium_eval.models.providers import ProviderTable
from podium_eval.settings.read import Settings

PILOTS: Final = 8
"""Tasks at once while a task's cost is not known: 512 that start unseen would spend any budget."""


@dataclass(slots=True)
class Budget:
    """Decides whether another task may be taken. An observer of the run's events, after the meter that counts dollars.

    expected_usd: what a task costs by past runs; None: nothing is known until the first task ends. Calls without a
    price are in no sum.
    """

    limit_usd: float
    meter: Meter
    expected_usd: float | None = None
    pilots: int = PILOTS
    _in_flight: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    _ended: int = 0
    _ended_usd: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, event: Event) -> None:
        """An EventLog observer; of the loop's thread only."""
        key = (event.task_id or "", event.epoch)
        if isinstance(event, LlmCall | ToolCall):
            if event.cost_usd is not None and key in self._in_flight:
                self._in_flight[key] += event.cost_usd
        elif isinstance(event, TaskComplete):
            self._in_flight.pop(key, None)
            if event.status == "done":
                self._ended += 1
                self._ended_usd += event.cost_usd or 0.0
            self._changed.set()

    @property
    def per_task_usd(self) -> float | None:
        """Of a task of this segment where some have ended, else of past runs; None: not known."""
        return self._ended_usd / self._ended if self._ended else self.expected_usd

    @property
    def ahead_usd(self) -> float:
        """What tasks in flight are expected to add to what they have spent."""
        each = self.per_task_usd
        return 0.0 if each is None else sum(max(0.0, each - spent) for spent in self._in_flight.values())

    @property
    def spent_up(self) -> bool:
        """Spent and expected reach the limit."""
        return self.meter.spent_usd + self.ahead_usd >= self.limit_usd

    async def admit(self, task_id: str, epoch: int) -> bool:
        """Whether this task may be taken; True counts it as in flight until its task_complete.

        Until the first ones show what a task costs, waits for one of them to end.
        """
        while self.per_task_usd is None and len(self._in_flight) >= self.pilots and not self.spent_up:
            self._changed.clear()
            await self._changed.wait()
        if self.spent_up:
            return False
        self._in_flight[task_id, epoch] = 0.0
        return True

    def describe(self) -> str:
        """The reason why no further task is taken, for the log."""
        unpriced = self.meter.n_unpriced
        without = f", {unpriced} calls without a price not counted" if unpriced else ""
        return (
            f"BUDGET={self.limit_usd:g} USD: {self.meter.spent_usd:.4f} spent, about {self.ahead_usd:.4f} in flight"
            f"{without}; running tasks end, no further one is taken"
        )


def unpriced_problem(limit_usd: float, unpriced: Iterable[str]) -> str | None:
    """The line for models of a paid provider whose price is not known: a budget blind to them would not hold."""
    names = ", ".join(dict.fromkeys(unpriced))
    if not names:
        return None
    return f"BUDGET={limit_usd:g} cannot be held: no price is known for {names}; add rows with PRICES_FILE"


def build_budget(settings: Settings, meter: Meter) -> Budget | None:
    """The run's Budget, with the cost of a task from past runs and today's prices; None without BUDGET.

    Raises:
        ConfigError: a model of a paid provider has no price, or a model or the price file is wrong.
    """
    if settings.budget is None:
        return None
    models = dict(configured_models(settings))
    prices = Prices.load(settings.prices_file)
    providers = ProviderTable.load(settings.models_file)
    table = {name: prices.tokens(provider, model) for name, (provider, model) in models.items()}
    names = {name: f"{provider}/{model}" for name, (provider, model) in models.items()}
    paid = [
        names[name]
        for name, (provider, _) in models.items()
        if table[name] is None and (row := providers.provider(provider)) is not None and not row.local
    ]
    if (problem := unpriced_problem(settings.budget, paid)) is not None:
        raise ConfigError([problem])
    past = finished_tasks(past_runs(settings.runs_dir))
    expected = estimate(past, len(past), 1, names, table, prices.units()).usd_per_task if past else None
    return Budget(settings.budget, meter, expected_usd=expected)
