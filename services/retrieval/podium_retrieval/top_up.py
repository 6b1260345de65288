"""Web pages for those queries of a request that have too few documents."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

import orjson
from podium_contracts.search import Screened, SearchRequest, SearchTiming

from podium_retrieval.errors import ClientLeft
from podium_retrieval.metrics import Metrics
from podium_retrieval.web.search import Bill, Page, WebSearch
from podium_retrieval.web.tavily import WebFailed

_LOG = logging.getLogger(__name__)


class TopUp:
    """Adds web pages to queries with fewer than `below` documents, up to their topk."""

    def __init__(self, web: WebSearch, below: int, metrics: Metrics) -> None:
        self._web = web
        self._below = below
        self._metrics = metrics

    async def close(self) -> None:
        """Stop the look-ups."""
        await self._web.close()

    async def add(
        self,
        request: SearchRequest,
        corpus_documents: Sequence[Sequence[bytes]],
        deadline: float,
        left: "asyncio.Future[object]",
    ) -> tuple[list[Sequence[bytes]], SearchTiming]:
        """Web pages after the documents of those queries that have too few, topk in all; and what that took.

        Raises:
            ClientLeft: `left` was done first.
        """
        documents = list(corpus_documents)
        few = [index for index, rows in enumerate(corpus_documents) if len(rows) < min(self._below, request.topk)]
        if not few:
            return documents, SearchTiming()
        started = time.monotonic()
        bills = [Bill(None, None) for _ in few]
        looks = [
            asyncio.ensure_future(self._look(request, index, bill)) for index, bill in zip(few, bills, strict=True)
        ]
        errors: set[str] = set()
        all_looks = asyncio.ensure_future(asyncio.wait(looks))
        try:
            await asyncio.wait(
                (all_looks, left), timeout=max(0.0, deadline - started), return_when=asyncio.FIRST_COMPLETED
            )
            if left.done():
                raise ClientLeft
            for index, look, bill in zip(few, looks, bills, strict=True):
                pages = look.result() if look.done() else []
                if (error := bill.error if look.done() else "timeout") is not None:
                    errors.add(error)
                room = request.topk - len(documents[index])
                web = [_web_hit(page, rank, request.return_scores) for rank, page in enumerate(pages[:room], 1)]
                documents[index] = [*documents[index], *web]
        finally:
            for task in (all_looks, *looks):
                task.cancel()
        return documents, SearchTiming(
            web_ms=(time.monotonic() - started) * 1e3,
            web_searches=_sum(bill.searches for bill in bills),
            web_pages=_sum(bill.pages for bill in bills),
            web_error=",".join(sorted(errors)) or None,
            screened=sum((bill.screened for bill in bills if bill.screened), Screened())
            if any(bill.screened for bill in bills)
            else None,
        )

    async def _look(self, request: SearchRequest, index: int, bill: Bill) -> list[Page]:
        started = time.monotonic()
        try:
            pages = await self._web.search(request.queries[index], bill, request.screen)
            self._metrics.count_screened(bill.screened)
        except WebFailed as error:
            _LOG.warning("web search failed: %s", error)
            self._metrics.web.labels("failed").inc()
            self._metrics.web_failures.labels(error.why).inc()
            return []
        self._metrics.web.labels("ok").inc()
        self._metrics.web_time.observe(time.monotonic() - started)
        return pages


def _web_hit(page: Page, rank: int, with_score: bool) -> bytes:
    document = {
        "id": page.url,
        "title": page.title,
        "contents": page.contents,
        "source": "web",
        "url": page.url,
    }
    return orjson.dumps({"document": document, "score": -float(rank)} if with_score else document)


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None when one of them is not known."""
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)
