"""search: an expert writes a query, retrieval returns documents."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from podium_contracts.search import Hit, SearchRequest
from podium_contracts.text.fingerprint import Fingerprint, fingerprint

from podium_eval.clock import Clock, since_ms
from podium_eval.dataset.question import Question
from podium_eval.errors import Failure
from podium_eval.models.chat import Form
from podium_eval.settings.run import RunSettings
from podium_eval.tools.extraction import query_of
from podium_eval.tools.retrieval_client import Search
from podium_eval.tools.tool import ToolRequest, ToolResult

QUERY_FORM: Final = Form(regex=r"<query>[^<>\n]{3,200}</query>", name="query")
"""The form of EXPERT_FORM=structured: for models too small to follow a form that a prompt describes."""


class SearchTool:
    """Documents for the expert's query; those that the task does not know yet are in the result."""

    name: str = "search"

    def __init__(self, service: Search, settings: RunSettings, clock: Clock) -> None:
        self._service = service
        self._settings = settings
        self._clock = clock
        self._salt = secrets.token_hex(16)

    async def use(self, request: ToolRequest) -> ToolResult:
        """See Tool."""
        result = ToolResult()
        try:
            await self._search(request, result)
        except Failure as failure:
            result.failure = failure
        return result

    async def _search(self, request: ToolRequest, result: ToolResult) -> None:
        parts, settings = result.parts, self._settings
        form = QUERY_FORM if settings.expert_form == "structured" else None
        began = self._clock.mono()
        try:
            result.reply = await request.ask("search.md", form=form, max_tokens=settings.query_max_tokens)
        finally:
            parts.query_ms = parts.expert_ms = since_ms(self._clock, began)
        result.query = query_of(result.reply.text)
        if result.query is None:
            raise Failure("tool_error", "the expert wrote no query between <query> and </query>")
        began = self._clock.mono()
        try:
            response = await self._service.search(
                SearchRequest(
                    (result.query,),
                    settings.retrieval_topk,
                    eid=str(request.question.eid),
                    screen=self._fingerprint(request.question),
                )
            )
        finally:
            parts.retrieval_ms = since_ms(self._clock, began)
        timing = response.timing
        parts.web_ms, parts.retrieval_batch_size = timing.web_ms, timing.batch_size
        parts.web_searches, parts.web_pages = timing.web_searches, timing.web_pages
        parts.web_error = timing.web_error
        if (screened := timing.screened) is not None:
            parts.screened_mirror, parts.screened_question = screened.mirror, screened.question
            parts.screened_answer = screened.answer
            parts.screened_query = "refused" if screened.refused else "shortened" if screened.shortened else None
        parts.retrieval_queue_ms = timing.queue_ms
        parts.retrieval_encode_ms = timing.encode_ms
        parts.retrieval_search_ms = timing.search_ms
        hits = response.results[0]
        result.documents = _new_documents(hits, request)
        parts.n_documents, parts.n_new_documents = len(hits), len(result.documents)

    def _fingerprint(self, question: Question) -> Fingerprint | None:
        """What retrieval screens the web by: hashes alone, so that the answer stays here."""
        if not self._settings.screen_search:
            return None
        return fingerprint(question.question, question.answer, self._salt)


def identity(document_id: str, contents: str) -> str:
    """What makes two documents the same: the id, or without one the text."""
    return document_id or contents


def _new_documents(hits: Sequence[Hit], request: ToolRequest) -> list[dict[str, Any]]:
    new: dict[str, dict[str, Any]] = {}
    for hit in hits:
        document = hit.document
        key = identity(document.id, document.contents)
        if key in new or request.knows(key):
            continue
        new[key] = {
            "id": document.id,
            "title": document.title,
            "contents": document.contents,
            "score": hit.score,
            "source": document.source,
            "url": document.url,
        }
    return list(new.values())
