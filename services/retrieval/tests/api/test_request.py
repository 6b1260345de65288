"""Bodies of POST /retrieve: what is read from them, and how a refusal is worded."""

import json
from typing import Any

import pytest
from podium_contracts.search import SearchRequest
from podium_contracts.text.fingerprint import fingerprint
from podium_retrieval.api.request import RequestLimits, RequestReader
from podium_retrieval.errors import Refusal

READER = RequestReader(RequestLimits(queries=4, query_chars=20, topk=10))


def read(**fields: Any) -> SearchRequest:
    return READER.read(json.dumps({"queries": ["a"]} | fields).encode())


def refusal(**fields: Any) -> str:
    with pytest.raises(Refusal) as refused:
        read(**fields)
    return refused.value.message


def test_what_a_client_sends_is_what_is_read() -> None:
    asked = SearchRequest(("wren", "é" * 20), 7, True, "17", fingerprint("which bird sings at night", "wren", "s"))
    assert READER.read(json.dumps(asked.to_json()).encode()) == asked


def test_fields_left_out_or_null_have_their_defaults() -> None:
    assert read() == read(topk=None, return_scores=None, eid=None, screen=None) == SearchRequest(("a",), 3, False)
    assert RequestReader(RequestLimits(4, 20, topk=2)).read(b'{"queries": ["a"], "more": [1]}').topk == 2


def test_a_whole_number_may_be_written_as_a_float() -> None:
    screen = fingerprint("which bird sings at night", "wren", "s").to_json()
    screen["length"] = float(screen["length"])
    screen["grams"] = [float(one) for one in screen["grams"]]
    asked = READER.read(
        b'{"queries": ["a"], "topk": 3.0, "eid": 1.7e1, "screen": ' + json.dumps(screen).encode() + b"}"
    )
    assert (asked.topk, asked.eid) == (3, "17")
    assert asked.screen == fingerprint("which bird sings at night", "wren", "s")


@pytest.mark.parametrize("value", [True, "3", 3.5, [3]])
def test_topk_is_nothing_but_a_whole_number(value: Any) -> None:
    assert refusal(topk=value) == "'topk' must be a whole number"


@pytest.mark.parametrize("value", [True, 3.5, [3]])
def test_eid_is_a_text_or_a_whole_number(value: Any) -> None:
    assert refusal(eid=value) == "'eid' must be a text or a whole number"
    assert read(eid=10**30).eid == str(10**30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"salt": "x" * 129}, "'screen.salt' must be a text of at most 128 characters"),
        ({"length": -1}, "'screen.length' must be a whole number from 0 to 4000"),
        ({"words": [2**52]}, "'screen.words' must be a list of at most 4000 whole numbers from 0 to 2^52 - 1"),
        ({"answer": [1] * 4001}, "'screen.answer' must be a list of at most 4000 whole numbers from 0 to 2^52 - 1"),
    ],
)
def test_a_bad_fingerprint_is_refused_by_field(change: dict[str, Any], message: str) -> None:
    screen = fingerprint("which bird sings at night", "wren", "s").to_json()
    assert refusal(screen=screen | change) == message
    assert refusal(screen={}) == "'screen' must be an object with salt, grams, words, answer and length"


@pytest.mark.parametrize("body", [b'{"queries": ["\xff"]}', b'{"queries": ["\\ud800"]}', b"[" * 100_000, b'{"a":NaN}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        READER.read(body)
    assert refused.value.type == "bad_request"


def test_the_schema_has_the_limits_that_are_checked() -> None:
    reference, parts = READER.schema("#/{name}")
    assert reference == {"$ref": "#/RetrieveRequest"}
    fields = parts["RetrieveRequest"]["properties"]
    assert fields["queries"]["maxItems"] == 4
    assert fields["queries"]["items"] == {"type": "string", "minLength": 1, "maxLength": 20, "pattern": r"\S"}
    assert {"type": "integer", "minimum": 1, "maximum": 10} in fields["topk"]["anyOf"]
    assert parts["Screen"]["required"] == ["salt", "grams", "words", "answer", "length"]
