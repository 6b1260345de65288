"""Samples vLLM's and retrieval's metrics, the GPUs and the lag of this process's event loop, each interval."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from podium_eval.clock import Clock, iso
from podium_eval.files import append_line
from podium_eval.log.writer import LogWriter

_log = logging.getLogger(__name__)

VLLM: Final[dict[str, tuple[str, ...]]] = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_use": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "vllm:cpu_cache_usage_perc"),
    "preemptions_total": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    "queue_s_sum": ("vllm:request_queue_time_seconds_sum",),
    "prefill_s_sum": ("vllm:request_prefill_time_seconds_sum",),
    "decode_s_sum": ("vllm:request_decode_time_seconds_sum",),
    "requests_total": ("vllm:request_queue_time_seconds_count", "vllm:e2e_request_latency_seconds_count"),
    "prompt_tokens_total": ("vllm:prompt_tokens_total",),
    "cached_tokens_total": ("vllm:prompt_tokens_cached_total", "vllm:prefix_cache_hits_total"),
    "generation_tokens_total": ("vllm:generation_tokens_total",),
}
"""Key in samples.jsonl and the metric names that versions of vLLM have had for it, the current one first."""

RETRIEVAL: Final[dict[str, tuple[str, ...]]] = {
    "queue": ("podium_retrieval_queue", "podium_retrieval_queue_depth"),
    "batch_size": ("podium_retrieval_batch_size",),
    "requests_total": ("podium_retrieval_requests_total",),
}


_GAUGES: Final = frozenset({"running", "waiting"})
_SHARES: Final = frozenset({"kv_use"})


def read_metrics(text: str, wanted: dict[str, tuple[str, ...]]) -> dict[str, float | None]:
    """The wanted values of a Prometheus text, summed over labels (a share: their mean); None: a metric is not there."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        value = rest.rpartition("}")[2] if "{" in line else rest
        try:
            sums[name] = sums.get(name, 0.0) + float(value.split()[0])
            counts[name] = counts.get(name, 0) + 1
        except (ValueError, IndexError):
            continue
    found = {key: next((name for name in names if name in sums), None) for key, names in wanted.items()}
    return {
        key: None if name is None else sums[name] / (counts[name] if key in _SHARES else 1)
        for key, name in found.items()
    }


class Fleet:
    """All replicas of the orchestrator as one server. A counter of one that is down stays where it was last seen, and
    goes on from there when it comes back with zero."""

    def __init__(self, replicas: int) -> None:
        self._seen: list[dict[str, float]] = [{} for _ in range(replicas)]
        self._before: list[dict[str, float]] = [{} for _ in range(replicas)]

    def add(self, samples: Sequence[dict[str, float | None] | None]) -> dict[str, float | None] | None:
        """The sum over replicas (a share: the mean of those that answered); None when no replica answered."""
        answered = [sample for sample in samples if sample is not None]
        for number, sample in enumerate(samples):
            self._count(number, sample or {})
        if not answered:
            return None
        whole: dict[str, float | None] = {}
        for key in answered[0]:
            values = [value for sample in answered if (value := sample[key]) is not None]
            if key not in _GAUGES | _SHARES:
                values = [
                    seen[key] + before.get(key, 0.0)
                    for seen, before in zip(self._seen, self._before, strict=True)
                    if key in seen
                ]
            total = sum(values) / (len(values) if key in _SHARES else 1) if values else None
            whole[key] = total
        return whole

    def _count(self, number: int, sample: dict[str, float | None]) -> None:
        seen, before = self._seen[number], self._before[number]
        for key, value in sample.items():
            if value is None or key in _GAUGES | _SHARES:
                continue
            if value < seen.get(key, 0.0):
                before[key] = before.get(key, 0.0) + seen[key]
            seen[key] = value


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses of metrics pages (retrieval None: not asked), tasks in flight, milliseconds since the segment began.

    vllm: one for each replica of the orchestrator; with several, each one's own values follow their sum.
    gpus: their readings within so many seconds, none: a sample without the field; None: not asked.
    """

    vllm: Sequence[str]
    retrieval: str | None
    in_flight: Callable[[], int]
    mono_ms: Callable[[], float]
    gpus: Callable[[float], Awaitable[list[dict[str, Any]]]] | None = None


class Sampler:
    """Appends to samples.jsonl until cancelled. A service that does not answer in time is null in that sample."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        sources: Sources,
        path: Path,
        writer: LogWriter,
        clock: Clock,
        *,
        segment: int,
        interval_s: float,
    ) -> None:
        self._session = session
        self._sources = sources
        self._fleet = Fleet(len(sources.vllm))
        self._path = path
        self._writer = writer
        self._clock = clock
        self._segment = segment
        self._interval_s = interval_s

    async def run(self) -> None:
        """Sample at once, each interval and, when cancelled, a last time: every call lies between two samples."""
        try:
            await self._sample(None)
            while True:
                due = self._clock.mono() + self._interval_s
                await self._clock.sleep(self._interval_s)
                # How late the loop woke this up is how late it wakes anyone up.
                await self._sample(max(0.0, (self._clock.mono() - due) * 1000))
        finally:
            await self._sample(None)

    async def _sample(self, lag_ms: float | None) -> None:
        (retrieval, *replicas), gpus = await asyncio.gather(
            asyncio.gather(
                self._scrape(self._sources.retrieval, RETRIEVAL),
                *(self._scrape(url, VLLM) for url in self._sources.vllm),
            ),
            self._gpus(),
        )
        own: dict[str, Any] = {"gpus": gpus} if gpus else {}
        if len(replicas) > 1:
            own["replicas"] = dict(zip(self._sources.vllm, replicas, strict=True))
        line = orjson.dumps(
            {
                "ts": iso(self._clock.wall()),
                "mono_ms": round(self._sources.mono_ms(), 3),
                "segment": self._segment,
                "in_flight": self._sources.in_flight(),
                "loop_lag_ms": None if lag_ms is None else round(lag_ms, 3),
                "vllm": self._fleet.add(replicas),
                "retrieval": retrieval,
                **own,
            }
        )
        self._writer.put_job(lambda data=line + b"\n": append_line(self._path, data))

    async def _gpus(self) -> list[dict[str, Any]]:
        return [] if self._sources.gpus is None else await self._sources.gpus(self._interval_s + 1)

    async def _scrape(self, url: str | None, wanted: dict[str, tuple[str, ...]]) -> dict[str, Any] | None:
        if url is None:
            return None
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=self._interval_s + 1)) as answer:
                if answer.status != 200:
                    return None
                return dict(read_metrics(await answer.text(), wanted))
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError):
            return None
