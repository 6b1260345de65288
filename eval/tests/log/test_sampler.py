import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from harness.chain import server
from podium_eval.clock import SystemClock
from podium_eval.log.redact import Redactor
from podium_eval.log.sampler import RETRIEVAL, VLLM, Fleet, Sampler, Sources, read_metrics
from podium_eval.log.writer import LogWriter
from podium_eval.transport.pool import HttpPool

PAGE = """
# HELP vllm:num_requests_running Number of requests
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m{x}"} 4.0
vllm:num_requests_waiting 2
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:request_queue_time_seconds_sum{a="b"} 1.5e1
vllm:request_queue_time_seconds_count{a="b"} 12
broken line
vllm:generation_tokens_total
"""


def test_metrics_are_summed_over_labels_and_missing_ones_are_none() -> None:
    found = read_metrics(PAGE, VLLM)
    assert found["running"] == 7.0
    assert found["waiting"] == 2.0
    assert found["kv_use"] == 0.25
    assert read_metrics('vllm:kv_cache_usage_perc{engine="0"} 0.5\nvllm:kv_cache_usage_perc{engine="1"} 1', VLLM)[
        "kv_use"
    ] == pytest.approx(0.75)
    assert found["queue_s_sum"] == 15.0
    assert found["requests_total"] == 12.0
    assert found["prefill_s_sum"] is None
    assert found["generation_tokens_total"] is None
    assert set(read_metrics("", RETRIEVAL).values()) == {None}


async def test_samples_come_each_interval_and_a_dead_service_is_null(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "e", tmp_path / "l", redactor=Redactor(), on_failure=[].append)
    writer.start()
    pool = HttpPool(8)
    path = tmp_path / "samples.jsonl"
    async with server() as stub:
        sampler = Sampler(
            pool.session,
            Sources(
                [f"{stub.address}/metrics"], "http://127.0.0.1:9/metrics", in_flight=lambda: 5, mono_ms=lambda: 1.0
            ),
            path,
            writer,
            SystemClock(),
            segment=2,
            interval_s=0.02,
        )
        task = asyncio.create_task(sampler.run())
        async with asyncio.timeout(10):
            while not (path.exists() and len(path.read_bytes().splitlines()) >= 3):
                await writer.flush_to_disk()
        before = len(path.read_bytes().splitlines())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await pool.aclose()
    writer.close()
    first, second, *_, last = (json.loads(line) for line in path.read_bytes().splitlines())
    assert len(path.read_bytes().splitlines()) > before, "the last sample comes after the last call"
    assert set(first) == {"ts", "mono_ms", "segment", "in_flight", "loop_lag_ms", "vllm", "retrieval"}
    assert (first["segment"], first["in_flight"], first["retrieval"]) == (2, 5, None)
    assert first["vllm"]["running"] == 0.0
    assert second["loop_lag_ms"] >= 0
    assert first["loop_lag_ms"] is last["loop_lag_ms"] is None, "samples that were not waited for show no lag"


def sample(requests: float, running: float, kv_use: float) -> dict[str, float | None]:
    return {"requests_total": requests, "running": running, "kv_use": kv_use, "prefill_s_sum": None}


def test_a_dead_replica_s_counters_stay_and_go_on() -> None:
    fleet = Fleet(2)
    assert fleet.add([None, None]) is None
    assert fleet.add([sample(10, 3, 0.5), sample(20, 5, 0.7)]) == {
        "requests_total": 30,
        "running": 8,
        "kv_use": pytest.approx(0.6),
        "prefill_s_sum": None,
    }
    dead = fleet.add([None, sample(25, 6, 0.9)])
    assert dead is not None
    assert (dead["requests_total"], dead["running"], dead["kv_use"]) == (35, 6, 0.9)
    back = fleet.add([sample(2, 1, 0.1), sample(26, 6, 0.9)])
    assert back is not None
    assert back["requests_total"] == 10 + 2 + 26


async def read_gpus(wait_s: float) -> list[dict[str, object]]:
    assert wait_s > 0
    return [{"index": 0, "power_w": 300.5}]


async def no_gpus(wait_s: float) -> list[dict[str, object]]:
    return []


@pytest.mark.parametrize(("gpus", "field"), [(read_gpus, [{"index": 0, "power_w": 300.5}]), (no_gpus, None)])
async def test_a_machine_without_gpus_has_no_such_field(tmp_path: Path, gpus: Any, field: Any) -> None:
    writer = LogWriter(tmp_path / "e", tmp_path / "l", redactor=Redactor(), on_failure=[].append)
    writer.start()
    pool, path = HttpPool(8), tmp_path / "samples.jsonl"
    sources = Sources([], None, in_flight=lambda: 0, mono_ms=lambda: 1.0, gpus=gpus)
    sampler = Sampler(pool.session, sources, path, writer, SystemClock(), segment=1, interval_s=60)
    task = asyncio.create_task(sampler.run())
    async with asyncio.timeout(10):
        while not path.exists():
            await writer.flush_to_disk()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pool.aclose()
    writer.close()
    for line in path.read_bytes().splitlines():
        assert json.loads(line).get("gpus") == field
        assert ("gpus" in json.loads(line)) == (field is not None)
