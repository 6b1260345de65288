"""POST /retrieve over real HTTP: shapes, filters, limits, failures and what others do not notice of them."""
# ruff: noqa: ASYNC110  what is waited for is state of the service, which has no event to await

import asyncio
import json
import socket
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from podium_contracts.search import SearchRequest, SearchTiming, parse_response
from podium_retrieval.api.request import RequestLimits, RequestReader
from podium_retrieval.errors import Refusal
from podium_retrieval.settings import Settings


def ids(response: httpx2.Response, row: int = 0) -> list[str]:
    return [entry["document"]["id"] for entry in response.json()[row]]


async def test_the_originals_request_is_answered_in_its_shape(start: Any) -> None:
    async with start() as running:
        body = {"queries": ["heron"], "topk": 5, "return_scores": True, "eid": "17"}
        response = await running.client.post("/retrieve", json=body)
    assert response.status_code == 200
    (row,) = response.json()
    assert row[0]["document"]["id"] == "doc-1"
    assert set(row[0]) == {"document", "score"}
    scores = [entry["score"] for entry in row]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0.1 for score in scores)


async def test_search_r1s_request_is_answered_in_its_shape(start: Any) -> None:
    async with start(shape="search-r1") as running:
        both = await running.client.post(
            "/retrieve", json={"queries": ["heron", "osprey"], "topk": 3, "return_scores": True}
        )
        plain = await running.client.post("/retrieve", json={"queries": ["wren"], "topk": 2, "return_scores": False})
    first, second = both.json()["result"]
    assert (first[0]["document"]["id"], second[0]["document"]["id"]) == ("doc-1", "doc-2")
    assert set(first[0]["document"]) >= {"id", "contents"}
    (documents,) = plain.json()["result"]
    assert documents[0]["id"] == "doc-4"
    assert "score" not in documents[0]


async def test_search_r1s_empty_searches_find_nothing(start: Any) -> None:
    limits = RequestLimits(4096, query_chars=5000, topk=50, empty=True)
    async with start(shape="search-r1", limits=limits) as running:

        async def ask(*queries: str) -> Any:
            answer = await running.client.post("/retrieve", json={"queries": list(queries), "topk": 1})
            assert answer.status_code == 200, answer.text
            return answer.json()

        assert await ask() == {"result": []}
        assert await ask("") == {"result": [[]]}
        found = (await ask("", "heron", " \n", "osprey"))["result"]
    assert [[one["id"] for one in row] for row in found] == [[], ["doc-1"], [], ["doc-2"]]


async def test_search_r1s_whole_batch_is_one_request(start: Any) -> None:
    limits = RequestLimits(4096, query_chars=5000, topk=50, empty=True)
    async with start(shape="search-r1", limits=limits, queue_limit=4096, max_body_bytes=8 << 20) as running:
        queries = ["heron", "osprey"] * 2048
        answer = await running.client.post("/retrieve", json={"queries": queries, "topk": 1}, timeout=60)
        over = await running.client.post("/retrieve", json={"queries": ["heron"] * 4097})
    rows = answer.json()["result"]
    assert [row[0]["id"] for row in rows] == ["doc-1", "doc-2"] * 2048
    assert over.status_code == 422
    assert "the limit is 4096" in over.text


def test_the_shape_decides_how_many_queries_a_request_may_hold() -> None:
    low = {"retrieval_queue_limit": 10, "retrieval_max_body_bytes": 1024}
    r1 = Settings(retrieval_response="search-r1", **low)
    assert (r1.most_queries, r1.most_waiting, r1.most_body_bytes) == (4096, 4096, 8 << 20)
    plain = Settings(retrieval_response="list", **low)
    assert (plain.most_queries, plain.most_waiting, plain.most_body_bytes) == (64, 10, 1024)


async def test_the_evals_client_reads_answer_and_timing(start: Any) -> None:
    async with start() as running:
        request = SearchRequest(queries=("kestrel",), topk=2)
        response = await running.client.post("/retrieve", json=request.to_json())
    timing = SearchTiming.from_headers(response.headers)
    answer = parse_response(response.json(), timing)
    assert answer.results[0][0].document.id == "doc-9"
    assert answer.timing.batch_size == 1
    assert None not in (timing.queue_ms, timing.encode_ms, timing.search_ms)
    assert timing.web_ms is None


async def test_candidates_pass_by_allowed_id_score_and_length(start: Any) -> None:
    documents = [
        {"id": "short", "contents": "stork"},
        {"id": "exact", "contents": "stork " * 17},  # 102 characters
        {"id": "barred", "contents": "stork " * 30},
        {"id": 7, "content": "stork " * 40},
        {"id": "other", "contents": "unrelated words " * 20},
    ]
    allowed = {"3": frozenset({"short", "exact", "7"})}
    async with start(documents=documents, allowed=allowed) as running:
        free = await running.ask("stork", topk=10)
        cut = await running.ask("stork", topk=10, eid=3)
        unknown = await running.ask("stork", eid=4)
    assert set(ids(free)) == {"exact", "barred", 7}
    assert set(ids(cut)) == {"exact", 7}
    assert unknown.status_code == 422
    assert "EXAMPLE_IDS_FILE" in unknown.json()["error"]["message"]


async def test_batched_answers_equal_those_asked_one_at_a_time(start: Any) -> None:
    texts = [f"{a} {b}" for a in ("falcon", "heron", "knot", "swift") for b in ("more", "words", "wren", "avocet")]
    async with start() as running:
        alone = [(await running.ask(text, topk=10)).json() for text in texts]
        running.embedder.gate.clear()
        running.embedder.entered.clear()
        held = asyncio.create_task(running.ask("plover"))
        await asyncio.to_thread(running.embedder.entered.wait, 10)
        asked = [asyncio.create_task(running.ask(text, topk=10)) for text in texts]
        while running.service.worker.depth < len(texts):
            await asyncio.sleep(0.005)
        running.embedder.gate.set()
        together = [(await one) for one in asked]
        await held
    assert {one.headers["x-podium-batch-size"] for one in together} == {str(len(texts))}
    for one, other in zip(alone, together, strict=True):
        rows, others = one[0], other.json()[0]
        assert [entry["document"] for entry in rows] == [entry["document"] for entry in others]
        assert [entry["score"] for entry in rows] == pytest.approx([entry["score"] for entry in others], abs=1e-5)


@pytest.mark.parametrize("mode", ["batch", "lock"])
async def test_both_modes_give_the_same_answers(start: Any, mode: str) -> None:
    async with start(mode=mode) as running:
        answers = await asyncio.gather(*(running.ask(text) for text in ("wren", "robin", "magpie", "knot")))
        assert [ids(one)[0] for one in answers] == ["doc-4", "doc-6", "doc-7", "doc-14"]
        assert (await running.client.get("/health")).status_code == 200


@pytest.mark.parametrize("mode", ["batch", "lock"])
async def test_a_failed_batch_is_500_and_the_next_works(start: Any, mode: str) -> None:
    async with start(mode=mode) as running:
        running.embedder.fails_on = "poison"
        failed = await running.ask("poison")
        fine = await running.ask("heron")
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "batch_failed")
    assert fine.status_code == 200


async def test_a_broken_corpus_line_fails_its_own_query(start: Any) -> None:
    documents = [{"id": "a", "contents": "crane " * 30}, {"id": "b", "contents": "gull " * 30}]
    async with start(documents=documents) as running:
        path = running.service._documents._corpus.path
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b'{"id": "b"', b'["id": "b"'))  # same length: offsets still hold
        broken = await running.ask("gull")
        fine = await running.ask("crane", topk=1)
    assert (broken.status_code, broken.json()["error"]["type"]) == (500, "document_failed")
    assert "line 2" in broken.json()["error"]["message"]
    assert fine.status_code == 200


@pytest.mark.parametrize("mode", ["batch", "lock"])
async def test_a_full_queue_answers_429_at_once(start: Any, mode: str) -> None:
    async with start(mode=mode, queue_limit=3) as running:
        running.embedder.gate.clear()
        running.embedder.entered.clear()
        held = asyncio.create_task(running.ask("heron"))
        await asyncio.to_thread(running.embedder.entered.wait, 10)
        waiting = [asyncio.create_task(running.ask("wren")) for _ in range(3)]
        while running.service.worker.depth < 3:
            await asyncio.sleep(0.005)
        refused = await running.ask("robin")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "queue_full"
        running.embedder.gate.set()
        assert [(await one).status_code for one in [held, *waiting]] == [200] * 4


async def test_a_deadline_is_a_504(start: Any) -> None:
    async with start(deadline_s=0.2) as running:
        running.embedder.gate.clear()
        late = await running.ask("heron")
        running.embedder.gate.set()
    assert (late.status_code, late.json()["error"]["type"]) == (504, "deadline")


async def test_a_client_who_hangs_up_is_not_encoded(start: Any) -> None:
    async with start() as running:
        running.embedder.gate.clear()
        running.embedder.entered.clear()
        held = asyncio.create_task(running.ask("heron"))
        await asyncio.to_thread(running.embedder.entered.wait, 10)
        host, port = running.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"queries": ["goner"], "topk": 1}).encode()
        writer.write(b"POST /retrieve HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while running.service.worker.depth < 1:
            await asyncio.sleep(0.005)
        writer.transport.abort()
        while running.metrics.requests.labels("left")._value.get() < 1:
            await asyncio.sleep(0.005)
        running.embedder.gate.set()
        assert (await held).status_code == 200
        assert (await running.ask("wren")).status_code == 200
    assert not any("goner" in batch for batch in running.embedder.batches)


async def test_shutdown_finishes_what_runs_and_what_waits(start: Any) -> None:
    async with start() as running:
        running.embedder.gate.clear()
        running.embedder.entered.clear()
        held = asyncio.create_task(running.ask("heron"))
        await asyncio.to_thread(running.embedder.entered.wait, 10)
        waiting = [asyncio.create_task(running.ask("wren")) for _ in range(3)]
        while running.service.worker.depth < 3:
            await asyncio.sleep(0.005)
        running.server.should_exit = True
        asyncio.get_running_loop().call_later(0.3, running.embedder.gate.set)
        assert [(await one).status_code for one in [held, *waiting]] == [200] * 4
        await asyncio.wait_for(running.serving, 20)
        with pytest.raises(httpx2.ConnectError):
            await running.ask("late")


async def test_health_sees_a_stuck_owner(start: Any) -> None:
    async with start(watchdog_s=0.05) as running:
        assert (await running.client.get("/health")).json()["status"] == "ok"
        running.embedder.gate.clear()
        stuck = asyncio.create_task(running.ask("heron"))
        while (answer := await running.client.get("/health")).status_code == 200:
            await asyncio.sleep(0.01)
        assert answer.status_code == 503
        assert "running for" in answer.json()["reason"]
        running.embedder.gate.set()
        assert (await stuck).status_code == 200
        while (await running.client.get("/health")).status_code == 503:
            await asyncio.sleep(0.01)


async def test_repeated_queries_come_from_the_cache(start: Any) -> None:
    async with start(cache_bytes=1 << 20) as running:
        first = await running.ask("heron")
        again = await running.ask("heron")
        other = await running.ask("heron", topk=2)
        metrics = (await running.client.get("/metrics")).text
    assert first.content == again.content
    assert "x-podium-batch-size" not in again.headers
    assert other.headers["x-podium-batch-size"] == "1"
    assert len(running.embedder.batches) == 2
    assert "podium_retrieval_cache_hits_total 1.0" in metrics


async def test_metrics_count_requests_queue_and_batches(start: Any) -> None:
    async with start() as running:
        await running.ask("heron")
        await running.ask("")
        text = (await running.client.get("/metrics")).text
    assert 'podium_retrieval_requests_total{outcome="ok"} 1.0' in text
    assert 'podium_retrieval_requests_total{outcome="bad_request"} 1.0' in text
    assert "podium_retrieval_batch_size 1.0" in text
    assert "podium_retrieval_queue 0.0" in text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "JSON object"),
        (b"{}", "'queries' must be a list"),
        (b'{"queries": "one"}', "not one text"),
        (b'{"queries": []}', "is empty"),
        (b'{"queries": ["a","b","c","d","e"]}', "holds 5 queries, the limit is 4"),
        (b'{"queries": ["a", 5]}', "queries[1] is no text"),
        (b'{"queries": ["  "]}', "queries[0] is empty"),
        (b'{"queries": ["' + b"x" * 5001 + b'"]}', "5001 characters, the limit is 5000"),
        (b'{"queries": ["a"], "topk": 0}', "from 1 to 50"),
        (b'{"queries": ["a"], "topk": 51}', "from 1 to 50"),
        (b'{"queries": ["a"], "topk": "3"}', "'topk' must be a whole number"),
        (b'{"queries": ["a"], "topk": true}', "'topk' must be a whole number"),
        (b'{"queries": ["a"], "return_scores": 1}', "'return_scores' must be"),
        (b'{"queries": ["a"], "eid": [1]}', "'eid' must be"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(start: Any, body: bytes, said: str) -> None:
    async with start() as running:
        response = await running.client.post("/retrieve", content=body)
    assert response.status_code == 422
    assert said in response.json()["error"]["message"]
    assert running.embedder.batches == []


async def test_a_huge_body_is_refused_whole_or_in_pieces(start: Any) -> None:
    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 8192

    async with start() as running:
        whole = await running.client.post("/retrieve", content=b"x" * 70_000)
        streamed = await running.client.post("/retrieve", content=pieces())
        assert (await running.ask("wren")).status_code == 200
    assert whole.status_code == streamed.status_code == 413
    assert whole.json()["error"]["type"] == "body_too_large"


async def test_half_a_request_blocks_nobody(start: Any) -> None:
    async with start() as running:
        host, port = running.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /retrieve HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
            assert (await running.ask("wren")).status_code == 200


async def test_half_a_request_meets_the_deadline(start: Any) -> None:
    async with start(deadline_s=0.2) as running:
        host, port = running.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /retrieve HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"}}")
        writer.close()
    assert head.startswith(b"HTTP/1.1 504 ")
    assert json.loads(body)["error"]["type"] == "deadline"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(max_size=60),
    anything.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"queries": anything | st.lists(st.text(max_size=30), max_size=6)},
        optional={"topk": anything, "return_scores": anything, "eid": anything},
    ).map(lambda value: json.dumps(value).encode()),
)


@given(bodies)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_is_read_or_refused_by_name(body: bytes) -> None:
    reader = RequestReader(RequestLimits(queries=4, query_chars=100, topk=10))
    try:
        request = reader.read(body)
    except Refusal as refusal:
        said = (refusal.status, bool(refusal.message))
    else:
        said = None
        assert 1 <= len(request.queries) <= 4
        assert all(query.strip() for query in request.queries)
        assert 1 <= request.topk <= 10
    assert said in (None, (422, True))
