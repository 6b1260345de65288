"""Too few documents: ask the web, by Tavily's protocol, beside the batch path and without a hold on it."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diskcache  # pyright: ignore[reportMissingTypeStubs]
import httpx
import orjson

from podium_retrieval.outgoing import describe_failure, without_key

_LOG = logging.getLogger(__name__)
_EXTRACT_AT_ONCE: Final = 20
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)

_DEPTH: Final = "basic"
"""Of search and extraction, said in every request, since the price of either depends on it."""


class WebFailed(Exception):
    """No web results, and why; the request goes on with what the corpus gave."""


class _Refused(WebFailed):
    """The server did not take the request, and charges nothing for it."""


@dataclass(slots=True)
class Bill:
    """Searches and extracted pages that the server charges. None: asked for, and whether charged is not known."""

    searches: int | None = 0
    pages: int | None = 0

    def take(self) -> "Bill":
        """What nobody has taken yet: of all who share a look-up the first one who hears of it pays."""
        taken = Bill(self.searches, self.pages)
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
    extracted keep the search's own snippet.
    """

    def __init__(self, base_url: str, key: str, limits: WebLimits, cache_dir: Path, cache_bytes: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._limits = limits
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_connections=limits.concurrency, max_keepalive_connections=limits.concurrency),
            follow_redirects=False,
        )
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._running: dict[str, _LookUp] = {}
        cache_dir.mkdir(parents=True, exist_ok=True)
        self._cache: Any = diskcache.Cache(str(cache_dir), size_limit=cache_bytes, timeout=1)

    async def search(self, query: str, bill: Bill | None = None) -> list[Page]:
        """Pages for a query. `bill`: filled in with what this caller has to pay for, also when it fails.

        Raises:
            WebFailed: time, status, size or content; never anything else.
        """
        key = hashlib.sha256(f"{self._limits.results}\0{query}".encode("utf-8", "surrogatepass")).hexdigest()
        found = self._running.get(key)
        if found is None:
            own = Bill()
            found = _LookUp(asyncio.create_task(self._look_up(key, query, own), name="web-search"), own)
            self._running[key] = found
            found.task.add_done_callback(lambda done: self._done(key, done))
        try:
            return await asyncio.shield(found.task)  # one caller who leaves does not end it for the others
        finally:
            if bill is not None and found.task.done():
                taken = found.bill.take()
                bill.searches, bill.pages = taken.searches, taken.pages

    async def close(self) -> None:
        """Stop look-ups and close connections and cache."""
        tasks = [look.task for look in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()
        self._cache.close()

    def _done(self, key: str, task: asyncio.Task[list[Page]]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # read, so that a failure all callers have left is not reported as lost

    async def _look_up(self, key: str, query: str, bill: Bill) -> list[Page]:
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
            raise WebFailed(f"no answer within {self._limits.timeout_s:g} s") from None
        if pages:
            await asyncio.to_thread(self._store, key, pages)
        return pages

    async def _search(self, query: str, bill: Bill) -> list[Page]:
        bill.searches = None  # until it is known
        try:
            body = await self._post(
                "/search", {"query": query, "max_results": self._limits.results, "search_depth": _DEPTH}
            )
        except _Refused:
            bill.searches = 0
            raise
        bill.searches = 1
        rows: Any = body.get("results")
        if not isinstance(rows, list):
            raise WebFailed("the answer of /search has no list 'results'")
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

    async def _extract(self, urls: list[str], limit_s: float, bill: Bill) -> dict[str, str]:
        """Full texts by url; empty when extraction fails, for it only improves on snippets."""
        texts: dict[str, str] = {}
        bill.pages = None
        try:
            async with asyncio.timeout(limit_s):
                body = await self._post("/extract", {"urls": urls[:_EXTRACT_AT_ONCE], "extract_depth": _DEPTH})
        except (TimeoutError, WebFailed) as error:
            if isinstance(error, _Refused):
                bill.pages = 0
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

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        content = bytearray()
        try:
            async with self._client.stream(
                "POST",
                self._base_url + path,
                content=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
                timeout=self._limits.timeout_s,
            ) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > self._limits.max_bytes:
                        raise WebFailed(f"{path} answered more than {self._limits.max_bytes} bytes")
                status = response.status_code
        except _UNSENT as error:
            raise _Refused(f"{path}: {describe_failure(error, self._key)}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise WebFailed(f"{path}: {describe_failure(error, self._key)}") from None
        if status != 200:
            said = without_key(bytes(content).decode(errors="replace"), self._key)
            raise _Refused(f"{path} answered {status}: {said[:200]}")
        try:
            parsed: Any = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise WebFailed(f"{path} answered no JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise WebFailed(f"{path} answered no JSON object")
        return parsed

    def _load(self, key: str) -> list[Page] | None:
        try:
            kept: Any = self._cache.get(key)
            return None if kept is None else [Page(*row) for row in orjson.loads(kept)]
        except Exception as error:  # noqa: BLE001  a broken cache must not break the search; diskcache raises sqlite's own
            _LOG.warning("the web cache could not be read: %s", error)
            return None

    def _store(self, key: str, pages: list[Page]) -> None:
        try:
            self._cache.set(key, orjson.dumps([[page.url, page.title, page.contents] for page in pages]))
        except Exception as error:  # noqa: BLE001  a full disk must not break the search
            _LOG.warning("the web cache could not be written: %s", error)
