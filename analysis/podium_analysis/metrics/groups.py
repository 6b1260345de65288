"""Values in groups (by status, by tool and model, by step), and all groups of a kind summarised at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from podium_analysis.metrics.ranked import Floats

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.signedinteger[Any]]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows are of which group: rows order[starts[i]:starts[i + 1]] have keys[i]; order None: all, as they are.

    No group is empty.
    """

    keys: Sequence[Key]
    order: Ints | None
    starts: Ints


@dataclass(frozen=True, slots=True)
class Grouped:
    """The known values of each group, ascending: values[starts[i]:starts[i + 1]]; n_missing[i] were not known."""

    keys: Sequence[Key]
    values: Floats
    starts: Ints
    n_missing: Ints

    def of(self, key: Key) -> tuple[Floats, int]:
        """The values of one group and how many are missing; nothing where there is no such group."""
        if key not in self.keys:
            return np.zeros(0), 0
        at = self.keys.index(key)
        return self.values[self.starts[at] : self.starts[at + 1]], int(self.n_missing[at])


def grouping(codes: Codes, keys: Sequence[Key]) -> Grouping:
    """codes: of each row the place of its key in `keys`, or -1 for none. Keys without a row are left out."""
    counts = np.bincount(codes.astype(np.int64) + 1, minlength=len(keys) + 1)
    used = np.flatnonzero(counts[1:])
    starts = np.concatenate(([0], np.cumsum(counts[1:][used])))
    kept = [keys[int(at)] for at in used]
    if len(kept) == 1 and not counts[0]:
        return Grouping(kept, None, starts)
    return Grouping(kept, np.argsort(codes, kind="stable")[counts[0] :], starts)


def step_codes(steps: npt.NDArray[np.int32], known: npt.NDArray[np.bool_]) -> tuple[Codes, Sequence[Key]]:
    """Codes and keys of the rows' steps, ascending; -1 where a step is not known."""
    if not known.any():
        return np.full(steps.size, -1, dtype=np.int16), []
    found = np.unique(steps[known])
    codes = np.searchsorted(found, steps).astype(np.int16 if found.size < 2**15 else np.int32)
    codes[~known] = -1
    return codes, [(int(step),) for step in found]


def grouped(column: Floats, by: Grouping) -> Grouped:
    """The column's values in groups; NaN is missing. The column itself is not touched."""
    values = column.copy() if by.order is None else column[by.order]
    starts, n_missing = by.starts, np.zeros(len(by.keys), dtype=np.int64)
    unknown = np.isnan(values)
    if unknown.any():
        n_missing = np.add.reduceat(unknown, starts[:-1], dtype=np.int64)
        starts = np.concatenate(([0], np.cumsum(np.diff(starts) - n_missing)))
        values = values[~unknown]
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        values[first:last].sort()
    return Grouped(by.keys, values, starts, n_missing)


def summaries(of: Grouped, percentiles: dict[str, float]) -> list[dict[str, Any]]:
    """Summary of each group: the fields of summaries.summarise without intervals."""
    n = np.diff(of.starts)
    known = np.flatnonzero(n)
    first, size = of.starts[:-1][known], n[known]
    found: list[dict[str, Any]] = [
        {"n": count, "n_missing": missing, "mean": None, "sd": None, "min": None, "max": None}
        | dict.fromkeys(percentiles)
        for count, missing in zip(n.tolist(), of.n_missing.tolist(), strict=True)
    ]
    if not known.size:
        return found
    mean = np.add.reduceat(of.values, first) / size
    sd = np.array([_sd(of.values[at : at + n], m) for at, n, m in zip(first, size, mean, strict=True)])
    low, high = of.values[first], of.values[first + size - 1]
    constant = low == high
    mean[constant], sd[constant] = low[constant], 0.0
    places = np.array(list(percentiles.values())) * (size - 1)[:, None]
    floors = np.floor(places).astype(np.int64)
    below = of.values[first[:, None] + floors]
    above = of.values[first[:, None] + np.minimum(floors + 1, (size - 1)[:, None])]
    points: list[list[float]] = (below + (above - below) * (places - floors)).tolist()
    at: int
    for k, at in enumerate(known.tolist()):  # pyright: ignore[reportUnknownVariableType]
        entry = found[at]
        entry["mean"], entry["sd"] = float(mean[k]), float(sd[k]) if entry["n"] > 1 else None
        entry["min"], entry["max"] = float(low[k]), float(high[k])
        entry.update(zip(percentiles, points[k], strict=True))
    return found


def _sd(values: Floats, mean: float) -> float:
    """The sample standard deviation; 0 for one value. Group by group, so that what it takes is one group's size."""
    gaps = values - mean
    return float(np.sqrt(np.dot(gaps, gaps) / max(values.size - 1, 1)))
