"""`podium-retrieval screen`: which documents of a corpus give a dataset's questions away."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
from podium_contracts.text.fingerprint import Fingerprint, fingerprint, grams, hasher, is_common, spans

from podium_retrieval.errors import StartError
from podium_retrieval.index.corpus import BadDocument, parse_document, text_of
from podium_retrieval.index.corpus_source import corpus_lines
from podium_retrieval.screen.mirrors import Mirrors
from podium_retrieval.screen.text import WITH_ANSWER, Matcher, Rule

_SALT: Final = ""
"""Nothing leaves this process, so its hashes need none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A document that gives a question away. line: of the corpus, from 1. question: its id, None for a mirror."""

    line: int
    document: str | None
    rule: Rule
    question: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the dataset."""

    id: str
    print_: Fingerprint
    matcher: Matcher


class Questions:
    """A dataset's questions, found by the n-grams and rare words of a document, so that few are compared in full."""

    def __init__(self, rows: list[tuple[str, str, str]], share: float) -> None:
        prints = [(id_, fingerprint(question, answer, _SALT)) for id_, question, answer in rows]
        self._asked = [Asked(id_, print_, Matcher(print_, share)) for id_, print_ in prints]
        self._by_gram: dict[int, list[int]] = defaultdict(list)
        self._by_word: dict[int, list[int]] = defaultdict(list)
        common = Counter(word for _, print_ in prints for word in print_.words)
        for number, (_, print_) in enumerate(prints):
            for gram in print_.grams:
                self._by_gram[gram].append(number)
            # A text with 75% of the words has at least one of any quarter and one more: of the dataset's rarest.
            rarest = sorted(print_.words, key=lambda word: (common[word], word))
            for word in rarest[: math.floor((1 - WITH_ANSWER) * len(rarest)) + 1]:
                self._by_word[word].append(number)

    def given_away(self, text: str) -> Iterator[tuple[str, Rule]]:
        """The questions that a text gives away, by id, with the rule."""
        of = hasher(_SALT)
        words = [(of(word), is_common(word)) for word, _, _ in spans(text)]
        numbers = {number for gram in set(grams([word for word, _ in words])) for number in self._by_gram.get(gram, ())}
        present = {word for word, common in words if not common}
        for number in {number for word in present for number in self._by_word.get(word, ())} - numbers:
            wanted = self._asked[number].print_.words
            if sum(word in present for word in wanted) >= WITH_ANSWER * len(wanted):
                numbers.add(number)
        for number in sorted(numbers):
            if (rule := self._asked[number].matcher.rule(text)) is not None:
                yield self._asked[number].id, rule


def screen_corpus(corpus: Path, dataset: Path, mirrors: Mirrors, share: float) -> Iterator[Finding]:
    """Every document of a jsonl corpus that gives a question of a jsonl dataset away, or is a known copy's.

    Raises:
        StartError: a file cannot be read, or a line of it is bad; with file and line.
    """
    questions = Questions(_rows(dataset), share)
    for number, line in corpus_lines(corpus, "CORPUS"):
        try:
            document = parse_document(line, corpus, number)
        except BadDocument as error:
            raise StartError(str(error)) from error
        name = document.get("id")
        shown = None if name is None else str(name)
        addresses = [value for value in (document.get("url"), name) if isinstance(value, str) and "://" in value]
        if any(mirrors.holds(address) for address in addresses):
            yield Finding(number, shown, "mirror", None)
            continue
        for id_, rule in questions.given_away(f"{document.get('title') or ''}\n{text_of(document) or ''}"):
            yield Finding(number, shown, rule, id_)


def _rows(dataset: Path) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for number, line in corpus_lines(dataset, "--dataset"):
        try:
            row: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise StartError(
                f"{dataset} line {number} is no JSON: {error}; give jsonl (podium-eval data subset writes it)"
            ) from None
        fields: dict[str, Any] = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
        texts = [fields.get(name) for name in ("id", "question", "answer")]
        if not all(isinstance(text, str) for text in texts):
            raise StartError(f"{dataset} line {number} needs texts in id, question and answer")
        rows.append((str(texts[0]), str(texts[1]), str(texts[2])))
    if not rows:
        raise StartError(f"{dataset} holds no question")
    return rows
