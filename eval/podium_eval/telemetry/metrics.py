"""A run's numbers for Prometheus: counted as its events pass, its state read when a scrape asks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from podium_contracts.events import Event, Judge, Limit, LlmCall, TaskComplete, ToolCall
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from podium_eval.log.meter import Meter

PREFIX: Final = "podium_eval_"
MOST: Final = 64
"""Different values of a label that comes from outside, as a model's name by its server; further ones are `other`."""
_CALL_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, float("inf"))
_TASK_S: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 2400, 4800, 9600, float("inf"))
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}


class LimitState(Protocol):
    """A provider's concurrency limit."""

    limit: int
    maximum: int
    in_flight: int

    @property
    def waiting(self) -> int: ...
    @property
    def paused_s(self) -> float: ...


class BreakerState(Protocol):
    """A service's circuit breaker."""

    @property
    def service(self) -> str: ...
    @property
    def state(self) -> str: ...


class _Bounded:
    """At most MOST different names."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def __call__(self, name: str | None) -> str:
        text = name or "none"
        if text not in self._names:
            if len(self._names) >= MOST:
                return "other"
            self._names.add(text)
        return text


class RunMetrics:
    """An EventLog observer, and the page of what it counted. See docs/observability.md for each metric."""

    def __init__(
        self, meter: Meter, limits: Mapping[str, LimitState], breakers: Mapping[str, BreakerState], budget: float | None
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._model, self._tool = _Bounded(), _Bounded()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _CALL_S) -> Histogram:
            return Histogram(PREFIX + name, text, labels, buckets=buckets, registry=registry)

        self._endings = counter("task_endings", "Tasks that ended.", "status", "ending")
        self._task_s = histogram("task_duration_seconds", "Active time of a task.", buckets=_TASK_S)
        self._judgements = counter("judgements", "Judgements.", "outcome")
        call = ("provider", "model", "role")
        self._calls = counter("model_calls", "Model calls; outcome: ok or the error's type.", *call, "outcome")
        self._call_s = histogram("model_call_duration_seconds", "The attempt that counted.", *call)
        self._wait_s = histogram("model_call_wait_seconds", "Limits, breakers and retries before it.", "role")
        self._admission_s = histogram("admission_seconds", "What the order of turns held a turn back.")
        self._server_s = histogram("orchestrator_server_seconds", "By the server's word.", "part")
        self._tokens = counter("tokens", "Tokens as servers count them.", "provider", "model", "kind")
        self._cost = counter(
            "cost_usd", "Known costs: calls by provider; tools' own pieces as provider tool.", "provider"
        )
        self._unpriced = counter("unpriced", "Calls and pieces without a known price.")
        self._tools = counter("tool_calls", "Tool calls.", "tool", "status")
        self._tool_s = histogram("tool_duration_seconds", "A tool, its expert and judge included.", "tool")
        self._moves = counter("limit_moves", "Moves of a provider's concurrency limit.", "provider", "direction")
        registry.register(_State(meter, limits, breakers, budget))

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def observe(self, event: Event) -> None:
        """Count it."""
        if isinstance(event, LlmCall):
            self._call(event)
        elif isinstance(event, ToolCall):
            # What an invalid turn named is any text.
            tool = "invalid" if event.status == "invalid" else self._tool(event.tool)
            self._tools.labels(tool, event.status).inc()
            self._tool_s.labels(tool).observe(event.duration_total_ms / 1000)
            if event.cost_usd is not None:
                self._cost.labels("tool").inc(event.cost_usd)
            self._unpriced.inc(event.n_unpriced)
        elif isinstance(event, Judge):
            outcome = "failed" if event.correct is None else "correct" if event.correct else "incorrect"
            self._judgements.labels(outcome).inc()
        elif isinstance(event, TaskComplete):
            self._endings.labels(event.status, event.ending).inc()
            if event.status != "skipped":
                self._task_s.observe(event.duration_ms / 1000)
        elif isinstance(event, Limit):
            moved = "up" if event.limit > event.previous else "down" if event.limit < event.previous else "lockout"
            self._moves.labels(event.provider, moved).inc()

    def _call(self, event: LlmCall) -> None:
        provider, model = event.provider, self._model(event.model)
        names = (provider, model, event.role)
        self._calls.labels(*names, event.error_type or "ok").inc()
        self._call_s.labels(*names).observe(event.duration_ms / 1000)
        self._wait_s.labels(event.role).observe(event.wait_ms / 1000)
        if event.admission_ms is not None:
            self._admission_s.observe(event.admission_ms / 1000)
        if event.role == "orchestrator":
            for part, ms in (("queue", event.queue_ms), ("prefill", event.prefill_ms), ("decode", event.decode_ms)):
                if ms is not None:
                    self._server_s.labels(part).observe(ms / 1000)
        for kind, n in (
            ("prompt", event.prompt_tokens),
            ("cached", event.cached_tokens),
            ("completion", event.completion_tokens),
            ("reasoning", event.reasoning_tokens),
        ):
            if n is not None:
                self._tokens.labels(provider, model, kind).inc(n)
        if event.cost_usd is not None:
            self._cost.labels(provider).inc(event.cost_usd)
        elif event.error_type is None:
            self._unpriced.inc()


class _State(Collector):
    """How things stand at the moment of a scrape."""

    def __init__(
        self, meter: Meter, limits: Mapping[str, LimitState], breakers: Mapping[str, BreakerState], budget: float | None
    ) -> None:
        self._meter = meter
        self._limits = limits
        self._breakers = breakers
        self._budget = budget

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        meter = self._meter
        states = {
            "in_flight": len(meter.in_flight),
            "waiting": max(0, meter.left - len(meter.in_flight)),
            "done": meter.done,
            "error": sum(meter.errors.values()),
            "skipped": meter.skipped,
            "before": meter.before,
        }
        yield _family("tasks", "Tasks by state; before: finished by earlier segments.", "state", states)
        grades = {
            "correct": meter.correct,
            "incorrect": meter.done - meter.correct - meter.ungraded,
            "ungraded": meter.ungraded,
        }
        yield _family("tasks_done", "Done tasks of this segment by grade.", "grade", grades)
        yield _family("spent_usd", "Known costs of the whole run.", None, {"": meter.spent_usd})
        if self._budget is not None:
            yield _family("budget_usd", "BUDGET.", None, {"": self._budget})
        of: tuple[tuple[str, str, Callable[[LimitState], float]], ...] = (
            ("limit", "Calls that a provider gets at once.", lambda one: one.limit),
            ("limit_maximum", "The most that the limit may be.", lambda one: one.maximum),
            ("limit_in_flight", "Calls under way.", lambda one: one.in_flight),
            ("limit_waiting", "Calls that wait for the limit.", lambda one: one.waiting),
            (
                "limit_paused_seconds",
                "Until a provider that asked for a pause gets calls again.",
                lambda one: one.paused_s,
            ),
        )
        for name, text, value in of:
            yield _family(name, text, "provider", {key: value(one) for key, one in self._limits.items()})
        worst: dict[str, int] = {}
        for one in self._breakers.values():  # a service of several models is as bad as the worst of its breakers
            worst[one.service] = max(worst.get(one.service, 0), _BREAKER[one.state])
        yield _family("breaker", "Circuit breaker: 0 closed, 1 half open, 2 open.", "service", worst)


def _family(name: str, text: str, label: str | None, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label] if label else [])
    for key, value in values.items():
        family.add_metric([key] if label else [], value)
    return family
