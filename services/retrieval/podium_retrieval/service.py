"""One request from its texts to its answer: cache, tokens, batch, documents, web."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

import orjson
from podium_contracts.search import Screened, SearchRequest, SearchTiming

from podium_retrieval.answer_cache import AnswerCache
from podium_retrieval.batching.batch_worker import Candidates, Job, Worker
from podium_retrieval.encoder.embedder import Embedder, Prepared
from podium_retrieval.errors import Refusal
from podium_retrieval.index.candidates import Filter
from podium_retrieval.index.corpus import BadDocument, Corpus
from podium_retrieval.metrics import Metrics
from podium_retrieval.tavily import WebFailed
from podium_retrieval.web import Bill, Page, WebSearch

_LOG = logging.getLogger(__name__)

_TOKENISE_HERE_CHARS: Final = 2000
"""Up to this length tokenising costs less than handing it to another thread."""


@dataclass(frozen=True, slots=True)
class Found:
    """A query's documents as JSON, best first, and what the owner measured (None from the cache)."""

    documents: Sequence[bytes]
    candidates: Candidates | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Documents as JSON for each query of a request."""

    documents: Sequence[Sequence[bytes]]
    timing: SearchTiming


class ClientLeft(Exception):
    """Nobody waits for this answer any more."""


class SearchService:
    """Everything behind POST /retrieve but HTTP itself. Lives on one event loop."""

    def __init__(
        self,
        *,
        worker: Worker,
        embedder: Embedder,
        corpus: Corpus,
        filter: Filter,
        metrics: Metrics,
        allowed: Mapping[str, frozenset[str]] | None = None,
        cache_bytes: int = 0,
        web: WebSearch | None = None,
        web_below: int = 3,
        deadline_s: float = 60.0,
        tokenizer_threads: int = 2,
    ) -> None:
        self.worker = worker
        self._embedder = embedder
        self._corpus = corpus
        self._filter = filter
        self._metrics = metrics
        self._allowed = allowed
        self._cache = AnswerCache(cache_bytes)
        self._web = web
        self._web_below = web_below
        self.deadline_s = deadline_s
        self._tokenizers = ThreadPoolExecutor(tokenizer_threads, thread_name_prefix="retrieval-tokens")

    async def search(self, request: SearchRequest, left: "asyncio.Future[object]") -> Answer:
        """Documents for each query. `left` is done when the client has gone.

        Raises:
            Refusal: with its type. ClientLeft: the answer has no reader.
        """
        deadline = time.monotonic() + self.deadline_s
        allowed = self._allowed_ids(request.eid)
        found: list[Found | None] = [self._cached(request, query) for query in request.queries]
        missing = [at for at, one in enumerate(found) if one is None]
        if missing:
            fresh = await self._ask(request, [request.queries[at] for at in missing], allowed, deadline, left)
            for at, one in zip(missing, fresh, strict=True):
                found[at] = one
                self._cache.put(_key(request, request.queries[at]), one.documents)
        answers = cast("list[Found]", found)
        documents, web = await self._top_up(request, answers, deadline, left)
        return Answer(documents, _timing(answers, web))

    async def close(self, timeout_s: float) -> None:
        """Refuse what waits, end the worker and the web look-ups."""
        await asyncio.to_thread(self.worker.stop, timeout_s)
        if self._web is not None:
            await self._web.close()
        self._tokenizers.shutdown(wait=False, cancel_futures=True)
        self._embedder.close()
        self._corpus.close()

    def _allowed_ids(self, eid: str | None) -> frozenset[str] | None:
        if self._allowed is None or eid is None:
            return None
        try:
            return self._allowed[eid]
        except KeyError:
            raise Refusal("bad_request", f"'eid' {eid} is not in EXAMPLE_IDS_FILE") from None

    def _cached(self, request: SearchRequest, query: str) -> Found | None:
        documents = self._cache.get(_key(request, query))
        if documents is None:
            return None
        self._metrics.cache_hits.inc()
        return Found(documents)

    async def _ask(
        self,
        request: SearchRequest,
        queries: Sequence[str],
        allowed: frozenset[str] | None,
        deadline: float,
        left: "asyncio.Future[object]",
    ) -> list[Found]:
        def finish(candidates: Candidates) -> Found:
            try:
                kept = self._filter.select(candidates.scores, candidates.rows, self._corpus, request.topk, allowed)
            except BadDocument as error:
                raise Refusal("document_failed", str(error)) from error
            if request.return_scores:
                return Found([orjson.dumps({"document": one, "score": score}) for one, score in kept], candidates)
            return Found([orjson.dumps(one) for one, _ in kept], candidates)

        jobs = [Job(await self._prepare(query), finish, deadline) for query in queries]
        gate = _Gate(jobs)
        self.worker.submit(jobs)
        try:
            outcome = await gate.wait(left, deadline)
        finally:
            gate.close()
            self.worker.cancel(jobs)  # does nothing to those that are done
        if outcome == "left":
            raise ClientLeft
        if outcome == "deadline":
            raise Refusal("deadline", f"no answer within {self.deadline_s:g} s")
        return [cast(Found, job.future.result()) for job in jobs]

    async def _prepare(self, query: str) -> Prepared:
        if len(query) <= _TOKENISE_HERE_CHARS:
            return self._embedder.prepare(query)
        return await asyncio.get_running_loop().run_in_executor(self._tokenizers, self._embedder.prepare, query)

    async def _top_up(
        self, request: SearchRequest, found: Sequence[Found], deadline: float, left: "asyncio.Future[object]"
    ) -> tuple[list[Sequence[bytes]], SearchTiming]:
        """Web pages after the documents of those queries that have too few, topk in all; and what that took."""
        few = [at for at, one in enumerate(found) if len(one.documents) < min(self._web_below, request.topk)]
        documents = [one.documents for one in found]
        if self._web is None or not few:
            return documents, SearchTiming()
        started = time.monotonic()
        bills = [Bill(None, None) for _ in few]
        looks = [
            asyncio.ensure_future(self._look(self._web, request, at, bill)) for at, bill in zip(few, bills, strict=True)
        ]
        errors: set[str] = set()
        all_looks = asyncio.ensure_future(asyncio.wait(looks))
        try:
            await asyncio.wait(
                (all_looks, left), timeout=max(0.0, deadline - started), return_when=asyncio.FIRST_COMPLETED
            )
            if left.done():
                raise ClientLeft
            for at, look, bill in zip(few, looks, bills, strict=True):
                pages = look.result() if look.done() else []
                if (error := bill.error if look.done() else "timeout") is not None:
                    errors.add(error)
                room = request.topk - len(documents[at])
                web = [_web_hit(page, rank, request.return_scores) for rank, page in enumerate(pages[:room], 1)]
                documents[at] = [*documents[at], *web]
        finally:
            for one in (all_looks, *looks):
                one.cancel()
        return documents, SearchTiming(
            web_ms=(time.monotonic() - started) * 1e3,
            web_searches=_sum(bill.searches for bill in bills),
            web_pages=_sum(bill.pages for bill in bills),
            web_error=",".join(sorted(errors)) or None,
            screened=sum((bill.screened for bill in bills if bill.screened), Screened())
            if any(bill.screened for bill in bills)
            else None,
        )

    async def _look(self, web: WebSearch, request: SearchRequest, at: int, bill: Bill) -> list[Page]:
        started = time.monotonic()
        try:
            pages = await web.search(request.queries[at], bill, request.screen)
            self._metrics.count_screened(bill.screened)
        except WebFailed as error:
            _LOG.warning("web search failed: %s", error)
            self._metrics.web.labels("failed").inc()
            self._metrics.web_failures.labels(error.why).inc()
            return []
        self._metrics.web.labels("ok").inc()
        self._metrics.web_time.observe(time.monotonic() - started)
        return pages


class _Gate:
    """Opens on the loop when all jobs are done, the client has left, or the time is up, whichever is first."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: asyncio.Future[Literal["done", "left", "deadline"]] = self._loop.create_future()
        self._left = len(jobs)
        self._timer: asyncio.TimerHandle | None = None
        for job in jobs:
            job.future.add_done_callback(self._job_done)

    async def wait(self, left: "asyncio.Future[object]", deadline: float) -> Literal["done", "left", "deadline"]:
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._set, "deadline")
        gone = self._client_gone
        left.add_done_callback(gone)
        try:
            return await self._open
        finally:
            left.remove_done_callback(gone)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set("left")

    def _client_gone(self, _: "asyncio.Future[object]") -> None:
        self._set("left")

    def _job_done(self, _: Future[object]) -> None:
        self._loop.call_soon_threadsafe(self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._set("done")

    def _set(self, outcome: Literal["done", "left", "deadline"]) -> None:
        if not self._open.done():
            self._open.set_result(outcome)


def _key(request: SearchRequest, query: str) -> tuple[str, int, bool, str | None]:
    return query, request.topk, request.return_scores, request.eid


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


def _timing(found: Sequence[Found], web: SearchTiming) -> SearchTiming:
    """The slowest of the request's queries, None where all came from the cache, and the web's part."""
    measured = [one.candidates for one in found if one.candidates is not None]
    if not measured:
        return web
    return replace(
        web,
        queue_ms=max(one.queue_ms for one in measured),
        encode_ms=max(one.encode_ms for one in measured),
        search_ms=max(one.search_ms for one in measured),
        batch_size=max(one.batch_size for one in measured),
    )
