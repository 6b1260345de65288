"""What a run would cost and how long it would take, from the tasks of past runs and today's prices; never measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from podium_eval.costs.prices import UNIT_NAMES, TokenPrice, Unit, UnitPrice
from podium_eval.costs.usage import Pieces, TaskUsage, Use

Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class Part:
    """One role or alias in the run to come. usd None: the price is not known, or no model is configured."""

    name: str
    model: str | None
    use: Use
    """Totals of the run to come, rounded."""
    usd: float | None


@dataclass(frozen=True, slots=True)
class PiecePart:
    """What is paid by the piece in the run to come. n None: not known from past runs. usd None: that, or no price."""

    unit: Unit
    n: float | None
    usd: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """n_tasks to come, judged by n_past finished tasks. usd covers what has a price; None when nothing has one.

    low, high: 95% prediction interval of usd; None below two past tasks. usd_per_task: the mean, for a budget.
    hours: at the past tasks' durations and the concurrency to come, as if latency did not depend on load.
    """

    n_tasks: int
    n_past: int
    runs: tuple[str, ...]
    parts: tuple[Part, ...]
    pieces: tuple[PiecePart, ...]
    usd: float | None
    low: float | None
    high: float | None
    usd_per_task: float | None
    unpriced: tuple[str, ...]
    hours: float


def estimate(
    past: Sequence[TaskUsage],
    n_tasks: int,
    concurrency: int,
    models: Mapping[str, str],
    prices: Mapping[str, TokenPrice | None],
    unit_prices: Mapping[Unit, UnitPrice | None],
) -> Estimate:
    """Scale past tasks to n_tasks. models, prices: by `orchestrator`, `judge` and alias, as configured now.

    Raises:
        ValueError: there is no past task.
    """
    if not past:
        raise ValueError("no past task to estimate from")
    totals: dict[str, Use] = {}
    for task in past:
        for name, use in task.uses.items():
            totals.setdefault(name, Use()).add(use)
    scale = n_tasks / len(past)
    parts = tuple(
        Part(name, models.get(name), _scaled(use, scale), _usd(use, prices.get(name), scale))
        for name, use in sorted(totals.items())
    )
    pieces = tuple(_pieces(past, scale, unit_prices))
    priced = {part.name for part in parts if part.usd is not None}
    paid = {piece.unit for piece in pieces if piece.usd is not None}
    each = [
        sum(_usd(use, prices.get(name), 1.0) or 0.0 for name, use in task.uses.items() if name in priced)
        + sum(_pieces_usd(pieces, unit_prices.get(unit)) or 0.0 for unit, pieces in task.pieces.items() if unit in paid)
        for task in past
    ]
    known = [part.usd for part in (*parts, *pieces) if part.usd is not None]
    usd = sum(known) if known else None
    low, high = _interval(each, n_tasks) if known and len(past) > 1 else (None, None)
    return Estimate(
        n_tasks=n_tasks,
        n_past=len(past),
        runs=tuple(dict.fromkeys(task.run_id for task in past)),
        parts=parts,
        pieces=pieces,
        usd=usd,
        low=low,
        high=high,
        usd_per_task=None if usd is None else usd / n_tasks,
        unpriced=(
            *(part.name for part in parts if part.usd is None),
            *(UNIT_NAMES[piece.unit] for piece in pieces if piece.usd is None),
        ),
        hours=n_tasks * sum(task.duration_ms for task in past) / len(past) / min(concurrency, n_tasks) / 3_600_000,
    )


def _scaled(use: Use, scale: float) -> Use:
    return Use(
        round(use.calls * scale),
        round(use.prompt_tokens * scale),
        round(use.cached_tokens * scale),
        round(use.completion_tokens * scale),
        round(use.n_unknown * scale),
    )


def _usd(use: Use, price: TokenPrice | None, scale: float) -> float | None:
    """None as well when some call has no token counts: they would be missing in the sum."""
    if price is None or use.n_unknown:
        return None
    cost = price.cost(use.prompt_tokens, use.cached_tokens, use.completion_tokens)
    return None if cost is None else cost * scale


def _pieces(past: Sequence[TaskUsage], scale: float, prices: Mapping[Unit, UnitPrice | None]) -> Iterator[PiecePart]:
    totals: dict[Unit, Pieces] = {}
    for task in past:
        for unit, pieces in task.pieces.items():
            total = totals.setdefault(unit, Pieces())
            total.n += pieces.n
            total.n_unknown += pieces.n_unknown
    for unit, total in totals.items():
        if total.n or total.n_unknown:
            usd = _pieces_usd(total, prices.get(unit))
            n = None if total.n_unknown else total.n * scale
            yield PiecePart(unit, n, None if usd is None else usd * scale)


def _pieces_usd(pieces: Pieces, price: UnitPrice | None) -> float | None:
    return None if price is None or pieces.n_unknown else pieces.n * price.usd


def _interval(each: Sequence[float], n: int) -> tuple[float, float]:
    """Of the sum of n further tasks: their own spread, and that of the mean they are judged by."""
    m = len(each)
    mean = sum(each) / m
    variance = sum((value - mean) ** 2 for value in each) / (m - 1)
    half = Z * math.sqrt(variance * (n + n * n / m))
    return max(0.0, n * mean - half), n * mean + half
