"""The sandbox's metrics for Prometheus."""
# pyright: reportUnknownMemberType=false

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """A separate registry, so that two services in one process do not share metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = Counter("podium_sandbox_runs", "Programs by ending.", ["status"], registry=self.registry)
        self.seconds = Histogram(
            "podium_sandbox_run_seconds",
            "Wall time of programs.",
            ["status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.startup = Histogram(
            "podium_sandbox_startup_seconds",
            "Time before a program's first line.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waited = Histogram(
            "podium_sandbox_wait_seconds", "Wait for a slot.", buckets=_SECONDS, registry=self.registry
        )
        self.refused = Counter(
            "podium_sandbox_refused", "Requests without a run, by reason.", ["reason"], registry=self.registry
        )
        self.running = Gauge("podium_sandbox_running", "Programs that run.", registry=self.registry)
        self.waiting = Gauge("podium_sandbox_waiting", "Programs that wait.", registry=self.registry)
        self.restarts = Gauge("podium_sandbox_zygote_restarts", "Restarts of the zygote.", registry=self.registry)
