"""Summaries of metrics: of the successful calls first, the others apart, and by tool and model, step and status."""

# DuckDB's results are untyped.
# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData
from podium_analysis.metrics.groups import Codes, Grouped, Grouping, Key, grouped, grouping, step_codes, summaries
from podium_analysis.metrics.histograms import linear_histogram, log_histogram
from podium_analysis.metrics.intervals import interval_ranks, mean_interval
from podium_analysis.metrics.metric import Family, Metric, Source
from podium_analysis.metrics.ranked import Floats, Ints, Ranked, RankedArray, RankedTable
from podium_analysis.metrics.sections import Histograms, MetricStatistics, ModelGroup, StatusGroup, StepGroup, Summary

PERCENTILES: Final[dict[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
IN_MEMORY: Final = 5_000_000
"""Families with more rows than this are sorted by DuckDB, on disk beyond its memory limit: a column is 40 MB then."""
AT_ONCE: Final = 1_000_000
"""Families with more rows than this are read source by source, which takes longer and less memory."""

CELLS: Final = 4_000_000
"""Values fetched at once."""

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "by_status": ("status",),
    "by_tool_model": ("tool", "provider", "model"),
    "by_step": ("step",),
}
"""Grouping -> the names of its key's parts."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A metric's values: of the successful calls, and the summaries of all groups, in any order."""

    good: Ranked
    groups: Mapping[str, Sequence[tuple[Key, dict[str, Any]]]]


def summarise(ranked: Ranked) -> Summary:
    """A summary with intervals. Percentiles interpolate linearly between neighbouring values, as numpy's default does.

    All are None for n = 0; sd is the sample's (n - 1) and None for n < 2.
    """
    return Summary(**_summary(ranked))


def _summary(ranked: Ranked, *, with_intervals: bool = True) -> dict[str, Any]:
    """The fields of a Summary, or without intervals those of a PlainSummary."""
    n = ranked.n
    out: dict[str, Any] = {"n": n, "n_missing": ranked.n_missing, "mean": ranked.mean, "sd": ranked.sd}
    if n == 0:
        out |= dict.fromkeys(("min", "max", *PERCENTILES))
        return out | ({"intervals": {}} if with_intervals else {})
    shares = np.array(list(PERCENTILES.values()))
    places = shares * (n - 1)
    floors = np.floor(places).astype(np.int64)
    ceils = np.minimum(floors + 1, n - 1)
    values = ranked.at(np.array([0, n - 1, *floors, *ceils], dtype=np.int64))
    low, high = values[2 : 2 + len(shares)], values[2 + len(shares) :]
    percentiles = low + (high - low) * (places - floors)
    out |= {"min": float(values[0]), "max": float(values[1])}
    out |= dict(zip(PERCENTILES, percentiles.tolist(), strict=True))
    if values[0] == values[1]:  # a constant is one, whatever rounding makes of its sums
        out |= {"mean": float(values[0]), "sd": None if ranked.sd is None else 0.0}
    if with_intervals:
        out["intervals"] = _intervals(out, ranked.at)
    return out


def _intervals(summary: Mapping[str, Any], at: Callable[[Ints], Floats]) -> dict[str, tuple[float, float]]:
    """Of the percentiles and the mean in a summary, where its n carries them. at: the values of given ranks."""
    n = summary["n"]
    bounds = {name: ranks for name, p in PERCENTILES.items() if n and (ranks := interval_ranks(n, p))}
    if not bounds:
        return {}
    ends = at(np.array(list(bounds.values()), dtype=np.int64)).tolist()
    found: dict[str, tuple[float, float]] = {name: (low, high) for name, (low, high) in zip(bounds, ends, strict=True)}
    mean, sd = summary["mean"], summary["sd"]
    if mean is not None and sd is not None and (around := mean_interval(n, mean, sd)):
        found["mean"] = around
    return found


def metric_statistics(
    run: RunData, metrics: Sequence[Metric], *, bins: int, in_memory: int = IN_MEMORY
) -> dict[str, MetricStatistics]:
    """Metric name -> its entry in stats.json."""
    entries: dict[str, MetricStatistics] = {}
    for family in dict.fromkeys(metric.source.family for metric in metrics):
        mine = [metric for metric in metrics if metric.source.family == family]
        for metric, read in _read(run, family, mine, in_memory):
            entries[metric.name] = _entry(metric, read, bins)
    return {metric.name: entries[metric.name] for metric in metrics}


def _entry(metric: Metric, read: _Read, bins: int) -> MetricStatistics:
    ok = (metric.source.ok,)
    groups = {
        name: [dict(zip(parts, key, strict=True)) | group for key, group in _in_order(read.groups[name])]
        for name, parts in NAMES.items()
    }
    return MetricStatistics(
        title=metric.title,
        what=metric.what,
        unit=metric.unit,
        of=f"{metric.source.name} with status {metric.source.ok}",
        **_summary(read.good),
        n_other=sum(group["n"] + group["n_missing"] for key, group in read.groups["by_status"] if key != ok),
        histograms=Histograms(linear_histogram(read.good, bins), log_histogram(read.good, bins)),
        by_status=[StatusGroup(**group) for group in groups["by_status"]],
        by_tool_model=[ModelGroup(**group) for group in groups["by_tool_model"]],
        by_step=[StepGroup(**group) for group in groups["by_step"]],
    )


def _in_order(groups: Sequence[tuple[Key, dict[str, Any]]]) -> list[tuple[Key, dict[str, Any]]]:
    def place(key: Key) -> Key:
        return tuple((part is None, part if isinstance(part, int) else str(part)) for part in key)

    return sorted(groups, key=lambda item: place(item[0]))


def _read(run: RunData, family: Family, metrics: Sequence[Metric], in_memory: int) -> Iterator[tuple[Metric, _Read]]:
    n = run.n_events
    if n > in_memory:
        n = int(run.rows(f"SELECT count(*) FROM {family.rows}")[0][0])
    if n > in_memory:
        for metric in metrics:
            yield metric, _on_disk(run, metric)
            for name in NAMES:
                run.execute(f"DROP TABLE sorted_{metric.name}_{name}")
        return
    if n <= AT_ONCE:
        yield from _read_rows(run, family, metrics, n)
        return
    for source in dict.fromkeys(metric.source for metric in metrics):
        only = replace(family, rows=f"{family.rows} AND ({source.condition})")
        yield from _read_rows(run, only, [metric for metric in metrics if metric.source == source], n)


def _read_rows(run: RunData, family: Family, metrics: Sequence[Metric], n: int) -> Iterator[tuple[Metric, _Read]]:
    at_once = max(1, CELLS // max(1, n))
    groupings: dict[Source, dict[str, Grouping]] = {}
    for first in range(0, len(metrics), at_once):
        some = metrics[first : first + at_once]
        values = dict.fromkeys(metric.value for metric in some)
        columns = [f"({value})::DOUBLE AS v{at}" for at, value in enumerate(values)]
        if not groupings:
            columns += ["kind", f"({family.step})::INTEGER AS step", f"({family.step}) IS NOT NULL AS known"]
        arrays = run.arrays(f"SELECT {', '.join(columns)} FROM {family.rows}")
        if not groupings:
            rows = {name: arrays.pop(name) for name in ("kind", "step", "known")}
            groupings = _groupings(run, family, rows, dict.fromkeys(metric.source for metric in metrics))
        named = dict(zip(values, arrays.values(), strict=True))
        for metric in some:
            yield metric, _in_arrays(named[metric.value], groupings[metric.source], metric.source.ok)


def _groupings(
    run: RunData, family: Family, rows: dict[str, npt.NDArray[Any]], sources: Iterable[Source]
) -> dict[Source, dict[str, Grouping]]:
    """rows: kind, step and known (whether there is a step) of each row."""
    kinds = run.arrays(f"SELECT kind FROM {family.kinds} ORDER BY kind")["kind"]
    place = np.searchsorted(kinds, rows.pop("kind")).astype(np.int32)
    codes, steps = step_codes(rows.pop("step"), rows.pop("known").astype(np.bool_))
    at = {int(kind): i for i, kind in enumerate(kinds)}
    small = np.int16 if kinds.size < 2**15 else np.int32  # numpy sorts 16 bits in a row much faster
    found: dict[Source, dict[str, Grouping]] = {}
    for source in sources:
        keys: dict[str, list[Key]] = {"by_status": [], "by_tool_model": []}
        code = {name: np.full(kinds.size, -1, dtype=small) for name in keys}
        sql = f"SELECT kind, {source.status}, {source.model} FROM {family.kinds}"
        where = "AND" if " WHERE " in family.kinds.rsplit(")", 1)[-1] else "WHERE"
        for kind, status, *model in run.rows(f"{sql} {where} {source.condition} ORDER BY ALL"):
            _give(code["by_status"], keys["by_status"], at[int(kind)], (status,))
            if status == source.ok and any(part is not None for part in model):
                _give(code["by_tool_model"], keys["by_tool_model"], at[int(kind)], tuple(model))
        found[source] = {name: grouping(code[name][place], keys[name]) for name in keys}
        ok = keys["by_status"].index((source.ok,)) if (source.ok,) in keys["by_status"] else -2
        found[source]["by_step"] = grouping(
            np.where(code["by_status"][place] == ok, codes, codes.dtype.type(-1)), steps
        )
    return found


def _give(codes: Codes, keys: list[Key], at: int, key: Key) -> None:
    if key not in keys:
        keys.append(key)
    codes[at] = keys.index(key)


def _in_arrays(column: Floats, groupings: Mapping[str, Grouping], ok: str) -> _Read:
    of = {"by_status": grouped(column, groupings["by_status"])}
    values, n_missing = of["by_status"].of((ok,))
    models = groupings["by_tool_model"]
    if len(models.keys) == 1 and models.starts[-1] == values.size + n_missing:  # all of one model: the same values
        of["by_tool_model"] = Grouped(models.keys, values, np.array([0, values.size]), np.array([n_missing]))
    else:
        of["by_tool_model"] = grouped(column, models)
    of["by_step"] = grouped(column, groupings["by_step"])
    found = {name: list(zip(one.keys, summaries(one, PERCENTILES), strict=True)) for name, one in of.items()}
    by_model = of["by_tool_model"]
    for first, (_, group) in zip(by_model.starts.tolist(), found["by_tool_model"], strict=False):
        group["intervals"] = _intervals(group, lambda ranks, first=first: by_model.values[first + ranks])
    return _Read(RankedArray.of_sorted(values, n_missing), found)


def _on_disk(run: RunData, metric: Metric) -> _Read:
    found: dict[str, list[tuple[Key, dict[str, Any]]]] = {}
    source = metric.source
    ok = f"({source.status}) = '{source.ok}'"
    good: Ranked = RankedArray(np.zeros(0))
    columns = {"by_status": source.status, "by_tool_model": source.model, "by_step": source.family.step}
    for name, key in columns.items():
        table = f"sorted_{metric.name}_{name}"
        only = f"({source.condition})" if name == "by_status" else f"({source.condition}) AND {ok}"
        rows = f"{source.family.rows} AND {only}"
        run.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT hash({key}) AS h, ({metric.value})::DOUBLE AS x "
            f"FROM {rows} ORDER BY h, x NULLS LAST"
        )
        keys = {int(row[0]): tuple(row[1:]) for row in run.rows(f"SELECT hash({key}), {key} FROM {rows} GROUP BY ALL")}
        stretches = run.rows(
            f"SELECT h, min(rowid), count(x), count(*) - count(x), avg(x), stddev_samp(x) FROM {table} GROUP BY h"
        )
        found[name] = []
        for h, first, n, n_missing, mean, sd in stretches:
            if all(part is None for part in keys[int(h)]):
                continue
            ranked = RankedTable(run.db, table, int(first), int(n), int(n_missing), mean, sd)
            found[name].append((keys[int(h)], _summary(ranked, with_intervals=name == "by_tool_model")))
            if name == "by_status" and keys[int(h)] == (source.ok,):
                good = ranked
    return _Read(good, found)
