"""Summaries of metrics: of the successful calls first, the others apart, and by tool and model, step and status."""

# DuckDB's results are untyped.
# pyright: reportUnknownMemberType=false
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from podium_analysis.bootstrap import interval_ranks, mean_interval
from podium_analysis.histograms import linear_histogram, log_histogram
from podium_analysis.load import RunData
from podium_analysis.metrics import Metric, Source
from podium_analysis.ranked import Ranked, RankedArray, RankedTable

PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
IN_MEMORY: Final = 1_000_000
"""Sources with more rows than this are sorted by DuckDB, on disk beyond its memory limit, instead of in arrays."""

CELLS: Final = 4_000_000
"""Values fetched at once."""

Groups = dict[str, dict[Hashable, Ranked]]
"""Grouping -> key -> values. Keys: by_status (status,), by_tool_model (tool, provider, model), by_step (step,)."""


def summarise(ranked: Ranked, *, intervals: bool = True) -> dict[str, Any]:
    """n, n_missing, mean, sd, min, max, p50 … p99_9 and (where n allows) `intervals` of mean and percentiles.

    Percentiles interpolate linearly between neighbouring values, as numpy's default does. All are None for n = 0;
    sd is the sample's (n - 1) and None for n < 2.
    """
    n = ranked.n
    out: dict[str, Any] = {"n": n, "n_missing": ranked.n_missing, "mean": ranked.mean, "sd": ranked.sd}
    if n == 0:
        out |= dict.fromkeys(("min", "max", *PERCENTILES))
        return out | ({"intervals": {}} if intervals else {})
    shares = np.array(list(PERCENTILES.values()))
    places = shares * (n - 1)
    floors = np.floor(places).astype(np.int64)
    ceils = np.minimum(floors + 1, n - 1)
    bounds = {name: interval_ranks(n, p) if intervals else None for name, p in PERCENTILES.items()}
    ranks = [0, n - 1, *floors, *ceils, *(rank for pair in bounds.values() if pair for rank in pair)]
    values = ranked.at(np.array(ranks, dtype=np.int64))
    k = len(shares)
    low, high = values[2 : 2 + k], values[2 + k : 2 + 2 * k]
    percentiles = low + (high - low) * (places - floors)
    out |= {"min": float(values[0]), "max": float(values[1])}
    out |= dict(zip(PERCENTILES, percentiles.tolist(), strict=True))
    if values[0] == values[1]:  # a constant is one, whatever rounding makes of its sums
        out |= {"mean": float(values[0]), "sd": None if ranked.sd is None else 0.0}
    if intervals:
        ends = iter(values[2 + 2 * k :].tolist())
        found: dict[str, Any] = {name: (next(ends), next(ends)) for name, pair in bounds.items() if pair}
        if out["mean"] is not None and out["sd"] is not None and (mean := mean_interval(n, out["mean"], out["sd"])):
            found["mean"] = mean
        out["intervals"] = found
    return out


def metric_statistics(
    run: RunData, metrics: Sequence[Metric], *, bins: int, in_memory: int = IN_MEMORY
) -> dict[str, Any]:
    """Metric name -> its entry in stats.json (see stats_schema.json)."""
    entries: dict[str, Any] = {}
    for source in dict.fromkeys(metric.source for metric in metrics):
        mine = [metric for metric in metrics if metric.source == source]
        for metric, groups in _read(run, source, mine, in_memory):
            entries[metric.name] = _entry(metric, groups, bins)
    return {metric.name: entries[metric.name] for metric in metrics}


def _entry(metric: Metric, groups: Groups, bins: int) -> dict[str, Any]:
    by_status = groups["by_status"]
    good = by_status.get((metric.source.ok,)) or RankedArray(np.zeros(0))
    return {
        "title": metric.title,
        "what": metric.what,
        "unit": metric.unit,
        "of": f"{metric.source.name} with status {metric.source.ok}",
        **summarise(good),
        "n_other": sum(r.n + r.n_missing for key, r in by_status.items() if key != (metric.source.ok,)),
        "histograms": {
            "linear": asdict(linear_histogram(good, bins)),
            "log": asdict(log_histogram(good, bins)),
        },
        "by_status": [
            {"status": key[0], **summarise(r, intervals=False)} for key, r in _in_order(by_status)
        ],
        "by_tool_model": [
            {"tool": key[0], "provider": key[1], "model": key[2], **summarise(r)}
            for key, r in _in_order(groups["by_tool_model"])
        ],
        "by_step": [
            {"step": key[0], **summarise(r, intervals=False)} for key, r in _in_order(groups["by_step"])
        ],
    }  # fmt: skip


def _in_order(groups: dict[Hashable, Ranked]) -> list[tuple[Any, Ranked]]:
    def place(key: Any) -> tuple[Any, ...]:
        return tuple((part is None, part if isinstance(part, int) else str(part)) for part in key)

    return sorted(groups.items(), key=lambda item: place(item[0]))


def _read(run: RunData, source: Source, metrics: Sequence[Metric], in_memory: int) -> Iterator[tuple[Metric, Groups]]:
    n = run.n_events
    if n > in_memory:
        n = int(run.rows(f"SELECT count(*) FROM {source.rows}")[0][0])
    if n > in_memory:
        for metric in metrics:
            yield metric, _on_disk(run, metric)
            for name in _key_columns(source):
                run.execute(f"DROP TABLE sorted_{metric.name}_{name}")
        return
    groupings = _groupings(run, source)
    at_once = max(1, CELLS // max(1, groupings["by_status"].starts[-1]))
    for first in range(0, len(metrics), at_once):
        some = metrics[first : first + at_once]
        columns = ", ".join(f"({metric.value})::DOUBLE AS {metric.name}" for metric in some)
        arrays = run.arrays(f"SELECT {columns} FROM {source.rows}")
        for metric in some:
            yield metric, _split(arrays.pop(metric.name), groupings, source.ok)


@dataclass(frozen=True, slots=True)
class _Grouping:
    """Rows put in the order of their keys: row order[starts[i]:starts[i + 1]] have keys[i]; None: as they are."""

    keys: list[tuple[Any, ...]]
    order: npt.NDArray[np.int64] | None
    starts: npt.NDArray[np.int64]


def _key_columns(source: Source) -> dict[str, tuple[str, bool]]:
    """Grouping -> (SQL of the key's columns, whether it is about the successful rows only)."""
    return {"by_status": (source.status, False), "by_tool_model": (source.model, True), "by_step": (source.step, True)}


def _groupings(run: RunData, source: Source) -> dict[str, _Grouping]:
    wanted = _key_columns(source)
    hashes = ", ".join(
        f"CASE WHEN {_is_ok(source) if only_ok else 'true'} THEN hash({columns}) ELSE 0 END::UBIGINT AS {name}"
        for name, (columns, only_ok) in wanted.items()
    )
    table = source.rows.split()[0]
    row_hashes = run.arrays(f"SELECT {table}.rowid AS place, {hashes} FROM {source.rows}")
    places = row_hashes.pop("place")
    found: dict[str, _Grouping] = {}
    for name, mine in row_hashes.items():
        known, firsts = np.unique(mine, return_index=True)
        keys = _keys_at(run, table, wanted[name][0], places[firsts])
        kept = [h != 0 and any(part is not None for part in key) for h, key in zip(known, keys, strict=True)]
        real = np.array(kept, dtype=bool)
        if len(known) == 1 and real[0]:
            found[name] = _Grouping(keys, None, np.array([0, mine.size]))
            continue
        # rows of no key (another status, no model) get the last code
        codes = np.cumsum(real) - 1
        codes[~real] = real.sum()
        code = codes.astype(np.int16)[np.searchsorted(known, mine)]
        counts = np.bincount(code, minlength=real.sum() + 1)[:-1]
        starts = np.concatenate(([0], np.cumsum(counts)))
        order = np.argsort(code, kind="stable")[: starts[-1]]
        found[name] = _Grouping([key for key, keep in zip(keys, kept, strict=True) if keep], order, starts)
    return found


def _keys_at(run: RunData, table: str, columns: str, places: npt.NDArray[np.int64]) -> list[tuple[Any, ...]]:
    """The key of each given row, in their order."""
    if not places.size:
        return []
    rows = run.rows(f"SELECT rowid, {columns} FROM {table} WHERE rowid IN ({', '.join(map(str, places.tolist()))})")
    by_place = {int(row[0]): tuple(row[1:]) for row in rows}
    return [by_place[int(place)] for place in places]


def _is_ok(source: Source) -> str:
    return f"({source.status}) = '{source.ok}'"


def _where(source: Source, only_ok: bool) -> str:
    if not only_ok:
        return source.rows
    return f"{source.rows} {'AND' if ' WHERE ' in source.rows else 'WHERE'} {_is_ok(source)}"


def _keys(run: RunData, source: Source, grouping: str) -> dict[int, tuple[Any, ...]]:
    """Hash -> key, keys of nothing but NULL left out."""
    columns, only_ok = _key_columns(source)[grouping]
    rows = run.rows(f"SELECT hash({columns}), {columns} FROM {_where(source, only_ok)} GROUP BY ALL")
    return {int(row[0]): tuple(row[1:]) for row in rows if any(part is not None for part in row[1:])}


def _split(column: npt.NDArray[np.float64], groupings: dict[str, _Grouping], ok: str) -> Groups:
    groups: Groups = {}
    for name, grouping in groupings.items():
        good = groups["by_status"].get((ok,)) if groups else None
        starts = grouping.starts
        if good is not None and len(grouping.keys) == 1 and starts[-1] == good.n + good.n_missing:
            groups[name] = {grouping.keys[0]: good}
            continue
        ordered = column if grouping.order is None else column[grouping.order]
        groups[name] = {key: RankedArray(ordered[starts[i] : starts[i + 1]]) for i, key in enumerate(grouping.keys)}
    return groups


def _on_disk(run: RunData, metric: Metric) -> Groups:
    groups: Groups = {}
    for name, (columns, only_ok) in _key_columns(metric.source).items():
        table = f"sorted_{metric.name}_{name}"
        run.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT hash({columns}) AS h, ({metric.value})::DOUBLE AS x "
            f"FROM {_where(metric.source, only_ok)} ORDER BY h, x NULLS LAST"
        )
        keys = _keys(run, metric.source, name)
        groups[name] = {
            keys[int(h)]: RankedTable(run.db, table, int(first), int(n), int(n_missing), mean, sd)
            for h, first, n, n_missing, mean, sd in run.rows(
                f"SELECT h, min(rowid), count(x), count(*) - count(x), avg(x), stddev_samp(x) FROM {table} GROUP BY h"
            )
            if int(h) in keys
        }
    return groups
