"""Texts as salted hashes of their words: pages are compared with a question that the service never receives."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

GRAM: Final = 6
"""Words of an n-gram: of the same topic two texts share few runs of that length, two copies nearly all."""
MOST_WORDS: Final = 4000
"""Of a question or an answer; what is beyond is not looked at."""
HASH_LIMIT: Final = (1 << 52) - 1
"""The largest hash: hashes are whole numbers that every JSON reader holds exactly."""
_BASE: Final = 0x5DEECE66D
_PIECE: Final = re.compile(r"\S{1,64}")
_WORD: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")
_COMMON_WORDS: Final = """
a an and are as at be been but by can do does for from had has have he her his how i if in into is it its let
may more most no not of on one or our she should so some such than that the their them then there these they
this those to two was we were what when where which while who whose why will with would you your
"""
_COMMON: Final = frozenset(_COMMON_WORDS.split())
"""English words that any text has: they count in n-grams, and not where words are compared in any order."""


def spans(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of a text with their places: without case, accents and signs; in scripts without blanks a letter each.

    Linear in the text: it is normalised in pieces of at most 64 characters, since Unicode's order of combining marks
    takes the square of a run's length.
    """
    if text.isascii():
        for match in _WORD.finditer(text):
            yield match[0].lower(), match.start(), match.end()
        return
    for piece in _PIECE.finditer(text):
        plain = "".join(
            c for c in unicodedata.normalize("NFKD", piece[0]) if unicodedata.category(c) not in ("Mn", "Cf")
        )
        for word in _WORD.findall(plain.casefold()):
            yield word, piece.start(), piece.end()


def hasher(salt: str) -> Callable[[str], int]:
    """The hash of a word under a salt, remembered for as long as the function is kept."""
    key = hashlib.sha256(salt.encode()).digest()
    known: dict[str, int] = {}

    def of(word: str) -> int:
        value = known.get(word)
        if value is None:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
            value = known[word] = int.from_bytes(digest, "big") & HASH_LIMIT
        return value

    return of


def grams(hashes: list[int]) -> list[int]:
    """The hash of each run of GRAM words by where it begins; of a shorter text the one of all its words."""
    if not hashes:
        return []
    size = min(GRAM, len(hashes))
    top = pow(_BASE, size, 1 << 61)
    rolling, hashed = 0, list[int]()
    for position, value in enumerate(hashes):
        rolling = (rolling * _BASE + value) % (1 << 61)
        if position >= size:
            rolling = (rolling - top * hashes[position - size]) % (1 << 61)
        if position >= size - 1:
            hashed.append(rolling & HASH_LIMIT)
    return hashed


def is_common(word: str) -> bool:
    """Whether a word is too common to count where words are compared in any order."""
    return word in _COMMON


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A question and its answer, without their words. Its lists are sorted: the order of words is not in it.

    grams: of the question's n-grams. words, answer: of the distinct words that are not common. length: how many words
    of the question are not common, repetitions counted.
    """

    salt: str
    grams: tuple[int, ...]
    words: tuple[int, ...]
    answer: tuple[int, ...]
    length: int

    def to_json(self) -> dict[str, Any]:
        """The request's field `screen`."""
        return {
            "salt": self.salt,
            "grams": list(self.grams),
            "words": list(self.words),
            "answer": list(self.answer),
            "length": self.length,
        }


def fingerprint(question: str, answer: str, salt: str) -> Fingerprint:
    """The fingerprint of a question and its answer under a salt."""
    of = hasher(salt)
    question_words, answer_words = _first(question), _first(answer)
    rare = [of(word) for word in question_words if not is_common(word)]
    # An answer of common words alone ("no", "both") is kept: it distinguishes little, but it is the answer.
    kept = [word for word in answer_words if not is_common(word)] or answer_words
    return Fingerprint(
        salt=salt,
        grams=_sorted(grams([of(word) for word in question_words])),
        words=_sorted(rare),
        answer=_sorted(of(word) for word in kept),
        length=len(rare),
    )


def _first(text: str) -> list[str]:
    words: list[str] = []
    for word, _, _ in spans(text):
        words.append(word)
        if len(words) == MOST_WORDS:
            break
    return words


def _sorted(hashes: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(hashes)))
