"""The Search of a run: the retrieval service over HTTP, in either shape that such servers answer."""

from typing import Protocol

import aiohttp
from podium_contracts.search import (
    BadSearchResponse,
    SearchRequest,
    SearchResponse,
    SearchTiming,
    parse_response,
)

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.errors import Failure
from podium_eval.settings.run import RunSettings
from podium_eval.transport.json_service import Gate, HttpService, Service, ServiceLimits


class Search(Protocol):
    async def search(self, request: SearchRequest) -> SearchResponse:
        """Raises Failure("retrieval_error" | "timeout" | "connection" | "rate_limit", …)."""
        ...


class RetrievalClient:
    """POST /retrieve. The service's own timings come from its headers where it is Podium's."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: RunSettings, gate: Gate, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._timeout_s = settings.retrieval_timeout_s
        self._service = HttpService(
            session,
            Service("retrieval", f"{settings.retrieval_url.rstrip('/')}/retrieve", "retrieval_error"),
            gate,
            ServiceLimits(settings.retrieval_attempts, settings.connect_timeout_s),
            clock,
        )

    async def search(self, request: SearchRequest) -> SearchResponse:
        """See Search."""
        body, headers = await self._service.post(request.to_json(), self._timeout_s)
        try:
            response = parse_response(body, SearchTiming.from_headers(headers))
        except BadSearchResponse as error:
            raise Failure("retrieval_error", f"retrieval answered {error}", provider="retrieval") from error
        if len(response.results) != len(request.queries):
            raise Failure(
                "retrieval_error",
                f"retrieval answered {len(response.results)} lists to {len(request.queries)} queries",
                provider="retrieval",
            )
        return response
