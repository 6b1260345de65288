"""Screens a web search for a question: its query, and each page in its results."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from podium_contracts.search import Screened
from podium_contracts.text.fingerprint import Fingerprint

from podium_retrieval.screen.mirrors import Mirrors
from podium_retrieval.screen.text import Matcher, Rule

_LOG = logging.getLogger(__name__)


class Readable(Protocol):
    """A page of the web."""

    @property
    def url(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def contents(self) -> str: ...


AnyPage = TypeVar("AnyPage", bound=Readable)


@dataclass(frozen=True, slots=True)
class ScreenLimits:
    """query: what becomes of one that quotes more than query_words of the question's words in their order.

    share: of the question's n-grams, from which on a text that holds them is a copy.
    """

    query: Literal["shorten", "refuse", "keep"]
    query_words: int
    share: float


class Screen:
    """Leaves out what gives a question away; shared by all requests."""

    def __init__(self, mirrors: Mirrors, limits: ScreenLimits) -> None:
        self._mirrors = mirrors
        self._limits = limits

    @property
    def excluded_domains(self) -> list[str]:
        """For the search engine, which need not return what is left out anyway."""
        return self._mirrors.whole_domains

    def query(self, query: str, question: Fingerprint | None) -> tuple[str | None, Screened]:
        """The query to ask the web, None for none, and what was done to it."""
        if question is None or self._limits.query == "keep":
            return query, Screened()
        shorter = Matcher(question, self._limits.share).shortened(query, self._limits.query_words)
        if shorter is None:
            return query, Screened()
        refused = self._limits.query == "refuse"
        _LOG.info("screening %s a query that quotes the question", "refused" if refused else "shortened")
        return (None, Screened(refused=1)) if refused else (shorter, Screened(shortened=1))

    def pages(self, pages: Sequence[AnyPage], question: Fingerprint | None) -> tuple[list[AnyPage], Screened]:
        """The pages that may be seen, and how many were left out by each rule. For a thread: it reads every word."""
        matcher = None if question is None else Matcher(question, self._limits.share)
        kept: list[AnyPage] = []
        blocked = Screened()
        for page in pages:
            rule = self._rule(page, matcher)
            if rule is None:
                kept.append(page)
                continue
            blocked += Screened(**{rule: 1})
            _LOG.info("screening left out a page by the rule %s: %.200r", rule, page.url)
        return kept, blocked

    def _rule(self, page: Readable, matcher: Matcher | None) -> Rule | None:
        if self._mirrors.holds(page.url):
            return "mirror"
        return None if matcher is None else matcher.rule(f"{page.title}\n{page.contents}")
