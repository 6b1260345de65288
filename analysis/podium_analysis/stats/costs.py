"""What a run cost, by role, tool, model, alias and task, and for each correct answer. USD; unknown is None, never zero.

The cost of a call, of a model or of a tool that pays by the piece, is what the eval wrote into its event from the price
table of that day. Calls without a price are counted beside every sum, which is then a lower bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
from podium_contracts.records import REJUDGE_LOG

from podium_analysis.load.run_data import RunData

_CHARGES: Final = """
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
"""Whatever costs, as the table `charges`: calls of models, and tool calls that used the web or the sandbox, which stand
as `web` and `sandbox` where others have their role, model and alias."""

_SUMS: Final = """
    sum(n)::BIGINT, sum(n_priced)::BIGINT, sum(n_unpriced)::BIGINT, sum(n_failed)::BIGINT, sum(usd),
    sum(sum_prompt_tokens), sum(sum_cached_tokens), sum(sum_completion_tokens)
"""


@dataclass(frozen=True, slots=True)
class CostLine:
    """Calls of one kind. usd: of the priced ones, None when there is none; a lower bound while n_unpriced > 0.

    n_unpriced: answered calls without a price. n_failed: failed ones, which most providers do not charge.
    Token sums are of the calls that told them.
    """

    name: str
    calls: int
    n_priced: int
    n_unpriced: int
    n_failed: int
    usd: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Paid by the piece: web searches, extracted pages, seconds of code, hours of GPU. usd None: no price is known.

    quantity: of what tools told; uses that did not tell are unpriced calls of the CostLines.
    """

    unit: str
    quantity: float
    usd_per_unit: float | None
    usd: float | None


@dataclass(frozen=True, slots=True)
class TaskCost:
    """All that a task paid for, in attempts that were repeated too."""

    task_id: str
    epoch: int
    usd: float | None
    n_unpriced: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a run. total_usd: everything with a known price; at_least: something without a price is missing in it.

    total and the cuts by_… hold all that eval charged to tasks. Hours of GPU are in total_usd alone, and so are the
    pieces of logs from before eval charged them. rejudges: judge calls of later rejudges, which have a log of their own
    and are in no other figure.
    """

    total: CostLine
    by_role: tuple[CostLine, ...]
    by_tool: tuple[CostLine, ...]
    by_model: tuple[CostLine, ...]
    by_alias: tuple[CostLine, ...]
    rejudges: CostLine
    units: tuple[UnitCost, ...]
    total_usd: float | None
    at_least: bool
    n_correct: int
    per_correct_usd: float | None
    """total_usd over correct answers; None when either is missing or none is correct."""


def costs(run: RunData) -> Costs:
    """The account of a run from its events, its manifest's unit prices and its final grades."""
    run.execute(f"CREATE OR REPLACE TABLE charges AS {_CHARGES}")
    total = _lines(run, "'all calls'")
    units, uncharged = _units(run)
    correct = sum(task.correct is True for task in run.tasks())
    whole = total[0] if total else _empty("all calls")
    # A unit that was not used costs 0 whatever its price: that must not turn an unknown total into a known one.
    known = [usd for usd in (whole.usd, *(unit.usd for unit in uncharged if unit.quantity)) if usd is not None]
    total_usd = sum(known) if known else None
    return Costs(
        total=whole,
        by_role=_lines(run, "role"),
        by_tool=_lines(run, "tool"),
        by_model=_lines(run, "model"),
        by_alias=_lines(run, "alias"),
        rejudges=_rejudges(run.folder / REJUDGE_LOG),
        units=units,
        total_usd=total_usd,
        at_least=_unpriced(run, uncharged) or any(unit.quantity > 0 and unit.usd is None for unit in uncharged),
        n_correct=correct,
        per_correct_usd=total_usd / correct if correct and total_usd is not None else None,
    )


def task_costs(run: RunData, *, dearest: int | None = None) -> tuple[TaskCost, ...]:
    """Of every task that the log names, in the order of the table tasks.

    dearest: only so many, of those with a known cost, the dearest first.
    """
    chosen = "" if dearest is None else "WHERE c.usd IS NOT NULL"
    order = "t.task" if dearest is None else f"c.usd DESC, t.task LIMIT {dearest}"
    rows = run.rows(
        f"""
        SELECT t.task_id, t.epoch, c.usd, coalesce(c.n_unpriced, 0)
        FROM tasks t LEFT JOIN (
            SELECT task_id, coalesce(epoch, 1) AS epoch, sum(cost_usd) AS usd, count(*) FILTER (
                CASE WHEN type = 'llm_call' THEN cost_usd IS NULL AND error_type IS NULL ELSE n_unpriced > 0 END
            ) AS n_unpriced
            FROM events WHERE type IN ('llm_call', 'tool_call') GROUP BY ALL
        ) c ON c.task_id = t.task_id AND c.epoch = t.epoch
        {chosen} ORDER BY {order}
        """
    )
    return tuple(TaskCost(str(row[0]), int(row[1]), row[2], int(row[3])) for row in rows)


def _lines(run: RunData, name: str) -> tuple[CostLine, ...]:
    rows = run.rows(f"SELECT {name} AS name, {_SUMS} FROM charges GROUP BY 1 ORDER BY sum(usd) DESC NULLS LAST, 1")
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


def _units(run: RunData) -> tuple[tuple[UnitCost, ...], tuple[UnitCost, ...]]:
    """All that is paid by the piece, and what of it no event was charged for.

    Logs from before eval charged pieces (their tool calls lack n_unpriced) tell when the web was reached, its cache
    included, and how long code ran as the client saw it. An hour of GPU is the run's wall time times its GPUs, whatever
    else ran on them.
    """
    row = run.rows(
        """
        SELECT coalesce(sum(web_searches), 0), coalesce(sum(web_pages), 0), coalesce(sum(code_ms), 0) / 1000,
               count(*) FILTER (n_unpriced IS NULL AND web_ms > 0),
               coalesce(sum(exec_ms) FILTER (n_unpriced IS NULL), 0) / 1000
        FROM events WHERE type = 'tool_call'
        """
    )[0]
    searches, pages, seconds, old_searches, old_seconds = (float(value) for value in row)
    gpus = run.manifest.get("gpus")
    gpu_hours = run.wall_ms / 3_600_000 * len(cast("list[Any]", gpus)) if isinstance(gpus, list) else 0.0
    prices = run.manifest.get("prices")
    table: Mapping[str, Any] = cast("dict[str, Any]", prices) if isinstance(prices, dict) else {}
    old = {"search": old_searches, "code_second": old_seconds, "gpu_hour": gpu_hours}
    every = {"search": searches + old_searches, "extract": pages, "code_second": seconds + old_seconds}
    every["gpu_hour"] = gpu_hours
    return (
        tuple(_unit(name, quantity, table) for name, quantity in every.items()),
        tuple(_unit(name, quantity, table) for name, quantity in old.items()),
    )


def _unpriced(run: RunData, uncharged: tuple[UnitCost, ...]) -> bool:
    """Whether some answered call is in no sum. Models on one's own GPUs are, where an hour of GPU has a price."""
    hours_priced = any(unit.unit == "gpu_hour" and unit.quantity > 0 and unit.usd is not None for unit in uncharged)
    others = " AND provider IS DISTINCT FROM 'vllm'" if hours_priced else ""
    return bool(run.rows(f"SELECT sum(n_unpriced)::BIGINT FROM charges WHERE true{others}")[0][0])


def _unit(name: str, quantity: float, prices: Mapping[str, Any]) -> UnitCost:
    entry = prices.get(name)
    price = cast("dict[str, Any]", entry).get("usd") if isinstance(entry, dict) else None
    if not isinstance(price, int | float):
        return UnitCost(name, quantity, None, None)
    return UnitCost(name, quantity, float(price), quantity * price)


def _rejudges(log: Path) -> CostLine:
    if not log.exists():
        return _empty("rejudges")
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
    return cast("dict[str, Any]", event) if isinstance(event, dict) and event["type"] == "llm_call" else None


def _sum(calls: list[dict[str, Any]], name: str) -> float | None:
    known = [call[name] for call in calls if call.get(name) is not None]
    return sum(known) if known else None


def _empty(name: str) -> CostLine:
    return CostLine(name, 0, 0, 0, 0, None, None, None, None)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
