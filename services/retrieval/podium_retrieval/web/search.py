"""Too few documents: ask the web, by Tavily's protocol, beside the batch path and without a hold on it."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from podium_contracts.search import Screened
from podium_contracts.text.fingerprint import Fingerprint
from podium_contracts.text.surrogates import lossless_bytes

from podium_retrieval.screen.screen import Screen
from podium_retrieval.web.cache import WebCache
from podium_retrieval.web.tavily import Refused, Tavily, WebError, WebFailed

_LOG = logging.getLogger(__name__)
_EXTRACT_AT_ONCE: Final = 20
_EXCLUDED_AT_MOST: Final = 150
"""Domains in one search; the rest is left out here."""
_DEPTH: Final = "basic"
"""Tavily's depth of search and extraction, sent in every request, since the price depends on it."""


@dataclass(slots=True)
class Bill:
    """Searches and extracted pages that the server charges. None: asked for, and whether charged is not known."""

    searches: int | None = 0
    pages: int | None = 0
    error: WebError | None = field(default=None, compare=False)
    """Why the search or the extraction failed, for all requests that share a look-up."""
    screened: Screened | None = field(default=None, compare=False)
    """Of this caller's own; None without screening."""

    def take(self) -> "Bill":
        """Costs not yet reported: of all requests that share a look-up the first to finish reports them."""
        taken = Bill(self.searches, self.pages, self.error)
        self.searches = self.pages = 0
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """Of one look-up: results asked, seconds for search and extraction together, bytes and characters kept."""

    results: int
    timeout_s: float
    concurrency: int
    max_bytes: int
    page_chars: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the web, best first in its list."""

    url: str
    title: str
    contents: str


@dataclass(slots=True)
class _LookUp:
    task: asyncio.Task[list[Page]]
    bill: Bill


class WebSearch:
    """POST /search, then POST /extract for full texts where they can be had within the time.

    Equal queries share one look-up while it runs, and its pages are kept on disk. Pages whose text could not be
    extracted keep the search's own snippet. `clock`: seconds, by which pauses that the server asks for are kept.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        limits: WebLimits,
        cache_dir: Path,
        cache_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        screen: Screen | None = None,
    ) -> None:
        self._limits = limits
        self._screen = screen
        self._server = Tavily(base_url, key, connections=limits.concurrency, max_bytes=limits.max_bytes, clock=clock)
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._running: dict[str, _LookUp] = {}
        self._cache = WebCache(cache_dir, cache_bytes)

    async def search(self, query: str, bill: Bill | None = None, question: Fingerprint | None = None) -> list[Page]:
        """Pages for a query. `bill`: filled in with what this caller has to pay for and what failed, also on WebFailed.

        question: what the pages must not give away. Pages are kept on disk as they came and screened for each caller.

        Raises:
            WebFailed: time, status, size or content; never anything else.
        """
        if self._screen is None:
            return await self._found(query, bill)
        bill = bill or Bill()
        words, bill.screened = self._screen.query(query, question)
        if words is None:
            bill.searches = bill.pages = 0
            return []
        pages = await self._found(words, bill)
        kept, blocked = await asyncio.to_thread(self._screen.pages, pages, question)
        bill.screened += blocked
        return kept

    async def _found(self, query: str, bill: Bill | None) -> list[Page]:
        key = hashlib.sha256(lossless_bytes(f"{self._limits.results}\0{query}")).hexdigest()
        running = self._running.get(key)
        if running is None:
            shared = Bill()
            running = _LookUp(asyncio.create_task(self._look_up(key, query, shared), name="web-search"), shared)
            self._running[key] = running
            running.task.add_done_callback(lambda done: self._done(key, done))
        try:
            return await asyncio.shield(running.task)  # one caller who leaves does not end it for the others
        finally:
            if bill is not None and running.task.done():
                taken = running.bill.take()
                bill.searches, bill.pages, bill.error = taken.searches, taken.pages, taken.error

    async def close(self) -> None:
        """Stop look-ups and close connections and cache."""
        tasks = [look.task for look in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.close()
        self._cache.close()

    def _done(self, key: str, task: asyncio.Task[list[Page]]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # read, so that a failure all callers have left is not reported as lost

    async def _look_up(self, key: str, query: str, bill: Bill) -> list[Page]:
        try:
            return await self._pages(key, query, bill)
        except WebFailed as error:
            bill.error = error.why
            raise

    async def _pages(self, key: str, query: str, bill: Bill) -> list[Page]:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                kept = await asyncio.to_thread(self._load, key)
                if kept is not None:
                    return kept
                async with self._slots:
                    pages = await self._search(query, bill)
                    # Half of what is left may go to full texts; snippets are at hand if it does not suffice.
                    left = self._limits.timeout_s - (time.monotonic() - started)
                    texts = await self._extract([page.url for page in pages], left * 0.8, bill) if pages else {}
                pages = [
                    Page(page.url, page.title, texts.get(page.url, page.contents)[: self._limits.page_chars])
                    for page in pages
                ]
                pages = [page for page in pages if page.contents.strip()]
        except TimeoutError:
            raise WebFailed("timeout", f"no answer within {self._limits.timeout_s:g} s") from None
        if pages:
            await asyncio.to_thread(self._store, key, pages)
        return pages

    async def _search(self, query: str, bill: Bill) -> list[Page]:
        bill.searches = None  # until it is known
        try:
            body = await self._server.post(
                "/search",
                {"query": query, "max_results": self._limits.results, "search_depth": _DEPTH, **self._exclude()},
                self._limits.timeout_s,
            )
        except Refused:
            bill.searches = 0
            raise
        bill.searches = 1
        rows: Any = body.get("results")
        if not isinstance(rows, list):
            raise WebFailed("bad_answer", "the answer of /search has no list 'results'")
        pages: list[Page] = []
        items: list[Any] = rows
        for item in items[: self._limits.results]:
            row: dict[str, Any] = item if isinstance(item, dict) else {}
            url, title, content = row.get("url"), row.get("title"), row.get("content")
            if isinstance(url, str) and url:
                pages.append(
                    Page(
                        url,
                        title if isinstance(title, str) else "",
                        content if isinstance(content, str) else "",
                    )
                )
        return pages

    def _exclude(self) -> dict[str, list[str]]:
        domains = [] if self._screen is None else self._screen.excluded_domains[:_EXCLUDED_AT_MOST]
        return {"exclude_domains": domains} if domains else {}

    async def _extract(self, urls: list[str], limit_s: float, bill: Bill) -> dict[str, str]:
        """Full texts by url; empty when extraction fails, for it only improves on snippets."""
        texts: dict[str, str] = {}
        bill.pages = None
        try:
            async with asyncio.timeout(limit_s):
                body = await self._server.post(
                    "/extract", {"urls": urls[:_EXTRACT_AT_ONCE], "extract_depth": _DEPTH}, self._limits.timeout_s
                )
        except (TimeoutError, WebFailed) as error:
            if isinstance(error, Refused):
                bill.pages = 0
            bill.error = error.why if isinstance(error, WebFailed) else "timeout"
            _LOG.warning("web extraction gave nothing: %s", error or "too slow")
            return texts
        rows: Any = body.get("results")
        items: list[Any] = rows if isinstance(rows, list) else []
        bill.pages = len(items)
        for item in items:
            row: dict[str, Any] = item if isinstance(item, dict) else {}
            url, text = row.get("url"), row.get("raw_content")
            if isinstance(url, str) and isinstance(text, str) and text.strip():
                texts[url] = text
        return texts

    def _load(self, key: str) -> list[Page] | None:
        try:
            kept = self._cache.get(key)
            return None if kept is None else [Page(*row) for row in orjson.loads(kept)]
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:  # the search goes on without a cache
            _LOG.warning("the web cache could not be read: %s", error)
            return None

    def _store(self, key: str, pages: list[Page]) -> None:
        try:
            self._cache.put(key, orjson.dumps([[page.url, page.title, page.contents] for page in pages]))
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:  # a full disk, or text that is no UTF-8
            _LOG.warning("the web cache could not be written: %s", error)
