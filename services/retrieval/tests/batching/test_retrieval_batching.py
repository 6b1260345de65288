"""Which queries make a batch."""

from hypothesis import given
from hypothesis import strategies as st
from podium_retrieval.batching.policy import Budget, Waiting, choose

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=60)


def waiting(lengths: list[int], oldest_age: float = 0.0) -> list[Waiting]:
    """Oldest first, each a little younger than the one before."""
    return [Waiting(n, max(0.0, oldest_age - at * 0.001)) for at, n in enumerate(lengths)]


def cost(lengths: list[int], packed: bool) -> int:
    return sum(lengths) if packed else max(lengths) * len(lengths)


@given(lengths, st.integers(1, 40), st.integers(1, 3000), st.booleans(), st.sampled_from([0.0, 5.0]))
def test_a_batch_holds_the_oldest_and_keeps_to_its_budget(
    lengths: list[int], most: int, tokens: int, packed: bool, age: float
) -> None:
    chosen = choose(waiting(lengths, age), Budget(most, tokens, packed, max_age_s=2.0))
    assert 0 in chosen
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= most
    assert len(chosen) == 1 or cost([lengths[at] for at in chosen], packed) <= tokens


@given(lengths, st.integers(1, 40), st.integers(1, 3000), st.booleans())
def test_no_more_batches_than_queries_are_served(lengths: list[int], most: int, tokens: int, packed: bool) -> None:
    left = list(range(len(lengths)))
    for _ in range(len(lengths)):
        chosen = choose(waiting([lengths[at] for at in left]), Budget(most, tokens, packed, max_age_s=9.0))
        left = [query for at, query in enumerate(left) if at not in chosen]
        if not left:
            return
    assert not left


def test_nothing_waits() -> None:
    assert choose([], Budget(8, 100, True, 1.0)) == []


def test_packed_batches_are_first_come_first_served() -> None:
    assert choose(waiting([10, 200, 10, 10]), Budget(8, 220, packed=True, max_age_s=9)) == [0, 1, 2]


def test_a_padded_batch_prefers_the_lengths_nearest_to_the_oldest() -> None:
    chosen = choose(waiting([20, 400, 21, 390, 19]), Budget(3, 1000, packed=False, max_age_s=9))
    assert chosen == [0, 2, 4]


def test_a_padded_batch_serves_an_old_query_in_order() -> None:
    chosen = choose(waiting([20, 400, 21, 390, 19], oldest_age=10.0), Budget(2, 1000, packed=False, max_age_s=9))
    assert chosen == [0, 1]


def test_a_query_longer_than_the_budget_goes_alone() -> None:
    assert choose(waiting([900, 5, 5]), Budget(8, 100, packed=True, max_age_s=9)) == [0]
    assert choose(waiting([900, 5, 5]), Budget(8, 100, packed=False, max_age_s=9)) == [0]
