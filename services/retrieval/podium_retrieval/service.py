"""One request from its texts to its answer: cache, tokens, batch, documents, web."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from podium_contracts.search import SearchRequest, SearchTiming

from podium_retrieval.answer_cache import AnswerCache
from podium_retrieval.batching.gate import Gate
from podium_retrieval.batching.preparation import Preparation
from podium_retrieval.batching.worker import Candidates, Job, Worker
from podium_retrieval.documents import Documents, Found
from podium_retrieval.errors import ClientLeft, Refusal
from podium_retrieval.metrics import Metrics
from podium_retrieval.top_up import TopUp


@dataclass(frozen=True, slots=True)
class Answer:
    """Documents as JSON for each query of a request."""

    documents: Sequence[Sequence[bytes]]
    timing: SearchTiming


class SearchService:
    """Everything behind POST /retrieve but HTTP itself. Lives on one event loop."""

    def __init__(
        self,
        worker: Worker,
        preparation: Preparation,
        documents: Documents,
        cache: AnswerCache,
        top_up: TopUp | None,
        metrics: Metrics,
        deadline_s: float,
    ) -> None:
        self.worker = worker
        self._preparation = preparation
        self._documents = documents
        self._cache = cache
        self._top_up = top_up
        self._metrics = metrics
        self.deadline_s = deadline_s

    async def search(self, request: SearchRequest, left: "asyncio.Future[object]") -> Answer:
        """Documents for each query. `left` is done when the client has gone.

        Raises:
            Refusal: with its type. ClientLeft: the answer has no reader.
        """
        deadline = time.monotonic() + self.deadline_s
        allowed = self._documents.allowed_ids(request.eid)
        answers_known: list[Found | None] = [self._cached(request, query) for query in request.queries]
        missing = [index for index, fresh_answer in enumerate(answers_known) if fresh_answer is None]
        if missing:
            fresh = await self._ask(request, [request.queries[index] for index in missing], allowed, deadline, left)
            for index, fresh_answer in zip(missing, fresh, strict=True):
                answers_known[index] = fresh_answer
                self._cache.put(_key(request, request.queries[index]), fresh_answer.documents)
        answers = cast("list[Found]", answers_known)
        documents: list[Sequence[bytes]] = [answer.documents for answer in answers]
        web = SearchTiming()
        if self._top_up is not None:
            documents, web = await self._top_up.add(request, documents, deadline, left)
        return Answer(documents, _timing(answers, web))

    async def close(self, timeout_s: float) -> None:
        """Refuse what waits, end the worker and the web look-ups."""
        await asyncio.to_thread(self.worker.stop, timeout_s)
        if self._top_up is not None:
            await self._top_up.close()
        self._preparation.close()
        self._documents.close()

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
            return self._documents.find(candidates, request, allowed)

        jobs = [Job(await self._preparation.prepare(query), finish, deadline) for query in queries]
        gate = Gate(jobs)
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


def _key(request: SearchRequest, query: str) -> tuple[str, int, bool, str | None]:
    return query, request.topk, request.return_scores, request.eid


def _timing(answers: Sequence[Found], web: SearchTiming) -> SearchTiming:
    """The slowest of the request's queries, None where all came from the cache, and the web's part."""
    measured = [answer.candidates for answer in answers if answer.candidates is not None]
    if not measured:
        return web
    return replace(
        web,
        queue_ms=max(timing.queue_ms for timing in measured),
        encode_ms=max(timing.encode_ms for timing in measured),
        search_ms=max(timing.search_ms for timing in measured),
        batch_size=max(timing.batch_size for timing in measured),
    )
