"""Once a second: what vLLM and retrieval say of themselves, and how this process's own loop fares."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from podium_eval.clock import Clock, iso
from podium_eval.files import append_line
from podium_eval.log.event_log import LogWriter

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


def read_metrics(text: str, wanted: dict[str, tuple[str, ...]]) -> dict[str, float | None]:
    """The wanted values of a Prometheus text, summed over labels; None for a metric that is not there."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        value = rest.rpartition("}")[2] if "{" in line else rest
        try:
            sums[name] = sums.get(name, 0.0) + float(value.split()[0])
        except (ValueError, IndexError):
            continue
    return {key: next((sums[name] for name in names if name in sums), None) for key, names in wanted.items()}


class Sampler:
    """Appends to samples.jsonl until cancelled. A service that does not answer in time is null in that sample."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        vllm_metrics: str | None,
        retrieval_metrics: str | None,
        path: Path,
        writer: LogWriter,
        clock: Clock,
        segment: int,
        interval_s: float,
        in_flight: Callable[[], int],
        mono_ms: Callable[[], float],
    ) -> None:
        self._session = session
        self._urls = (vllm_metrics, retrieval_metrics)
        self._path = path
        self._writer = writer
        self._clock = clock
        self._segment = segment
        self._interval_s = interval_s
        self._in_flight = in_flight
        self._mono_ms = mono_ms

    async def run(self) -> None:
        """Sample at once, each interval and, when cancelled, a last time: every call lies between two samples."""
        try:
            await self._sample(None)
            while True:
                due = self._clock.mono() + self._interval_s
                await asyncio.sleep(self._interval_s)
                # How late the loop woke this up is how late it wakes anyone up.
                await self._sample(max(0.0, (self._clock.mono() - due) * 1000))
        finally:
            await self._sample(None)

    async def _sample(self, lag_ms: float | None) -> None:
        vllm, retrieval = await asyncio.gather(
            self._scrape(self._urls[0], VLLM), self._scrape(self._urls[1], RETRIEVAL)
        )
        line = orjson.dumps(
            {
                "ts": iso(self._clock.wall()),
                "mono_ms": round(self._mono_ms(), 3),
                "segment": self._segment,
                "in_flight": self._in_flight(),
                "loop_lag_ms": None if lag_ms is None else round(lag_ms, 3),
                "vllm": vllm,
                "retrieval": retrieval,
            }
        )
        self._writer.put_job(lambda data=line + b"\n": append_line(self._path, data))

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
