"""The request and response of the retrieval service's POST /retrieve."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, cast

from podium_contracts.text.fingerprint import Fingerprint

QUEUE_MS_HEADER: Final = "X-Podium-Queue-Ms"
ENCODE_MS_HEADER: Final = "X-Podium-Encode-Ms"
SEARCH_MS_HEADER: Final = "X-Podium-Search-Ms"
WEB_MS_HEADER: Final = "X-Podium-Web-Ms"
WEB_SEARCHES_HEADER: Final = "X-Podium-Web-Searches"
WEB_PAGES_HEADER: Final = "X-Podium-Web-Pages"
WEB_ERROR_HEADER: Final = "X-Podium-Web-Error"
SCREENED_HEADER: Final = "X-Podium-Screened"
BATCH_SIZE_HEADER: Final = "X-Podium-Batch-Size"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One request: `queries` texts, at most `topk` documents for each.

    eid: the question's index, which selects its allowed document ids when the service holds such a table.
    return_scores: without it the answer is documents alone.
    screen: the question that is worked on, by which pages of the web that give it away are left out; None: by their
    address alone.
    """

    queries: tuple[str, ...]
    topk: int
    return_scores: bool = True
    eid: str | None = None
    screen: Fingerprint | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of POST /retrieve."""
        body: dict[str, Any] = {
            "queries": list(self.queries),
            "topk": self.topk,
            "return_scores": self.return_scores,
        }
        if self.eid is not None:
            body["eid"] = self.eid
        if self.screen is not None:
            body["screen"] = self.screen.to_json()
        return body


@dataclass(frozen=True, slots=True)
class Document:
    """A passage. source: `corpus`, or `web` with the page's url."""

    id: str
    contents: str
    title: str | None = None
    source: str = "corpus"
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A document and its score: inner product for the corpus, negative rank for a web page, None if not asked."""

    document: Document
    score: float | None


@dataclass(frozen=True, slots=True)
class Screened:
    """What screening did to the web's part of one answer.

    mirror, question, answer: pages left out because their address is a known copy's, their text holds the question, or
    the question's words and the answer in another order. shortened, refused: queries that quoted the question.
    """

    mirror: int = 0
    question: int = 0
    answer: int = 0
    shortened: int = 0
    refused: int = 0

    def to_header(self) -> str:
        """`mirror=1,question=0,…`"""
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))

    @classmethod
    def from_header(cls, text: str | None) -> "Screened | None":
        """None where there is no such header, or it cannot be read."""
        names = {field.name for field in fields(cls)}
        try:
            pairs = [part.split("=") for part in (text or "")[:500].split(",")]
            return cls(**{name.strip(): int(count) for name, count in pairs if name.strip() in names})
        except ValueError:
            return None

    def __add__(self, other: "Screened") -> "Screened":
        return Screened(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        )


@dataclass(frozen=True, slots=True)
class SearchTiming:
    """The service's timing of one request in milliseconds; None where the service did not report it.

    web_searches, web_pages: searches and extracted pages of the web that this request is to pay for. None beside a
    web_ms: they were asked for, and whether they will be charged is not known. web_error: the web failed, and why:
    words such as auth, rate_limit, plan_limit, timeout, with commas between them; None: it did not fail.
    screened: None where the web was not asked, or the service does not screen.
    """

    queue_ms: float | None = None
    encode_ms: float | None = None
    search_ms: float | None = None
    web_ms: float | None = None
    batch_size: int | None = None
    web_searches: int | None = None
    web_pages: int | None = None
    web_error: str | None = None
    screened: Screened | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> "SearchTiming":
        """Read the X-Podium-* headers of a response (a case-insensitive mapping); absent or malformed is None."""

        def number(name: str) -> float | None:
            try:
                return float(headers[name])
            except (KeyError, ValueError):
                return None

        def count(name: str) -> int | None:
            value = number(name)
            return None if value is None or not math.isfinite(value) else int(value)

        return cls(
            queue_ms=number(QUEUE_MS_HEADER),
            encode_ms=number(ENCODE_MS_HEADER),
            search_ms=number(SEARCH_MS_HEADER),
            web_ms=number(WEB_MS_HEADER),
            batch_size=count(BATCH_SIZE_HEADER),
            web_searches=count(WEB_SEARCHES_HEADER),
            web_pages=count(WEB_PAGES_HEADER),
            web_error=headers.get(WEB_ERROR_HEADER, "").strip()[:200] or None,
            screened=Screened.from_header(headers.get(SCREENED_HEADER)),
        )


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """Hits for each query, in the order of the queries, best first."""

    results: tuple[tuple[Hit, ...], ...]
    timing: SearchTiming = SearchTiming()


class BadSearchResponse(ValueError):
    """The body is in neither of the two shapes that retrieval servers answer."""


def parse_response(body: Any, timing: SearchTiming | None = None) -> SearchResponse:
    """Read either shape: `[[{"document": …, "score": s}]]` or search-R1's `{"result": [[…]]}`.

    Without scores each entry is the document itself. The text is in `contents` or `content`.

    Raises:
        BadSearchResponse: the body is of another shape; the message names the place.
    """
    rows: Any = cast("dict[str, Any]", body).get("result") if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise BadSearchResponse("neither a list of result lists nor an object with 'result'")
    results: list[tuple[Hit, ...]] = []
    for index, row in enumerate(cast("list[Any]", rows)):
        if not isinstance(row, list):
            raise BadSearchResponse(f"result {index} is not a list")
        results.append(tuple(_hit(item, index) for item in cast("list[Any]", row)))
    return SearchResponse(tuple(results), timing or SearchTiming())


def _hit(item: Any, index: int) -> Hit:
    if not isinstance(item, dict):
        raise BadSearchResponse(f"result {index} holds something that is no object")
    raw = cast("dict[str, Any]", item)
    document: Any = raw.get("document", raw)
    if not isinstance(document, dict):
        raise BadSearchResponse(f"result {index} holds a document that is no object")
    doc = cast("dict[str, Any]", document)
    contents = doc.get("contents", doc.get("content"))
    if not isinstance(contents, str):
        raise BadSearchResponse(f"result {index} holds a document without 'contents' or 'content'")
    score: Any = raw.get("score") if "document" in raw else None
    title: Any = doc.get("title")
    url: Any = doc.get("url")
    return Hit(
        Document(
            id=str(doc.get("id", "")),
            contents=contents,
            title=title if isinstance(title, str) else None,
            source=str(doc.get("source", "corpus")),
            url=url if isinstance(url, str) else None,
        ),
        float(score) if isinstance(score, int | float) else None,
    )
