"""Whether a text holds a question, or its words and its answer in another order, by the question's fingerprint."""

import math
from collections import Counter
from typing import Final, Literal

from podium_contracts.text.fingerprint import GRAM, Fingerprint, grams, hasher, is_common, spans

Rule = Literal["mirror", "question", "answer"]

_FEWEST_WORDS: Final = 8
"""Distinct words of a question that is looked for in any order: fewer stand together in pages of the same topic."""
WITH_ANSWER: Final = 0.75
_WITHOUT_ANSWER: Final = 0.9
"""Share of the question's words that stand close together."""
_SLACK: Final = 10
"""Words of a stretch beyond twice the question's and the answer's."""


class Matcher:
    """Compares texts with one question. Words are hashed once each, so all of a request's pages share one."""

    def __init__(self, print_: Fingerprint, share: float) -> None:
        self._print = print_
        self._grams = frozenset(print_.grams)
        self._words = frozenset(print_.words)
        self._answer = frozenset(print_.answer)
        self._hash = hasher(print_.salt)
        self._needed = max(math.ceil(share * len(self._grams)), min(3, len(self._grams)))
        # Words of the answer that the question has too, as a choice's letter, tell nothing beside it.
        self._telling = bool(self._answer - self._words)

    def rule(self, text: str) -> Rule | None:
        """The rule by which a text gives the question away, None where it does not. Linear in the text."""
        every: list[int] = []
        rare: list[int] = []
        for word, _, _ in spans(text):
            value = self._hash(word)
            every.append(value)
            if not is_common(word):
                rare.append(value)
        if self._grams and len(every) >= GRAM and len(self._grams.intersection(grams(every))) >= self._needed:
            return "question"
        return self._any_order(rare) if len(self._words) >= _FEWEST_WORDS else None

    def shortened(self, query: str, words: int) -> str | None:
        """The query with every run of the question's words cut to `words`; None where it has no longer one."""
        places = list(spans(query))
        page_grams = grams([self._hash(word) for word, _, _ in places]) if len(places) >= GRAM else []
        quoted = [False] * (len(places) + 1)
        reach = 0
        for position, value in enumerate(page_grams):
            if value in self._grams:
                for covered in range(max(position, reach), position + GRAM):
                    quoted[covered] = True
                reach = position + GRAM
        parts, kept_to, run = list[str](), 0, 0
        for position, is_quoted in enumerate(quoted):
            if is_quoted:
                run += 1
                continue
            if run > words:
                parts.append(query[kept_to : places[position - run + words - 1][2]])
                kept_to = places[position - 1][2]
            run = 0
        return " ".join(" ".join([*parts, query[kept_to:]]).split()) if kept_to else None

    def _any_order(self, rare: list[int]) -> Rule | None:
        """Slide a stretch over the text; count the distinct words of question and answer that are in it."""
        stretch = 2 * self._print.length + len(self._answer) + _SLACK
        inside: Counter[int] = Counter()
        n_words = n_answer = 0
        enough, alone = WITH_ANSWER * len(self._words), _WITHOUT_ANSWER * len(self._words)
        for position, value in enumerate(rare):
            if value in self._words or value in self._answer:
                inside[value] += 1
                if inside[value] == 1:
                    n_words += value in self._words
                    n_answer += value in self._answer
            if position >= stretch and (gone := rare[position - stretch]) in inside:
                inside[gone] -= 1
                if not inside[gone]:
                    del inside[gone]
                    n_words -= gone in self._words
                    n_answer -= gone in self._answer
            if self._telling and n_answer == len(self._answer) and n_words >= enough:
                return "answer"
            if n_words >= alone:
                return "question"
        return None
