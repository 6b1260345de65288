"""How a turn's latency grows with its context: quantiles of latency by prompt length."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from podium_analysis.load.run_data import RunData

BINS: Final = 20
LATENCIES: Final = ("prefill_ms", "duration_ms")


def context_latency(run: RunData, bins: int = BINS) -> dict[str, Any]:
    """Turns without an error, in `bins` bins of equal width of prompt tokens (fewer when they are few).

    edges_tokens: bins + 1 edges. For each of LATENCIES a list with n, p10, p50 and p90 of each bin (None where n is 0).
    cached_share: cached over prompt tokens of the bin.
    """
    condition = "type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL AND prompt_tokens IS NOT NULL"
    low, high, n = run.rows(f"SELECT min(prompt_tokens), max(prompt_tokens), count(*) FROM events WHERE {condition}")[0]
    if not n:
        return {"n": 0, "edges_tokens": [], "cached_share": [], **{name: [] for name in LATENCIES}}
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
    found: dict[str, Any] = {"n": n, "edges_tokens": edges.tolist(), "cached_share": []}
    found |= {name: [] for name in LATENCIES}
    for at in range(len(edges) - 1):
        row = rows.get(at, empty)
        found["cached_share"].append(row[0])
        for k, name in enumerate(LATENCIES):
            p10, p50, p90 = row[2 + 2 * k] or (None, None, None)
            found[name].append({"n": row[1 + 2 * k], "p10": p10, "p50": p50, "p90": p90})
    return found
