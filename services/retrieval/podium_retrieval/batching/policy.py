"""Which of the waiting queries make the next batch: a pure function of lengths and ages."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that one batch may hold. A single query is always taken, however long.

    tokens: of a packed batch the tokens themselves, of a padded one its longest query times its size.
    """

    queries: int
    tokens: int
    packed: bool
    max_age_s: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """What choosing needs to know of a query."""

    n_tokens: int
    age_s: float


def choose(waiting: Sequence[Waiting], budget: Budget) -> list[int]:
    """Positions in `waiting` (oldest first) of the next batch, never empty if anything waits.

    The oldest query is in every batch, so none starves. A packed batch is first come, first served. A padded one
    takes the oldest and then those nearest to it in length; once the oldest has waited max_age_s it too is first
    come, first served, so that odd lengths do not wait for their like.
    """
    if not waiting:
        return []
    if budget.packed or waiting[0].age_s >= budget.max_age_s:
        return _oldest_first(waiting, budget)
    return _nearest_length(waiting, budget)


def _oldest_first(waiting: Sequence[Waiting], budget: Budget) -> list[int]:
    total = longest = 0
    for index, query in enumerate(waiting):
        total += query.n_tokens
        longest = max(longest, query.n_tokens)
        cost = total if budget.packed else longest * (index + 1)
        if index and (cost > budget.tokens or index >= budget.queries):
            return list(range(index))
    return list(range(len(waiting)))


def _nearest_length(waiting: Sequence[Waiting], budget: Budget) -> list[int]:
    """Grow a run of the length-sorted queries around the oldest, to the side that is nearer to it in length."""
    order = sorted(range(len(waiting)), key=lambda index: (waiting[index].n_tokens, index))
    anchor = order.index(0)
    oldest_tokens = waiting[0].n_tokens
    low, high = anchor, anchor + 1
    while high - low < budget.queries:
        below = oldest_tokens - waiting[order[low - 1]].n_tokens if low > 0 else None
        above = waiting[order[high]].n_tokens - oldest_tokens if high < len(order) else None
        if below is None and above is None:
            break
        grow_up = below is None or (above is not None and above <= below)
        if grow_up and waiting[order[high]].n_tokens * (high + 1 - low) > budget.tokens:
            if below is None:
                break
            grow_up = False
        longest = waiting[order[high if grow_up else high - 1]].n_tokens
        if longest * (high + 1 - low) > budget.tokens:
            break
        if grow_up:
            high += 1
        else:
            low -= 1
    return sorted(order[low:high])
