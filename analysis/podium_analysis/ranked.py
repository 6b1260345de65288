"""Values to take ranks and counts from: in memory, or sorted on disk when there are too many."""

from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Ranked(Protocol):
    """n known values and n_missing unknown ones. mean, sd: None where n is too small (0; 1)."""

    @property
    def n(self) -> int: ...
    @property
    def n_missing(self) -> int: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def sd(self) -> float | None: ...

    def at(self, ranks: Ints) -> Floats:
        """The values of the given ranks, 0 the smallest."""
        ...

    def below(self, edges: Floats) -> Ints:
        """How many values are less than each edge."""
        ...


class RankedArray:
    """Values in memory. They are not sorted: the few ranks that are asked for are selected, in a third of the time."""

    def __init__(self, values: Floats, *, n_missing: int | None = None, in_place: Sequence[int] = ()) -> None:
        """values: in any order, NaN is missing; rearranged. n_missing: given when values hold no NaN.

        in_place: ranks whose values are at their place already.
        """
        if n_missing is None:
            known = values[~np.isnan(values)]
            n_missing = values.size - known.size
            values = known
        self._values = values
        self._selected: dict[int, float] = {rank: float(values[rank]) for rank in in_place}
        self.n = int(values.size)
        self.n_missing = int(n_missing)

    @property
    def mean(self) -> float | None:
        return float(self._values.mean()) if self.n else None

    @property
    def sd(self) -> float | None:
        return float(self._values.std(ddof=1)) if self.n > 1 else None

    def at(self, ranks: Ints) -> Floats:
        wanted = [int(rank) for rank in ranks.ravel()]
        new = sorted(set(wanted) - self._selected.keys())
        if new:
            self._values.partition(new)
            self._selected |= zip(new, self._values[new].tolist(), strict=True)
        return np.array([self._selected[rank] for rank in wanted], dtype=np.float64).reshape(ranks.shape)

    def below(self, edges: Floats) -> Ints:
        return np.array([np.count_nonzero(self._values < edge) for edge in edges], dtype=np.int64)


class RankedTable:
    """A stretch of a table that DuckDB sorted (on disk beyond its memory limit): column x, rows first … first+n-1."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        table: str,
        first: int,
        n: int,
        n_missing: int,
        mean: float | None,
        sd: float | None,
    ) -> None:
        self.db, self.table, self.first = db, table, first
        self.n, self.n_missing = n, n_missing
        self.mean = mean if n else None
        self.sd = sd if n > 1 else None

    def at(self, ranks: Ints) -> Floats:
        rows = [self.first + int(rank) for rank in ranks.ravel()]
        found = dict(self._rows(f"SELECT rowid, x FROM {self.table} WHERE rowid IN ({_numbers(sorted(set(rows)))})"))
        return np.array([found[row] for row in rows], dtype=np.float64).reshape(ranks.shape)

    def below(self, edges: Floats) -> Ints:
        if not edges.size:
            return np.zeros(0, dtype=np.int64)
        counts = ", ".join(f"count(*) FILTER (x < {float(edge)!r}::DOUBLE)" for edge in edges)
        stretch = f"rowid >= {self.first} AND rowid < {self.first + self.n}"
        return np.array(self._rows(f"SELECT {counts} FROM {self.table} WHERE {stretch}")[0], dtype=np.int64)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.cursor().execute(sql).fetchall()


def _numbers(values: list[int]) -> str:
    return ", ".join(map(str, values))
