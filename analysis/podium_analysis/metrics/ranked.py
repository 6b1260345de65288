"""Values to take ranks and counts from: in memory, or sorted on disk when there are too many."""

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
    """Values in memory, sorted: numpy sorts them with vector instructions faster than it selects two dozen ranks."""

    def __init__(self, values: Floats) -> None:
        """values: in any order, NaN is missing."""
        ordered = np.sort(values)  # NaN last
        self.n = int(np.searchsorted(ordered, np.nan))
        self.n_missing = int(values.size) - self.n
        self._values = ordered[: self.n]

    @classmethod
    def of_sorted(cls, values: Floats, n_missing: int) -> "RankedArray":
        """Of known values in ascending order, which are not copied."""
        self = cls.__new__(cls)
        self._values, self.n, self.n_missing = values, int(values.size), n_missing
        return self

    @property
    def mean(self) -> float | None:
        return float(self._values.mean()) if self.n else None

    @property
    def sd(self) -> float | None:
        return float(self._values.std(ddof=1)) if self.n > 1 else None

    def at(self, ranks: Ints) -> Floats:
        return self._values[ranks]

    def below(self, edges: Floats) -> Ints:
        return np.searchsorted(self._values, edges)


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
