"""A request's body, checked: what a client may ask, and what it is told when it may not."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from typing import Any

import orjson
from podium_contracts.search import SearchRequest
from podium_contracts.text.fingerprint import Fingerprint, read_fingerprint

from podium_retrieval.errors import Refusal


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The most that one request may ask for."""

    queries: int
    query_chars: int
    topk: int
    default_topk: int = 3
    """search-R1's servers give three documents when topk is missing."""
    empty: bool = False
    """Whether no query at all, and queries without text, are taken: search-R1's client sends both."""


def read_request(body: bytes, limits: RequestLimits) -> SearchRequest:
    """The body of POST /retrieve: queries, and optionally topk, return_scores, eid, screen. Other fields are ignored.

    Raises:
        Refusal: bad_request, naming the field and what it must be.
    """
    try:
        raw: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _bad(f"the body is no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _bad("the body must be a JSON object with 'queries'")
    fields: dict[str, Any] = raw
    return SearchRequest(
        queries=_queries(fields.get("queries"), limits),
        topk=_topk(fields.get("topk"), limits),
        return_scores=_return_scores(fields.get("return_scores")),
        eid=_eid(fields.get("eid")),
        screen=_screen(fields.get("screen")),
    )


def _queries(value: Any, limits: RequestLimits) -> tuple[str, ...]:
    if isinstance(value, str):
        raise _bad("'queries' must be a list of texts, not one text: [\"…\"]")
    if not isinstance(value, list):
        raise _bad("'queries' must be a list of texts")
    queries: list[Any] = value
    if not queries and not limits.empty:
        raise _bad("'queries' is empty: ask at least one query")
    if len(queries) > limits.queries:
        raise _bad(f"'queries' holds {len(queries)} queries, the limit is {limits.queries}")
    for at, query in enumerate(queries):
        if not isinstance(query, str):
            raise _bad(f"queries[{at}] is no text")
        if len(query) > limits.query_chars:
            raise _bad(f"queries[{at}] has {len(query)} characters, the limit is {limits.query_chars}")
        if not query.strip() and not limits.empty:
            raise _bad(f"queries[{at}] is empty")
    return tuple(queries)


def _topk(value: Any, limits: RequestLimits) -> int:
    if value is None:
        return min(limits.default_topk, limits.topk)
    value = _whole(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad("'topk' must be a whole number")
    if not 1 <= value <= limits.topk:
        raise _bad(f"'topk' is {value}, it must be from 1 to {limits.topk}")
    return value


def _return_scores(value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _bad("'return_scores' must be true or false")
    return value


def _eid(value: Any) -> str | None:
    if value is None:
        return None
    value = _whole(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _bad("'eid' must be a text or a whole number")
    return str(value)


def _screen(value: Any) -> Fingerprint | None:
    try:
        return None if value is None else read_fingerprint(value)
    except ValueError as error:
        raise _bad(str(error)) from None


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 3.0 is the whole number 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bad(message: str) -> Refusal:
    return Refusal("bad_request", message)
