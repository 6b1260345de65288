"""Values of the log for figures of distributions: what stats.json, which holds summaries, does not have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from podium_analysis.load.run_data import RunData

RANKS: Final = 200
"""Values a group, at evenly spaced ranks: a curve of them is off by at most half a percent, whatever the log's size."""
STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Spread:
    """n values of the log by RANKS of them, in rising order."""

    n: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """call_ms: successful calls by (tool, model), the orchestrator's as tool `orchestrator`; of answer the expert's
    part. prompt_tokens: of the orchestrator's calls, by step.
    """

    call_ms: Mapping[tuple[str, str], Spread]
    prompt_tokens: Mapping[int, Spread]


def drawn_values(run: RunData) -> Values:
    """Two passes over the table of events."""
    ranks = ", ".join(f"{(rank + 0.5) / RANKS:.5f}" for rank in range(RANKS))
    calls = run.rows(
        f"""
        SELECT CASE WHEN type = 'llm_call' THEN 'orchestrator' ELSE tool END AS what, coalesce(model, '?') AS named,
               count(*), quantile_disc(duration_ms::DOUBLE, [{ranks}])
        FROM events
        WHERE duration_ms IS NOT NULL AND ((type = 'tool_call' AND status = 'ok' AND tool IS NOT NULL)
          OR (type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL))
        GROUP BY what, named ORDER BY what, named
        """
    )
    turns = run.rows(
        f"""
        SELECT step, count(*), quantile_disc(prompt_tokens::DOUBLE, [{ranks}])
        FROM events WHERE type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL
          AND prompt_tokens IS NOT NULL AND step BETWEEN 1 AND {STEPS}
        GROUP BY step ORDER BY step
        """
    )
    return Values(
        {(tool, model): Spread(n, tuple(values)) for tool, model, n, values in calls},
        {step: Spread(n, tuple(values)) for step, n, values in turns},
    )
