"""The tables of a run's page and the course of its load."""

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

from podium_analysis.quantities import duration, percent
from podium_analysis.report.page import Column, Table, number_cell, text_cell
from podium_contracts.records import task_key

from podium_live.follow.follower import Follower

LONGEST: Final = 20
"""Tasks in flight that are listed."""
POINTS: Final = 120
"""Of a course of load."""


def tables(follower: Follower) -> list[Table]:
    """Those that have a row."""
    every = [_in_flight(follower), _errors(follower), *_services(follower), *_samples(follower)]
    return [table for table in every if table.rows]


def _in_flight(follower: Follower) -> Table:
    totals = follower.totals
    now = totals.now_ms()
    longest = sorted(totals.in_flight.items(), key=lambda item: item[1].since_ms)[:LONGEST]
    rows = [
        [
            text_cell(
                task_id if epoch == 1 else f"{task_id} #{epoch}",
                f"/runs/{quote(follower.run_id, safe='')}/tasks/{quote(task_key(task_id, epoch), safe='')}",
            ),
            number_cell(state.step),
            text_cell(state.doing),
            number_cell(now - state.since_ms, text=duration(now - state.since_ms)),
        ]
        for (task_id, epoch), state in longest
    ]
    columns = [Column("task"), Column("turn", True), Column("in it"), Column("for", True)]
    return Table("in-flight", "Longest tasks in flight", columns, rows)


def _errors(follower: Follower) -> Table:
    faults = sorted(follower.totals.faults.values(), key=lambda fault: -fault.n)
    rows = [
        [text_cell(f"{one.of}: {one.error_type}"), number_cell(one.n), text_cell(one.first or None)] for one in faults
    ]
    return Table("errors", "Errors by type", [Column("what"), Column("n", True), Column("the first", wide=True)], rows)


def _services(follower: Follower) -> list[Table]:
    totals = follower.totals
    limits = [
        [
            text_cell(name), number_cell(event.get("limit")), number_cell(event.get("previous")),
            text_cell(str(event.get("reason") or "")[:200]),
        ]
        for name, event in sorted(totals.limits.items())
    ]  # fmt: skip
    breakers = [
        [text_cell(name), text_cell(event.get("state")), text_cell(str(event.get("reason") or "")[:200])]
        for name, event in sorted(totals.breakers.items())
    ]
    return [
        Table(
            "limits", "Limits that moved",
            [Column("provider"), Column("now", True), Column("before", True), Column("why", wide=True)], limits,
        ),
        Table("breakers", "Circuit breakers", [Column("service"), Column("state"), Column("why", wide=True)], breakers),
    ]  # fmt: skip


def _samples(follower: Follower) -> list[Table]:
    """Replicas and GPUs by the newest sample."""
    if not follower.samples:
        return []
    sample = follower.samples[-1]
    servers = mapping_of(sample.get("replicas")) or ({"all": sample.get("vllm")} if sample.get("vllm") else {})
    replicas = [
        [
            text_cell(name), number_cell(number_of(one.get("running"))), number_cell(number_of(one.get("waiting"))),
            number_cell(kv := number_of(one.get("kv_use")), text=percent(kv)),
        ]
        for name, one in ((name, mapping_of(one)) for name, one in servers.items())
    ]  # fmt: skip
    gpus = [
        [
            text_cell(f"{gpu.get('index')}: {gpu.get('name')}"),
            *(number_cell(number_of(gpu.get(name))) for name in ("util_pct", "power_w", "memory_used_mib", "sm_mhz")),
        ]
        for gpu in (mapping_of(one) for one in list_of(sample.get("gpus")))
    ]
    wide = [Column(name, True) for name in ("running", "waiting", "KV use")]
    shown = [Column(name, True) for name in ("use, %", "power, W", "memory, MiB", "clock, MHz")]
    return [
        Table("replicas", "The orchestrator's replicas", [Column("server"), *wide], replicas),
        Table("gpus", "GPUs", [Column("GPU"), *shown], gpus),
    ]


def load(follower: Follower) -> list[dict[str, Any]]:
    """The newest samples' course, thinned; a series without any value is left out."""
    samples = follower.samples[:: max(1, len(follower.samples) // POINTS)]
    vllm = [mapping_of(sample.get("vllm")) for sample in samples]

    def gpu_use(sample: dict[str, Any]) -> float | None:
        known = [number_of(mapping_of(gpu).get("util_pct")) for gpu in list_of(sample.get("gpus"))]
        use = [value for value in known if value is not None]
        return sum(use) / len(use) if use else None

    series = [
        ("tasks in flight", 0, [number_of(sample.get("in_flight")) for sample in samples]),
        ("vLLM: requests waiting", 0, [number_of(one.get("waiting")) for one in vllm]),
        (
            "vLLM: share of the KV cache",
            2,
            [number_of(one.get("kv_use")) for one in vllm],
        ),
        ("GPU use, %", 0, [gpu_use(sample) for sample in samples]),
    ]
    return [
        {"label": label, "digits": digits, "values": values}
        for label, digits, values in series
        if any(value is not None for value in values)
    ]


def mapping_of(value: object) -> Mapping[str, Any]:
    """The object, or an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """The list, or an empty one for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def number_of(value: object) -> float | None:
    """The number; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
