"""A request's body as a type: msgspec decodes and checks it, OpenAPI shows it, and a refusal names the field."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta
from podium_contracts.search import SearchRequest
from podium_contracts.text.fingerprint import HASH_LIMIT, MOST_WORDS, Fingerprint

from podium_retrieval.errors import Refusal

_Hashes = Annotated[tuple[Annotated[int, Meta(ge=0, le=HASH_LIMIT)], ...], Meta(max_length=MOST_WORDS)]


_TEXT: Final = {"pattern": r"\S"}
"""For the schema; str.strip finds blanks in a fraction of the decoder's time for a pattern."""


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


class Screen(msgspec.Struct):
    """The field `screen`: a Fingerprint."""

    salt: Annotated[str, Meta(max_length=128)]
    grams: _Hashes
    words: _Hashes
    answer: _Hashes
    length: Annotated[int, Meta(ge=0, le=MOST_WORDS)]


class _Body(msgspec.Struct):
    queries: tuple[str, ...]
    topk: int | None = None
    return_scores: Annotated[bool | None, Meta(description="Entries of document and score, not documents alone.")] = (
        None
    )
    eid: Annotated[str | int | None, Meta(description="The question's index, for EXAMPLE_IDS_FILE.")] = None
    screen: Annotated[
        Screen | None,
        Meta(description="Salted hashes of the question and its answer, which web pages must not give away."),
    ] = None


class RequestReader:
    """Reads bodies of POST /retrieve within limits."""

    def __init__(self, limits: RequestLimits) -> None:
        some = None if limits.empty else 1

        class RetrieveRequest(_Body):
            queries: Annotated[
                tuple[
                    Annotated[
                        str,
                        Meta(min_length=some, max_length=limits.query_chars, extra_json_schema=_TEXT if some else None),
                    ],
                    ...,
                ],
                Meta(min_length=some, max_length=limits.queries),
            ]
            topk: Annotated[
                Annotated[int, Meta(ge=1, le=limits.topk)] | None,
                Meta(description=f"Documents a query; {limits.default_topk} when left out."),
            ] = None

        self._limits = limits
        self._type = RetrieveRequest
        self._decoder = msgspec.json.Decoder(RetrieveRequest)

    def read(self, body: bytes) -> SearchRequest:
        """Queries, and optionally topk, return_scores, eid, screen. Other fields are ignored.

        Raises:
            Refusal: bad_request, naming the field and what it must be.
        """
        try:
            asked = self._decoder.decode(body)
        except msgspec.ValidationError:
            asked = self._read_again(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _bad(f"the body is no JSON: {error}") from None
        limits, screen = self._limits, asked.screen
        if not limits.empty and not all(map(str.strip, asked.queries)):
            at = next(at for at, query in enumerate(asked.queries) if not query.strip())
            raise _bad(f"queries[{at}] is empty")
        return SearchRequest(
            queries=asked.queries,
            topk=min(limits.default_topk, limits.topk) if asked.topk is None else asked.topk,
            return_scores=bool(asked.return_scores),
            eid=None if asked.eid is None else str(asked.eid),
            screen=screen and Fingerprint(screen.salt, screen.grams, screen.words, screen.answer, screen.length),
        )

    def schema(self, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The body's JSON schema as a reference, and the named schemas that it is made of."""
        (reference,), components = msgspec.json.schema_components([self._type], ref_template=ref_template)
        return reference, components

    def _read_again(self, body: bytes) -> _Body:
        """What the decoder refused, with numbers such as 3.0 as the whole numbers that they are to JSON."""
        try:
            raw: Any = _whole(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _bad(f"the body is no JSON: {error}") from None
        try:
            return msgspec.convert(raw, self._type)
        except msgspec.ValidationError as error:
            raise _bad(_explain(str(error), raw, self._limits)) from None


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_whole(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in cast("dict[str, Any]", value).items()}
    return value


def _explain(error: str, raw: Any, limits: RequestLimits) -> str:
    """msgspec's message in the words of this interface; `raw` is the body that it is about."""
    if not isinstance(raw, dict):
        return "the body must be a JSON object with 'queries'"
    what, _, path = error.partition(" - at `$.")
    field, *inner = re.findall(r"\w+", path) or ["queries"]
    too_long = " <= " in what
    value: Any = cast("dict[str, Any]", raw).get(field)
    if field == "topk":
        whole = " <= " in what or " >= " in what
        return f"'topk' is {value}, it must be from 1 to {limits.topk}" if whole else "'topk' must be a whole number"
    if field == "return_scores":
        return "'return_scores' must be true or false"
    if field == "eid":
        return "'eid' must be a text or a whole number"
    if field == "screen":
        return _explain_screen(inner)
    if inner:
        query, name = value[int(inner[0])], f"queries[{inner[0]}]"
        if not isinstance(query, str):
            return f"{name} is no text"
        length = f"has {len(query)} characters, the limit is {limits.query_chars}"
        return f"{name} {length if too_long else 'is empty'}"
    if isinstance(value, str):
        return "'queries' must be a list of texts, not one text: [\"…\"]"
    if not isinstance(value, list):
        return "'queries' must be a list of texts"
    count = f"holds {len(cast('list[Any]', value))} queries, the limit is {limits.queries}"
    return f"'queries' {count if too_long else 'is empty: ask at least one query'}"


def _explain_screen(inner: list[str]) -> str:
    if not inner:
        return "'screen' must be an object with salt, grams, words, answer and length"
    must = {
        "salt": "a text of at most 128 characters",
        "length": f"a whole number from 0 to {MOST_WORDS}",
    }.get(inner[0], f"a list of at most {MOST_WORDS} whole numbers from 0 to 2^52 - 1")
    return f"'screen.{inner[0]}' must be {must}"


def _bad(message: str) -> Refusal:
    return Refusal("bad_request", message)
