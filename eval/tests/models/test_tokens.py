import base64
import random
from pathlib import Path

import pytest
from harness.tokenizer import byte_level_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.models.tokens import Counter, EstimateCounter, TokenizerCounter


@pytest.fixture(scope="module")
def exact() -> TokenizerCounter:
    return TokenizerCounter(byte_level_tokenizer())


COUNTERS: list[Counter] = [EstimateCounter(), TokenizerCounter(byte_level_tokenizer())]


@pytest.mark.parametrize("counter", COUNTERS, ids=["estimate", "tokenizer"])
@settings(deadline=None)
@given(text=st.text(max_size=300), limit=st.integers(0, 80))
def test_kept_text_fits_and_is_end_or_beginning(counter: Counter, text: str, limit: int) -> None:
    end, cut = counter.keep_end(text, limit)
    assert text.endswith(end)
    start, cut_too = counter.keep_start(text, limit)
    assert text.startswith(start)
    total = counter.count(text)
    assert (cut == 0) == (total <= limit) == (cut_too == 0)
    if cut == 0:
        assert end == start == text
    elif not counter.exact:
        assert counter.count(end) <= limit
        assert counter.count(start) <= limit
    else:
        assert cut == total - limit


def test_the_end_is_cut_where_a_token_begins(exact: TokenizerCounter) -> None:
    text = "the quick brown fox jumps over the lazy dog"
    kept, cut = exact.keep_end(text, 3)
    assert kept == " the lazy dog"
    assert cut == exact.count(text) - 3
    assert exact.count(kept) == 3
    assert exact.keep_end(text, 0) == ("", exact.count(text))
    assert exact.keep_start(text, 2)[0] == "the quick"


def samples() -> dict[str, str]:
    random.seed(7)
    return {
        "letters": "".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5000)),
        "protein": "".join(random.choice("ACDEFGHIKLMNPQRSTVWY") for _ in range(5000)),
        "digits": "".join(random.choice("0123456789") for _ in range(5000)),
        "base64": base64.b64encode(random.randbytes(5000)).decode(),
        "table": "| 1.234 | 5.678e-9 | -0.01 |\n" * 200,
    }


@pytest.mark.parametrize(
    ("kind", "tokens_per_byte"),
    [("letters", 0.55), ("protein", 0.57), ("digits", 1.0), ("base64", 0.74), ("table", 0.74)],
)
def test_the_estimate_is_not_below_what_real_tokenizers_need(kind: str, tokens_per_byte: float) -> None:
    """tokens_per_byte: the most that the tokenizers of docs/providers.md took for such text."""
    text = samples()[kind]
    assert EstimateCounter().count(text) >= tokens_per_byte * len(text)


def test_the_estimate_of_prose_is_slightly_long() -> None:
    prose = Path(__file__).parents[3].joinpath("LICENSE").read_text()
    assert 1.1 < EstimateCounter().count(prose) / (len(prose) / 4.6) < 1.9


def test_a_tokenizer_comes_from_a_folder_or_a_file(tmp_path: Path) -> None:
    byte_level_tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert TokenizerCounter.load(tmp_path).count("the") == 1
    assert TokenizerCounter.load(tmp_path / "tokenizer.json").exact
    with pytest.raises(ValueError, match="is not there"):
        TokenizerCounter.load(tmp_path / "elsewhere")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ValueError, match="is no tokenizer"):
        TokenizerCounter.load(tmp_path / "broken.json")


def test_lone_surrogates_are_counted(exact: TokenizerCounter) -> None:
    assert exact.count("a\ud800b") > 0
    assert EstimateCounter().count("a\ud800b") > 0
