"""What /metrics shows. Names start with podium_retrieval_."""

from dataclasses import asdict
from typing import Final

from podium_contracts.search import Screened
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from podium_retrieval.batching.engine import BatchResult

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """One registry a service, none of it global."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        name = "podium_retrieval"
        self.requests = Counter(f"{name}_requests", "Requests answered, by outcome.", ["outcome"], registry=registry)
        self.queue = Gauge(f"{name}_queue", "Queries that wait for a batch.", registry=registry)
        self.last_batch = Gauge(f"{name}_batch_size", "Queries in the last batch.", registry=registry)
        self.batches = Histogram(f"{name}_batch_queries", "Queries in a batch.", buckets=_SIZES, registry=registry)
        self.tokens = Counter(f"{name}_tokens", "Tokens encoded.", registry=registry)
        self.failed_batches = Counter(f"{name}_failed_batches", "Batches that failed.", registry=registry)
        self.duration = Histogram(
            f"{name}_request_seconds",
            "From the request's last byte to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_time = Histogram(
            f"{name}_queue_seconds", "From arrival to the start of the batch.", buckets=_SECONDS, registry=registry
        )
        self.encode = Histogram(f"{name}_encode_seconds", "Encoding one batch.", buckets=_SECONDS, registry=registry)
        self.search = Histogram(f"{name}_search_seconds", "Searching one batch.", buckets=_SECONDS, registry=registry)
        self.cache_hits = Counter(f"{name}_cache_hits", "Queries answered from the cache.", registry=registry)
        self.web = Counter(f"{name}_web_searches", "Web look-ups, by outcome.", ["outcome"], registry=registry)
        self.web_failures = Counter(f"{name}_web_failures", "Failed web look-ups, by why.", ["why"], registry=registry)
        self.screened = Counter(
            f"{name}_screened", "Web pages left out and queries changed, by rule.", ["rule"], registry=registry
        )
        self.web_time = Histogram(f"{name}_web_seconds", "One web look-up.", buckets=_SECONDS, registry=registry)

    def count_screened(self, screened: Screened | None) -> None:
        """What screening left out of one look-up."""
        for rule, n in (asdict(screened) if screened else {}).items():
            self.screened.labels(rule).inc(n)

    def batch(self, result: BatchResult, size: int, tokens: int) -> None:
        """See owner.Observer."""
        self.last_batch.set(size)
        self.batches.observe(size)
        self.tokens.inc(tokens)
        self.encode.observe(result.encode_ms / 1e3)
        self.search.observe(result.search_ms / 1e3)

    def batch_failed(self, size: int) -> None:
        """See owner.Observer."""
        self.failed_batches.inc()

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
