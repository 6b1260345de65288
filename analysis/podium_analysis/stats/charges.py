"""What model calls and tools were charged for, as one table, and its sums by role, tool, model and alias."""

from pathlib import Path
from typing import Any, Final, cast

import orjson

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section

_CHARGED: Final = """
    SELECT role, coalesce(tool, 'orchestrator') AS tool, coalesce(provider || '/', '') || coalesce(model, '?') AS model,
           coalesce(alias, role) AS alias, provider, n, n_cost_usd AS n_priced,
           CASE WHEN error_type IS NULL THEN n - n_cost_usd ELSE 0 END AS n_unpriced,
           CASE WHEN error_type IS NULL THEN 0 ELSE n - n_cost_usd END AS n_failed,
           sum_cost_usd AS usd, sum_prompt_tokens, sum_cached_tokens, sum_completion_tokens
    FROM cells WHERE type = 'llm_call'
    UNION ALL
    SELECT payee, tool, payee, payee, payee, count(*), count(cost_usd), count(*) FILTER (n_unpriced > 0), 0,
           sum(cost_usd), NULL, NULL, NULL
    FROM (SELECT *, CASE WHEN web_ms IS NULL THEN 'sandbox' ELSE 'web' END AS payee FROM events)
    WHERE type = 'tool_call' AND (cost_usd IS NOT NULL OR n_unpriced > 0) GROUP BY payee, tool
"""
"""Whatever costs, a row for each kind: calls of models, and tool calls that used the web or the sandbox, which stand
as `web` and `sandbox` where others have their role, model and alias."""

_SUMS: Final = """
    sum(n)::BIGINT, sum(n_priced)::BIGINT, sum(n_unpriced)::BIGINT, sum(n_failed)::BIGINT, sum(usd),
    sum(sum_prompt_tokens), sum(sum_cached_tokens), sum(sum_completion_tokens)
"""


class CostLine(Section, frozen=True):
    """Calls of one kind. usd: of the priced ones, None when there is none; a lower bound while n_unpriced > 0.

    n_unpriced: answered calls without a price. n_failed: failed ones, which most providers do not charge.
    Token sums are of the calls whose server reported them.
    """

    name: str
    calls: Count
    n_priced: Count
    n_unpriced: Count
    n_failed: Count
    usd: float | None
    prompt_tokens: Count | None
    cached_tokens: Count | None
    completion_tokens: Count | None


class Charges:
    """The charges of a run, to be summed by any of their columns."""

    def __init__(self, run: RunData) -> None:
        self._run = run
        run.execute(f"CREATE OR REPLACE TABLE charges AS {_CHARGED}")

    def lines(self, name: str) -> tuple[CostLine, ...]:
        """Sums by a column or another SQL expression, the dearest first."""
        rows = self._run.rows(
            f"SELECT {name} AS name, {_SUMS} FROM charges GROUP BY 1 ORDER BY sum(usd) DESC NULLS LAST, 1"
        )
        return tuple(
            CostLine(
                name=str(row[0]),
                calls=row[1],
                n_priced=row[2],
                n_unpriced=row[3],
                n_failed=row[4],
                usd=row[5],
                prompt_tokens=_whole(row[6]),
                cached_tokens=_whole(row[7]),
                completion_tokens=_whole(row[8]),
            )
            for row in rows
        )

    def any_unpriced(self, *, beside_provider: str | None = None) -> bool:
        """Whether some answered call has no price. beside_provider: one whose calls are paid for otherwise."""
        others = "" if beside_provider is None else f" AND provider IS DISTINCT FROM '{beside_provider}'"
        return bool(self._run.rows(f"SELECT sum(n_unpriced)::BIGINT FROM charges WHERE true{others}")[0][0])


def rejudge_charges(log: Path) -> CostLine:
    """The judge calls of later rejudges, from their own log."""
    if not log.exists():
        return no_charges("rejudges")
    with log.open("rb") as lines:
        calls = [call for line in lines if (call := _call(line)) is not None]
    answered = [call for call in calls if call.get("error_type") is None]
    return CostLine(
        name="rejudges",
        calls=len(calls),
        n_priced=sum(call.get("cost_usd") is not None for call in calls),
        n_unpriced=sum(call.get("cost_usd") is None for call in answered),
        n_failed=sum(call.get("cost_usd") is None for call in calls) - sum(c.get("cost_usd") is None for c in answered),
        usd=_sum(calls, "cost_usd"),
        prompt_tokens=_whole(_sum(calls, "prompt_tokens")),
        cached_tokens=_whole(_sum(calls, "cached_tokens")),
        completion_tokens=_whole(_sum(calls, "completion_tokens")),
    )


def _call(line: bytes) -> dict[str, Any] | None:
    """The llm_call on the line; None for another event or a torn line."""
    try:
        event: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    call = cast("dict[str, Any]", event) if isinstance(event, dict) else {}
    return call if call.get("type") == "llm_call" else None


def _sum(calls: list[dict[str, Any]], name: str) -> float | None:
    known = [call[name] for call in calls if call.get(name) is not None]
    return sum(known) if known else None


def no_charges(name: str) -> CostLine:
    """The line of what nothing was charged for."""
    return CostLine(name, 0, 0, 0, 0, None, None, None, None)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
