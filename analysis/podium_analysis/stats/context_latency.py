"""How a turn's latency grows with its context: quantiles of latency by prompt length."""

from typing import Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section

BINS: Final = 20
LATENCIES: Final = ("prefill_ms", "duration_ms")


class Quantiles(Section, frozen=True):
    """Of a bin; None where n is 0."""

    n: Count
    p10: float | None
    p50: float | None
    p90: float | None


class ContextLatency(Section, frozen=True):
    """Latency by bin of prompt tokens. edges_tokens: one more than there are bins.

    cached_share: cached over prompt tokens of the bin.
    """

    n: Count
    edges_tokens: list[float]
    cached_share: list[float | None]
    prefill_ms: list[Quantiles]
    duration_ms: list[Quantiles]


def context_latency(run: RunData, bins: int = BINS) -> ContextLatency:
    """Turns without an error, in `bins` bins of equal width of prompt tokens (one where all are equal)."""
    condition = "type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL AND prompt_tokens IS NOT NULL"
    low, high, n = run.rows(f"SELECT min(prompt_tokens), max(prompt_tokens), count(*) FROM events WHERE {condition}")[0]
    if not n:
        return ContextLatency(0, [], [], [], [])
    edges: npt.NDArray[np.float64] = np.linspace(float(low), float(high), (bins if high > low else 1) + 1)
    width = (high - low) / bins or 1.0
    place = f"least({len(edges) - 2}, floor((prompt_tokens - {float(low)!r}) / {float(width)!r}))::INTEGER"
    quantiles = ", ".join(f"count({name}), quantile_cont({name}, [0.1, 0.5, 0.9])" for name in LATENCIES)
    rows = {
        int(row[0]): row[1:]
        for row in run.rows(
            f"SELECT {place} AS place, sum(cached_tokens) / sum(prompt_tokens), {quantiles} FROM events "
            f"WHERE {condition} GROUP BY place"
        )
    }
    empty = (None, *(value for _ in LATENCIES for value in (0, None)))
    cached: list[float | None] = []
    found: dict[str, list[Quantiles]] = {name: [] for name in LATENCIES}
    for at in range(len(edges) - 1):
        row = rows.get(at, empty)
        cached.append(row[0])
        for k, name in enumerate(LATENCIES):
            found[name].append(Quantiles(row[1 + 2 * k], *(row[2 + 2 * k] or (None, None, None))))
    return ContextLatency(n=n, edges_tokens=edges.tolist(), cached_share=cached, **found)
