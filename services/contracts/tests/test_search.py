"""Both shapes that retrieval servers answer are read; anything else is refused with its place."""

import pytest
from podium_contracts.search import BadSearchResponse, SearchRequest, SearchTiming, parse_response

DOC = {"id": "7", "contents": "text", "title": "T"}


def test_the_request_has_the_originals_fields():
    assert SearchRequest(("q",), 5, eid="3").to_json() == {
        "queries": ["q"], "topk": 5, "return_scores": True, "eid": "3",
    }  # fmt: skip
    assert "eid" not in SearchRequest(("q",), 5).to_json()


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"result": rows}])
def test_plain_list_and_search_r1_bodies_read_the_same(wrap):
    (hits,) = parse_response(wrap([[{"document": DOC, "score": 0.5}]])).results
    assert (hits[0].document.id, hits[0].document.contents, hits[0].score) == ("7", "text", 0.5)


def test_a_document_without_a_score_is_read():
    (hits,) = parse_response([[{"id": 1, "content": "c"}]]).results
    assert hits[0].document.contents == "c"
    assert hits[0].score is None


@pytest.mark.parametrize("body", [None, {}, {"result": 3}, [3], [[3]], [[{"document": 3}]], [[{"id": "x"}]]])
def test_any_other_body_is_refused(body):
    with pytest.raises(BadSearchResponse):
        parse_response(body)


def test_absent_or_malformed_timing_headers_are_missing_not_zero():
    timing = SearchTiming.from_headers({"X-Podium-Queue-Ms": "1.5", "X-Podium-Encode-Ms": "soon"})
    assert (timing.queue_ms, timing.encode_ms, timing.batch_size) == (1.5, None, None)


def test_web_charges_are_read_and_absent_ones_missing():
    said = SearchTiming.from_headers({"X-Podium-Web-Ms": "80", "X-Podium-Web-Searches": "1", "X-Podium-Web-Pages": "0"})
    assert (said.web_ms, said.web_searches, said.web_pages) == (80.0, 1, 0)
    silent = SearchTiming.from_headers({"X-Podium-Web-Ms": "80", "X-Podium-Web-Searches": "inf"})
    assert (silent.web_searches, silent.web_pages) == (None, None)


@pytest.mark.parametrize(
    ("headers", "why"),
    [({"X-Podium-Web-Error": "plan_limit"}, "plan_limit"), ({}, None), ({"X-Podium-Web-Error": " "}, None)],
)
def test_a_failure_of_the_web_is_read(headers: dict[str, str], why: str | None):
    assert SearchTiming.from_headers(headers).web_error == why
