from podium_retrieval.answer_cache import AnswerCache


def test_the_least_recently_used_goes_first() -> None:
    cache = AnswerCache(2000)
    for name in "abc":
        cache.put((name, 1), [b"x" * 200])
    assert cache.get(("a", 1)) == [b"x" * 200]
    cache.put(("d", 1), [b"x" * 200])
    assert cache.get(("b", 1)) is None
    assert cache.get(("a", 1)) is not None


def test_keys_are_counted() -> None:
    cache = AnswerCache(100_000)
    for n in range(100):
        cache.put((f"{n} " + "long query " * 1000, 1), [b"x"])
    kept = [n for n in range(100) if cache.get((f"{n} " + "long query " * 1000, 1)) is not None]
    assert 0 < len(kept) < 10
    cache.put(("q" * 200_000, 1), [b""])
    assert cache.get(("q" * 200_000, 1)) is None


def test_a_limit_of_nothing_keeps_nothing() -> None:
    cache = AnswerCache(0)
    cache.put(("a", 1), [])
    assert cache.get(("a", 1)) is None
