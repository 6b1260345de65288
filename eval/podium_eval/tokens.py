"""How many tokens a text is, and its longest end (or beginning) within a number of them."""

import math
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

_LOWER: Final = bytes(range(ord("a"), ord("z") + 1))
_UPPER: Final = bytes(range(ord("A"), ord("Z") + 1))
_SPACE: Final = b" "
_LOWER_PER_TOKEN: Final = 2.5
_UPPER_PER_TOKEN: Final = 1.25
_SPACES_PER_TOKEN: Final = 8.0


class EstimateCounter:
    """Without a tokenizer: an estimate from the kinds of bytes that errs on the long side.

    Runs of lower-case letters count 2.5 a token, capitals 1.25, digits, punctuation and every other byte one each;
    of UTF-8's longer characters every byte but the first is free. docs/providers.md holds it against real tokenizers.
    """

    @property
    def exact(self) -> bool:
        return False

    def count(self, text: str) -> int:
        """Tokens, rounded up."""
        data = text.encode("utf-8", "surrogatepass")
        rest = data.translate(None, _LOWER)
        lower = len(data) - len(rest)
        left = rest.translate(None, _UPPER)
        upper = len(rest) - len(left)
        other = left.translate(None, _SPACE)
        spaces = len(left) - len(other)
        # What is left: one a character of ASCII, and of the rest two a character.
        characters = len(text) - lower - upper - spaces
        beyond = len(other) - characters
        return math.ceil(
            lower / _LOWER_PER_TOKEN
            + upper / _UPPER_PER_TOKEN
            + spaces / _SPACES_PER_TOKEN
            + characters
            + min(beyond, characters)
        )

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
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode()
        return self._tokenizer.encode(clean, add_special_tokens=False)


Counter = EstimateCounter | TokenizerCounter
