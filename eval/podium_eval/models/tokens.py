"""How many tokens a text is, and its longest end (or beginning) within a number of them."""

import math
from pathlib import Path
from typing import Final

from podium_contracts.text.surrogates import lossless_bytes, same_length
from tokenizers import Tokenizer

_LOWER: Final = bytes(range(ord("a"), ord("z") + 1))
_UPPER: Final = bytes(range(ord("A"), ord("Z") + 1))
_DIGITS: Final = b"0123456789"
_TWO: Final = bytes(range(0xC0, 0xE0))
_THREE: Final = bytes(range(0xE0, 0xF0))
_FOUR: Final = bytes(range(0xF0, 0x100))
_FOLLOWING: Final = bytes(range(0x80, 0xC0))
_LONG_RUN: Final = 12
"""Mean length of runs of letters and digits beyond which a text is no language: a sequence, base64, hexadecimal."""


class EstimateCounter:
    """Without a tokenizer: an estimate from the kinds of bytes that errs on the long side.

    Tokens for each lower-case letter 1/4.5, space 1/2.5, capital, digit or other ASCII character 1; for each
    character of 2, 3 or 4 bytes 1.5, 2.75 or 3.5; in text without word boundaries, 1 for each letter too.
    docs/providers.md shows it against real tokenizers.
    """

    @property
    def exact(self) -> bool:
        return False

    def count(self, text: str) -> int:
        """Tokens, rounded up. About 4 ns a character."""
        data = lossless_bytes(text)
        sizes: list[int] = []
        for kind in (_LOWER, _UPPER, _DIGITS, b" ", _TWO, _THREE, _FOUR, _FOLLOWING):
            rest = data.translate(None, kind) if data else data
            sizes.append(len(data) - len(rest))
            data = rest
        lower, upper, digits, spaces, two, three, four, _ = sizes
        other = len(data)
        words = lower + upper + digits
        if words > _LONG_RUN * (spaces + other + two + three + four + 1):
            ascii_tokens = float(words)
        else:
            ascii_tokens = lower / 4.5 + upper + digits
        return math.ceil(ascii_tokens + spaces / 2.5 + other + 1.5 * two + 2.75 * three + 3.5 * four)

    def keep_end(self, text: str, limit: int) -> tuple[str, int]:
        """See TokenCounter.keep_end; the tokens cut are the estimate's."""
        return _keep(self, text, limit, end=True)

    def keep_start(self, text: str, limit: int) -> tuple[str, int]:
        """The longest beginning of `text` within `limit` tokens, and how many were cut."""
        return _keep(self, text, limit, end=False)


def _keep(counter: EstimateCounter, text: str, limit: int, *, end: bool) -> tuple[str, int]:
    total = counter.count(text)
    if total <= limit:
        return text, 0
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if counter.count(text[len(text) - middle :] if end else text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    kept = text[len(text) - low :] if end else text[:low]
    return kept, total - counter.count(kept)


class TokenizerCounter:
    """The model's own tokenizer.json. Special tokens in the text count as text, and none are added."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> "TokenizerCounter":
        """From a tokenizer.json or a model's folder.

        Raises:
            ValueError: there is none, or it cannot be read; the message names the path.
        """
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise ValueError(f"{file} is not there: a tokenizer is a tokenizer.json or a folder that holds one")
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:
            raise ValueError(f"{file} is no tokenizer: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    @property
    def exact(self) -> bool:
        return True

    def count(self, text: str) -> int:
        """Tokens of the text alone."""
        return len(self._encode(text).ids)

    def keep_end(self, text: str, limit: int) -> tuple[str, int]:
        """See TokenCounter.keep_end: cut where a token begins, the text otherwise untouched."""
        encoding = self._encode(text)
        cut = len(encoding.ids) - limit
        if cut <= 0:
            return text, 0
        return (text[encoding.offsets[cut][0] :] if limit > 0 else ""), cut

    def keep_start(self, text: str, limit: int) -> tuple[str, int]:
        """The longest beginning of `text` within `limit` tokens, and how many were cut."""
        encoding = self._encode(text)
        cut = len(encoding.ids) - limit
        if cut <= 0:
            return text, 0
        return (text[: encoding.offsets[limit - 1][1]] if limit > 0 else ""), cut

    def _encode(self, text: str):
        return self._tokenizer.encode(same_length(text), add_special_tokens=False)


Counter = EstimateCounter | TokenizerCounter
