"""A search from the shell: texts to POST /retrieve of a running service, its answer as lines or as JSON."""

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import orjson
from podium_contracts.search import (
    BadSearchResponse,
    Hit,
    SearchRequest,
    SearchResponse,
    SearchTiming,
    parse_response,
)
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from podium_retrieval.errors import QueryFailed
from podium_retrieval.outgoing import NoAnswer, new_session, post, without_password
from podium_retrieval.settings import Address

_SHOWN_CHARS = 200


class QuerySettings(BaseSettings):
    """Which service is asked and how; the run's search reads the same names."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file=".env", hide_input_in_errors=True)

    retrieval_port: int = Field(1401, ge=1, le=65535)
    retrieval_url: Address = ""
    """Empty: RETRIEVAL_PORT of this machine."""
    retrieval_topk: int = Field(10, ge=1)
    retrieval_timeout_s: float = Field(120.0, gt=0)

    @property
    def address(self) -> str:
        """Of POST /retrieve."""
        return (self.retrieval_url or f"http://127.0.0.1:{self.retrieval_port}").rstrip("/") + "/retrieve"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer and the time that it took here, from sending to the last byte, in milliseconds."""

    request: SearchRequest
    response: SearchResponse
    took_ms: float

    def json(self) -> bytes:
        """One object: queries, took_ms, timing (null is not measured), results."""
        results = [[{**asdict(hit.document), "score": hit.score} for hit in row] for row in self.response.results]
        timing = asdict(self.response.timing)
        return orjson.dumps(
            {"queries": self.request.queries, "took_ms": round(self.took_ms, 3), "timing": timing, "results": results}
        )

    def text(self) -> str:
        """Two lines a document: score, source, id and title; the text's beginning. A last one with the times."""
        lines: list[str] = []
        for query, row in zip(self.request.queries, self.response.results, strict=True):
            lines += [f'"{query}": {len(row)} document(s)', *(_shown(hit) for hit in row), ""]
        return "\n".join([*lines, f"{self.took_ms:.1f} ms{_parts(self.response.timing)}"])


def query(settings: QuerySettings, texts: tuple[str, ...], eid: str | None = None) -> Found:
    """Ask the service once for all texts.

    Raises:
        QueryFailed: no answer, or one that is none; the message says whose and what to do.
    """
    request = SearchRequest(texts, settings.retrieval_topk, eid=eid)
    shown = without_password(settings.address)
    start = perf_counter()
    try:
        with new_session() as session:
            body = orjson.dumps(request.to_json())
            answer = post(session, settings.address, body, settings.retrieval_timeout_s)
    except NoAnswer as error:
        raise QueryFailed(
            f"{shown}: {error}; is podium-retrieval serve running there? Another address: --url or RETRIEVAL_URL"
        ) from None
    took_ms = (perf_counter() - start) * 1e3
    if answer.status != 200:
        raise QueryFailed(f"{shown} answered {answer.status}: {_reason(answer.content)}{_later(answer.headers)}")
    try:
        response = parse_response(orjson.loads(answer.content), SearchTiming.from_headers(answer.headers))
    except (orjson.JSONDecodeError, BadSearchResponse) as error:
        raise QueryFailed(f"{shown} gave no search results: {error}") from None
    if len(response.results) != len(texts):
        raise QueryFailed(f"{shown} gave {len(response.results)} lists of results to {len(texts)} queries")
    return Found(request, response, took_ms)


def _reason(content: bytes) -> str:
    try:
        error: Any = orjson.loads(content)["error"]
        return f"{error['type']}: {error['message']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content[:_SHOWN_CHARS].decode(errors="replace")


def _later(headers: Any) -> str:
    after = headers.get("Retry-After")
    return f" (again in {after} s)" if after else ""


def _shown(hit: Hit) -> str:
    document = hit.document
    score = "       -" if hit.score is None else f"{hit.score:8.4f}"
    words = " ".join(document.contents.split())
    beginning = words[:_SHOWN_CHARS] + ("…" if len(words) > _SHOWN_CHARS else "")
    name = "  ".join(part for part in (document.id, document.title, document.url) if part)
    return f"{score}  {document.source}  {name}\n          {beginning}"


def _parts(timing: SearchTiming) -> str:
    known = [
        f"{name} {value:.1f}"
        for name, value in (
            ("queue", timing.queue_ms),
            ("encode", timing.encode_ms),
            ("search", timing.search_ms),
            ("web", timing.web_ms),
        )
        if value is not None
    ]
    if timing.batch_size is not None:
        known.append(f"batch of {timing.batch_size}")
    if timing.web_error is not None:
        known.append(f"the web failed: {timing.web_error}")
    return f" ({', '.join(known)})" if known else ""
