from datetime import date
from pathlib import Path

import pytest
from podium_eval.costs.prices import Charge, Prices, describe_price
from podium_eval.errors import ConfigError
from podium_eval.models.providers import ProviderTable

PRICES = Prices.load()


def test_a_call_costs_input_cached_input_and_output() -> None:
    price = PRICES.tokens("openai", "gpt-5")
    assert price is not None
    # 600 fresh at 1.25, 400 cached at 0.125, 200 out at 10 USD a million.
    assert price.cost(1000, 400, 200) == pytest.approx((600 * 1.25 + 400 * 0.125 + 200 * 10) / 1e6)
    assert price.cost(1000, None, 0) == pytest.approx(1000 * 1.25 / 1e6)


def test_a_long_prompt_at_openai_costs_double_as_a_whole() -> None:
    price = PRICES.tokens("openai", "gpt-5.5")
    assert price is not None
    assert price.cost(272_000, 0, 1000) == pytest.approx((272_000 * 5 + 1000 * 30) / 1e6)
    assert price.cost(272_001, 1, 1000) == pytest.approx((272_000 * 10 + 1 + 1000 * 45) / 1e6)


def test_without_a_cached_price_cached_tokens_cost_as_others() -> None:
    price = PRICES.tokens("nebius", "Qwen/Qwen3-32B")
    assert price is not None
    assert price.cached_input is None
    assert price.cost(1000, 1000, 0) == pytest.approx(price.cost(1000, 0, 0) or -1)


@pytest.mark.parametrize(("prompt", "completion"), [(None, 5), (5, None), (None, None)])
def test_unknown_counts_have_an_unknown_cost(prompt: int | None, completion: int | None) -> None:
    price = PRICES.tokens("openai", "gpt-5")
    assert price is not None
    assert price.cost(prompt, None, completion) is None


def test_more_cached_than_prompt_tokens_are_not_paid_back() -> None:
    price = PRICES.tokens("openai", "gpt-5")
    assert price is not None
    assert price.cost(10, 50, 0) == pytest.approx(10 * 0.125 / 1e6)


def test_an_unknown_model_has_no_price() -> None:
    assert PRICES.tokens("vllm", "orchestrator") is None
    assert PRICES.tokens("openai", "gpt-99") is None
    assert PRICES.tokens("together", "gpt-5") is None
    assert describe_price(None) is None


def test_units_that_nobody_told_are_unknown() -> None:
    assert PRICES.unit("gpu_hour") is None
    assert PRICES.unit("code_second") is None
    search = PRICES.unit("search")
    assert search is not None
    assert search.usd == 0.008


def test_units_are_charged_and_unpriced_ones_counted() -> None:
    assert PRICES.charge({}) == Charge(None, 0)
    assert PRICES.charge({"search": 0, "extract": 0, "code_second": 0}) == Charge(None, 0), "nothing is not a price"
    assert PRICES.charge({"search": 2, "extract": 5}) == Charge(pytest.approx(0.024), 0)
    assert PRICES.charge({"search": 1, "extract": None}) == Charge(0.008, 1)
    assert PRICES.charge({"code_second": 3.0}) == Charge(None, 1)


def test_a_users_rows_win_and_may_be_patterns(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[tokens]]\nprovider="vllm"\nmodel="*"\ninput=0\noutput=0\ndate=2026-11-01\nsource="our own GPUs"\n'
        '[[tokens]]\nprovider="openai"\nmodel="gpt-5"\ninput=1\noutput=2\ndate=2026-11-01\nsource="our contract"\n'
        '[[unit]]\nunit="gpu_hour"\nusd=2.5\ndate=2026-11-01\nsource="our bill"\n'
    )
    prices = Prices.load(path)
    own = prices.tokens("vllm", "anything")
    assert own is not None
    assert own.cost(10, 0, 10) == 0.0
    changed = prices.tokens("openai", "gpt-5")
    assert changed is not None
    assert (changed.output, changed.source) == (2.0, "our contract")
    hour = prices.unit("gpu_hour")
    assert hour is not None
    assert prices.describe()["gpu_hour"] == {"usd": 2.5, "date": "2026-11-01", "source": "our bill"}


ROW = '[[tokens]]\nprovider="p"\nmodel="m"\ninput={}\noutput=1\ndate=2026-01-01\nsource="s"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[tokens]]\nprovider="p"\nmodel="m"\noutput=1\ndate=2026-01-01\nsource="s"', "row 1: lacks input"),
        (
            '[[tokens]]\nprovider="p"\nmodel="m"\ninput=-1\noutput=1\ndate=2026-01-01\nsource="s"',
            "greater than or equal to 0",
        ),
        ('[[tokens]]\nprovider="p"\nmodel="m"\ninput=1\noutput=1\nsource="s"', "lacks date"),
        ('[[tokens]]\nprovider="p"\nmodel="m"\ninput=1\noutput=1\ndate=2026-01-01', "lacks source"),
        ('[[unit]]\nunit="sandwich"\nusd=1\ndate=2026-01-01\nsource="s"', "'sandwich': input should be 'search'"),
        (ROW.format("nan"), "row 1: input = 'nan': input should be a finite number"),
        (ROW.format("inf"), "input should be a finite number"),
        (ROW.format("true"), "input should be a valid number"),
        (ROW.format('"1"'), "input should be a valid number"),
        ("# ours\n\n" + ROW.format("1") + "inptu=2", "line 3: [[tokens]] row 1: inptu is no field; use cached_input"),
        (ROW.format("1") + ROW.format("-2"), "line 8: [[tokens]] row 2"),
        (ROW.format("1") + "tiers=[{above=0, input=1, output=1}]", "tiers.0.above"),
        (ROW.format("1").replace("[[tokens]]", "[tokens]"), "line 1: rows begin with [[tokens]], in two brackets"),
        ("tokens = 5", "rows begin with [[tokens]]"),
        ("x = " + "9" * 5000, "PRICES_FILE="),
        ("x = " + "[" * 3000, "PRICES_FILE="),
        ("[[price]]\na=1", "neither [[tokens]] nor [[unit]]"),
        ("not toml", "PRICES_FILE="),
    ],
)
def test_a_wrong_row_is_named(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Prices.load(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_row_of_ours_is_dated_and_sourced() -> None:
    table = ProviderTable.load()
    for price in PRICES._tokens:
        assert price.provider in table.names
        assert date.fromisoformat(price.date) <= date(2027, 1, 1)
        assert price.source
        assert 0 <= (price.cached_input or 0) <= price.input <= price.output * 10


def test_a_long_prompt_costs_its_tiers_price(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ROW.format("1") + "tiers=[{above=272000, input=2, output=4}, {above=500000, input=3, output=6}]")
    price = Prices.load(path).tokens("p", "m")
    assert price is not None
    assert price.cost(272_000, 0, 0) == pytest.approx(0.272)
    assert price.cost(272_001, 0, 1_000_000) == pytest.approx(0.544002 + 4)
    assert price.cost(600_000, 0, 0) == pytest.approx(1.8)
