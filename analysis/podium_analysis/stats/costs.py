"""What a run cost, by role, tool, model, alias and task, and for each correct answer. USD; unknown is None, never zero.

The cost of a call, of a model or of a tool that pays by the piece, is what the eval wrote into its event from the price
table of that day. Calls without a price are counted beside every sum, which is then a lower bound.
"""

from collections.abc import Mapping
from typing import Any, cast

from podium_contracts.records import REJUDGE_LOG

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section
from podium_analysis.stats.charges import Charges, CostLine, no_charges, rejudge_charges


class UnitCost(Section, frozen=True):
    """Paid by the piece: web searches, extracted pages, seconds of code, hours of GPU. usd None: no price is known.

    quantity: as the tools reported it; uses without a report are unpriced calls of the CostLines.
    """

    unit: str
    quantity: float
    usd_per_unit: float | None
    usd: float | None


class TaskCost(Section, frozen=True):
    """All that a task paid for, in attempts that were repeated too."""

    task_id: str
    epoch: Count
    usd: float | None
    n_unpriced: Count


class Costs(Section, frozen=True):
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
    n_correct: Count
    per_correct_usd: float | None
    """total_usd over correct answers; None when either is missing or none is correct."""
    dearest_tasks: tuple[TaskCost, ...]
    """The ten that cost most; task_cost_usd has the distribution of all, the records each one's."""


def costs(run: RunData) -> Costs:
    """The account of a run from its events, its manifest's unit prices and its final grades."""
    charges = Charges(run)
    total = charges.lines("'all calls'")
    units, uncharged = _units(run)
    correct = sum(task.correct is True for task in run.tasks())
    whole = total[0] if total else no_charges("all calls")
    # A unit that was not used costs 0 whatever its price: that must not turn an unknown total into a known one.
    known = [usd for usd in (whole.usd, *(unit.usd for unit in uncharged if unit.quantity)) if usd is not None]
    total_usd = sum(known) if known else None
    # Models on one's own GPUs are paid for where an hour of GPU has a price.
    hours_priced = any(unit.unit == "gpu_hour" and unit.quantity > 0 and unit.usd is not None for unit in uncharged)
    return Costs(
        total=whole,
        by_role=charges.lines("role"),
        by_tool=charges.lines("tool"),
        by_model=charges.lines("model"),
        by_alias=charges.lines("alias"),
        rejudges=rejudge_charges(run.folder / REJUDGE_LOG),
        units=units,
        total_usd=total_usd,
        at_least=charges.any_unpriced(beside_provider="vllm" if hours_priced else None)
        or any(unit.quantity > 0 and unit.usd is None for unit in uncharged),
        n_correct=correct,
        per_correct_usd=total_usd / correct if correct and total_usd is not None else None,
        dearest_tasks=task_costs(run, dearest=10),
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


def _unit(name: str, quantity: float, prices: Mapping[str, Any]) -> UnitCost:
    entry = prices.get(name)
    price = cast("dict[str, Any]", entry).get("usd") if isinstance(entry, dict) else None
    if not isinstance(price, int | float):
        return UnitCost(name, quantity, None, None)
    return UnitCost(name, quantity, float(price), quantity * price)
