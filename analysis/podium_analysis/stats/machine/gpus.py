"""The run's GPUs by the readings in samples.jsonl: use, power, memory and clock of each, and an estimate of energy."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData
from podium_analysis.scoring.scores import outcome_of
from podium_analysis.section import Count, Section, Share
from podium_analysis.stats.timeline import GaugeColumn, means, stretches

_VALUES: Final = ("util_pct", "power_w", "memory_used_mib", "sm_mhz")
_LEAST_COVERED: Final = 0.95
"""Of the run's wall time; energy a task from less of it would be too low by an unknown part."""
_GAP_MS: Final = 10_000.0


class Gpu(Section, frozen=True, kw_only=True):
    """One GPU, means over its samples; what its driver did not tell is None.

    joules_estimate: the integral of sampled power. util_pct, power_w: means in the stretches of `timeline`.
    """

    index: Count
    uuid: str | None
    name: str | None
    memory_total_mib: float | None
    n_samples: Count
    mean_util_pct: float | None
    mean_power_w: float | None
    mean_sm_mhz: float | None
    max_memory_used_mib: float | None
    joules_estimate: float | None
    util_pct: GaugeColumn
    power_w: GaugeColumn


class Gpus(Section, frozen=True, kw_only=True):
    """All GPUs of the run. The joules are estimates: power is sampled, and integrated by the trapezoid rule.

    covered: the share of the run's time that lies between two samples with power, of the GPU with the least of it.
    joules_estimate: over that time; None where one GPU tells no power. joules_per_task_estimate: by the tasks that
    ended, skipped ones left out; joules_per_correct_estimate: by the correct ones; both None below 95% covered.
    """

    gpus: list[Gpu]
    covered: Share
    joules_estimate: float | None
    joules_per_task_estimate: float | None
    joules_per_correct_estimate: float | None


@dataclass(slots=True)
class _Readings:
    """Of one GPU, in the order of the file. at: milliseconds of the run's time; values: NaN for what is missing."""

    names: dict[str, Any]
    at: list[float] = field(default_factory=list[float])
    segments: list[int] = field(default_factory=list[int])
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _VALUES})


def gpu_statistics(run: RunData, samples: Iterable[dict[str, Any]]) -> Gpus | None:
    """None where no sample has a GPU."""
    wall = run.wall_ms
    read = _read(run, samples)
    if not read or wall <= 0:
        return None
    edges = stretches(wall)
    energy = [_energy(one) for one in read]
    joules = [one for one, _ in energy if one is not None]
    whole = sum(joules) if len(joules) == len(read) else None
    covered = min(1.0, min(ms for _, ms in energy) / wall)
    outcomes = [outcome_of(task.status, task.ending, task.correct) for task in run.tasks()]
    ended, right = sum(one != "skipped" for one in outcomes), outcomes.count("right")
    shared = whole if covered >= _LEAST_COVERED else None
    return Gpus(
        gpus=[_gpu(one, edges, joules) for one, (joules, _) in zip(read, energy, strict=True)],
        covered=covered,
        joules_estimate=whole,
        joules_per_task_estimate=shared / ended if shared is not None and ended else None,
        joules_per_correct_estimate=shared / right if shared is not None and right else None,
    )


def _read(run: RunData, samples: Iterable[dict[str, Any]]) -> list[_Readings]:
    offsets = {segment.n: segment.offset_ms for segment in run.segments}
    found: dict[str, _Readings] = {}
    for sample in samples:
        n = int(sample.get("segment") or 1)
        at, offset = sample.get("mono_ms"), offsets.get(n)
        if not isinstance(at, int | float) or offset is None:
            continue
        for reading in _objects(sample.get("gpus")):
            key = str(reading.get("uuid") or reading.get("index"))
            one = found.setdefault(key, _Readings(reading))
            one.at.append(offset + at)
            one.segments.append(n)
            for name, values in one.values.items():
                value = reading.get(name)
                values.append(float(value) if isinstance(value, int | float) else np.nan)
    return [found[key] for key in sorted(found, key=lambda key: (found[key].names.get("index") or 0, key))]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for one in cast("list[Any]", value) if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield cast("dict[str, Any]", one)


def _energy(one: _Readings) -> tuple[float | None, float]:
    """Joules, and the milliseconds that they are of: between neighbours of one segment that are no gap apart."""
    watts = np.array(one.values["power_w"])
    known = ~np.isnan(watts)
    if known.sum() < 2:
        return None, 0.0
    at, segments, watts = np.array(one.at)[known], np.array(one.segments)[known], watts[known]
    steps = np.diff(at)
    longest = max(_GAP_MS, 3 * float(np.median(steps)))
    counted = (np.diff(segments) == 0) & (steps > 0) & (steps <= longest)
    if not counted.any():
        return None, 0.0
    return float(np.sum(((watts[1:] + watts[:-1]) / 2 * steps)[counted]) / 1000), float(np.sum(steps[counted]))


def _gpu(one: _Readings, edges: npt.NDArray[np.float64], joules: float | None) -> Gpu:
    arrays = {name: np.array(values) for name, values in one.values.items()}

    def known(name: str) -> npt.NDArray[np.float64]:
        return arrays[name][~np.isnan(arrays[name])]

    def mean(name: str) -> float | None:
        values = known(name)
        return float(values.mean()) if values.size else None

    def column(name: str) -> list[float | None]:
        there = ~np.isnan(arrays[name])
        return means(np.array(one.at)[there], arrays[name][there], edges)

    memory, total = known("memory_used_mib"), one.names.get("memory_total_mib")
    return Gpu(
        index=int(one.names.get("index") or 0),
        uuid=one.names.get("uuid"),
        name=one.names.get("name"),
        memory_total_mib=float(total) if isinstance(total, int | float) else None,
        n_samples=len(one.at),
        mean_util_pct=mean("util_pct"),
        mean_power_w=mean("power_w"),
        mean_sm_mhz=mean("sm_mhz"),
        max_memory_used_mib=float(memory.max()) if memory.size else None,
        joules_estimate=joules,
        util_pct=column("util_pct"),
        power_w=column("power_w"),
    )
