"""The web fallback against a server that speaks Tavily's protocol on the loopback."""
# ruff: noqa: ASYNC110  what is waited for is state of the service, which has no event to await

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from podium_retrieval.web.search import Bill, WebLimits, WebSearch
from podium_retrieval.web.tavily import WebFailed

LIMITS = WebLimits(results=5, timeout_s=10.0, concurrency=4, max_bytes=100_000, page_chars=500)


@dataclass
class Tavily:
    """What the loopback server was asked, and how a test wants it to behave."""

    searches: list[str] = field(default_factory=list)
    extracts: list[list[str]] = field(default_factory=list)
    depths: set[str | None] = field(default_factory=set)
    keys: set[str | None] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 200
    raw: bytes | None = None
    extract_status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    now: float = 1000.0

    def app(self) -> FastAPI:
        app = FastAPI()
        self.gate.set()

        @app.post("/search", response_model=None)
        async def search(request: Request) -> Any:
            body = await request.json()
            self.keys.add(request.headers.get("authorization"))
            self.searches.append(body["query"])
            self.reached.set()
            self.depths.add(body.get("search_depth"))
            await self.gate.wait()
            if self.raw is not None or self.status != 200:
                return Response(self.raw or b"", self.status, self.headers)
            pages = [
                {"url": f"https://pages.test/{n}", "title": f"page {n}", "content": f"snippet {n}", "score": 0.5}
                for n in range(body["max_results"] + 3)
            ]
            return {"query": body["query"], "results": pages}

        @app.post("/extract", response_model=None)
        async def extract(request: Request) -> Any:
            body = await request.json()
            self.extracts.append(body["urls"])
            self.depths.add(body.get("extract_depth"))
            if self.extract_status != 200:
                return Response(b"", self.extract_status, self.headers)
            return {
                "results": [{"url": url, "raw_content": f"full text of {url} " * 50} for url in body["urls"][:2]],
                "failed_results": [{"url": url, "error": "timeout"} for url in body["urls"][2:]],
            }

        return app


@pytest.fixture
def tavily(listen: Any, tmp_path: Path) -> Any:
    """A server and a WebSearch upon it."""

    @asynccontextmanager
    async def run(limits: WebLimits = LIMITS) -> Any:
        fake = Tavily()
        async with listen(fake.app()) as (_, _, address):
            web = WebSearch(address, "a-key", limits, tmp_path / "web", 10 << 20, clock=lambda: fake.now)
            try:
                yield fake, web
            finally:
                fake.gate.set()
                await web.close()

    return run


async def test_pages_have_full_texts_where_they_could_be_had(tavily: Any) -> None:
    async with tavily() as (fake, web):
        pages = await web.search("query")
    assert fake.keys == {"Bearer a-key"}
    assert [page.url for page in pages] == [f"https://pages.test/{n}" for n in range(5)]
    assert pages[0].contents.startswith("full text of https://pages.test/0")
    assert len(pages[0].contents) == 500
    assert pages[4].contents == "snippet 4"
    assert pages[4].title == "page 4"


async def test_an_equal_query_is_looked_up_once(tavily: Any, tmp_path: Path) -> None:
    async with tavily() as (fake, web):
        fake.gate.clear()
        asked = [asyncio.create_task(web.search("same")) for _ in range(20)]
        while not fake.searches:
            await asyncio.sleep(0.005)
        asked[0].cancel()  # one who leaves does not end it for the others
        fake.gate.set()
        answers = await asyncio.gather(*asked[1:])
        again = await web.search("same")
        assert len(fake.searches) == 1
        assert all(answer == again for answer in answers)
        other = WebSearch("http://127.0.0.1:9", "k", LIMITS, tmp_path / "web", 10 << 20)
        assert await other.search("same") == again  # a restart asks nobody
        await other.close()


async def test_the_first_caller_pays_and_kept_pages_are_free(tavily: Any) -> None:
    async with tavily() as (fake, web):
        fake.gate.clear()
        bills = [Bill() for _ in range(4)]
        asked = [asyncio.create_task(web.search("same", bill)) for bill in bills]
        while not fake.searches:
            await asyncio.sleep(0.005)
        asked[0].cancel()  # it began the look-up, and leaves before it is charged
        fake.gate.set()
        await asyncio.gather(*asked, return_exceptions=True)
        assert sorted((bill.searches, bill.pages) for bill in bills) == [(0, 0), (0, 0), (0, 0), (1, 2)]
        assert bills[0] == Bill()
        kept = Bill(None, None)
        await web.search("same", kept)
        assert kept == Bill(0, 0)
    assert fake.depths == {"basic"}, "the price table's rows are of this depth"


@pytest.mark.parametrize(
    ("status", "extract_status", "raw", "expected"),
    [
        (200, 500, None, Bill(1, 0)),
        (429, 200, None, Bill(0, 0)),
        (200, 200, b"<html>", Bill(None, 0)),
        (200, 200, b'{"results": []}', Bill(1, 0)),
    ],
)
async def test_what_is_charged_is_known_or_said_to_be_unknown(
    tavily: Any, status: int, extract_status: int, raw: bytes | None, expected: Bill
) -> None:
    bill = Bill()
    async with tavily() as (fake, web):
        fake.status, fake.extract_status, fake.raw = status, extract_status, raw
        with contextlib.suppress(WebFailed):
            await web.search("query", bill)
    assert bill == expected


async def test_an_unanswered_search_may_be_charged(tavily: Any, tmp_path: Path) -> None:
    limits = WebLimits(results=5, timeout_s=0.2, concurrency=4, max_bytes=100_000, page_chars=500)
    sent, unsent = Bill(), Bill()
    async with tavily(limits) as (fake, web):
        fake.gate.clear()
        with pytest.raises(WebFailed):
            await web.search("query", sent)
    nobody = WebSearch("http://127.0.0.1:9", "k", LIMITS, tmp_path / "other", 10 << 20)
    with pytest.raises(WebFailed):
        await nobody.search("query", unsent)
    await nobody.close()
    assert (sent, unsent) == (Bill(None, 0), Bill(0, 0))


async def test_extraction_that_fails_leaves_the_snippets(tavily: Any) -> None:
    async with tavily() as (fake, web):
        fake.extract_status = 500
        pages = await web.search("query")
    assert [page.contents for page in pages] == [f"snippet {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("status", "raw", "said"),
    [
        (401, b"", "answered 401"),
        (500, b"oops", "answered 500: oops"),
        (200, b"<html>", "no JSON"),
        (200, b"[]", "no JSON object"),
        (200, b'{"results": 5}', "no list 'results'"),
        (200, b'"' + b"x" * 200_000 + b'"', "more than 100000 bytes"),
    ],
)
async def test_a_broken_answer_is_a_named_failure(tavily: Any, status: int, raw: bytes, said: str) -> None:
    async with tavily() as (fake, web):
        fake.status, fake.raw = status, raw
        with pytest.raises(WebFailed, match=said):
            await web.search("query")
        fake.status, fake.raw = 200, None
        assert await web.search("query")  # failures are not kept


async def test_entries_that_are_no_pages_are_left_out(tavily: Any) -> None:
    async with tavily() as (fake, web):
        fake.raw = b'{"results": [5, {}, {"url": ""}, {"url": "https://a.test", "title": 3, "content": "text"}]}'
        pages = await web.search("query")
    assert [(page.url, page.title) for page in pages] == [("https://a.test", "")]


async def test_a_slow_answer_ends_with_its_time(tavily: Any) -> None:
    limits = WebLimits(results=5, timeout_s=0.2, concurrency=4, max_bytes=100_000, page_chars=500)
    async with tavily(limits) as (fake, web):
        fake.gate.clear()
        with pytest.raises(WebFailed, match=r"within 0\.2 s"):
            await web.search("query")


async def test_nobody_listening_is_a_named_failure(tmp_path: Path) -> None:
    web = WebSearch("http://127.0.0.1:9", "k", LIMITS, tmp_path / "web", 10 << 20)
    with pytest.raises(WebFailed, match="/search"):
        await web.search("query")
    await web.close()


# --- in the service --------------------------------------------------------------------------------------------------


def few() -> list[dict[str, Any]]:
    return [{"id": "a", "contents": "crane " * 30}, {"id": "b", "contents": "gull words of another kind " * 8}]


async def test_too_few_documents_are_topped_up_with_marked_pages(start: Any, tavily: Any) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        answer = await running.ask("crane", topk=4)
        enough = await running.ask("crane", topk=1)
        plain = await running.ask("crane", topk=4, return_scores=False)
    (row,) = answer.json()
    assert [entry["document"].get("source", "corpus") for entry in row] == ["corpus", "web", "web", "web"]
    assert [entry["score"] for entry in row[1:]] == [-1.0, -2.0, -3.0]
    assert row[1]["document"]["url"] == row[1]["document"]["id"] == "https://pages.test/0"
    assert float(answer.headers["x-podium-web-ms"]) > 0
    assert (answer.headers["x-podium-web-searches"], answer.headers["x-podium-web-pages"]) == ("1", "2")
    assert len(enough.json()[0]) == 1
    assert not [name for name in enough.headers if name.startswith("x-podium-web")]
    assert (plain.headers["x-podium-web-searches"], plain.headers["x-podium-web-pages"]) == ("0", "0")
    assert plain.json()[0][1]["source"] == "web"
    assert fake.searches == ["crane"]  # the third was on disk


async def test_without_a_key_nobody_is_called(start: Any, tavily: Any) -> None:
    async with tavily() as (fake, _), start(documents=few(), min_score=0.4) as running:
        answer = await running.ask("crane", topk=4)
    assert [entry["document"]["id"] for entry in answer.json()[0]] == ["a"]
    assert fake.searches == []


async def test_a_broken_web_leaves_what_the_corpus_has(start: Any, tavily: Any) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        fake.status = 500
        answer = await running.ask("crane", topk=4)
        metrics = (await running.client.get("/metrics")).text
    assert answer.status_code == 200
    assert [entry["document"]["id"] for entry in answer.json()[0]] == ["a"]
    assert 'podium_retrieval_web_searches_total{outcome="failed"} 1.0' in metrics


REFUSALS = [
    (401, "auth"),
    (403, "auth"),
    (429, "rate_limit"),
    (432, "plan_limit"),
    (433, "plan_limit"),
    (500, "server_error"),
    (504, "timeout"),
    (400, "refused"),
]


@pytest.mark.parametrize(("status", "why"), REFUSALS)
async def test_an_answer_says_that_the_web_failed_and_why(start: Any, tavily: Any, status: int, why: str) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        fake.status = status
        answer = await running.ask("crane", topk=4)
        enough = await running.ask("crane", topk=1)
        metrics = (await running.client.get("/metrics")).text
    assert (answer.status_code, len(answer.json()[0])) == (200, 1)
    assert answer.headers["x-podium-web-error"] == why
    assert (answer.headers["x-podium-web-searches"], answer.headers["x-podium-web-pages"]) == ("0", "0")
    assert "x-podium-web-error" not in enough.headers, "the web was not wanted"
    assert f'podium_retrieval_web_failures_total{{why="{why}"}} 1.0' in metrics


@pytest.mark.parametrize(("raw", "why"), [(b"<html>", "bad_answer"), (b'{"results": 5}', "bad_answer")])
async def test_so_does_one_to_what_is_no_answer(start: Any, tavily: Any, raw: bytes, why: str) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        fake.raw = raw
        answer = await running.ask("crane", "gulls and cranes", topk=4)
    assert answer.headers["x-podium-web-error"] == why


async def test_nobody_listening_is_a_failure_of_the_connection(start: Any, tmp_path: Path) -> None:
    nobody = WebSearch("http://127.0.0.1:9", "k", LIMITS, tmp_path / "nobody", 10 << 20)
    async with start(documents=few(), min_score=0.4, web=lambda: nobody) as running:
        answer = await running.ask("crane", topk=4)
    assert answer.headers["x-podium-web-error"] == "connection"


@pytest.mark.parametrize(("status", "why"), [(429, "rate_limit"), (432, "plan_limit"), (500, "server_error")])
async def test_an_extraction_that_fails_is_said_beside_its_snippets(
    start: Any, tavily: Any, status: int, why: str
) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        fake.extract_status = status
        answer = await running.ask("crane", topk=4)
        fine = await running.ask("heron", topk=4)
    assert [entry["document"]["contents"] for entry in answer.json()[0][1:]] == ["snippet 0", "snippet 1", "snippet 2"]
    assert answer.headers["x-podium-web-error"] == why
    assert "x-podium-web-error" in fine.headers
    assert len(fake.searches) == (1 if status == 432 else 2), "a plan's limit holds for searches as well"


async def test_a_shared_look_up_fails_for_all(start: Any, tavily: Any) -> None:
    async with tavily() as (fake, web), start(documents=few(), min_score=0.4, web=lambda: web) as running:
        fake.gate.clear()
        fake.status = 432
        asked = [asyncio.create_task(running.ask("crane", topk=4)) for _ in range(5)]
        await fake.reached.wait()
        fake.gate.set()
        answers = await asyncio.gather(*asked)
    assert {one.headers["x-podium-web-error"] for one in answers} == {"plan_limit"}
    assert len(fake.searches) == 1


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "30"}, 30),
        (429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=0.9), usegmt=True)}, 3240),
        (429, {"Retry-After": "999999999"}, 3600),
        (503, {"Retry-After": "30"}, 30),
        (432, {}, 600),
        (433, {}, 600),
        (432, {"Retry-After": "60"}, 60),
        (433, {"Retry-After": "0"}, 600),
        (429, {}, 0),
        (429, {"Retry-After": "0"}, 0),
        (429, {"Retry-After": "-5"}, 0),
        (429, {"Retry-After": "nan"}, 0),
        (429, {"Retry-After": "soon"}, 0),
        (401, {"Retry-After": "30"}, 0),
    ],
)
async def test_the_web_is_not_asked_during_its_pause(
    tavily: Any, status: int, headers: dict[str, str], pause: float
) -> None:
    async with tavily() as (fake, web):
        assert await web.search("kept")
        fake.status, fake.headers = status, headers
        with pytest.raises(WebFailed, match=f"answered {status}") as first:
            await web.search("first")
        fake.status = 200
        if pause:
            fake.now += (
                pause - 0.5 if headers.get("Retry-After", "0").isdigit() else pause - 900
            )  # a date's is real time
            bill = Bill(None, None)
            with pytest.raises(WebFailed, match="was not asked") as second:
                await web.search("second", bill)
            assert (second.value.why, bill, bill.error) == (first.value.why, Bill(0, 0), first.value.why)
            assert fake.searches == ["kept", "first"]
            assert await web.search("kept"), "what is on disk needs nobody"
            fake.now += 901
        assert await web.search("third")


async def test_a_page_of_thirty_seconds_delays_no_other_query(start: Any, tavily: Any) -> None:
    limits = WebLimits(results=5, timeout_s=30.0, concurrency=4, max_bytes=100_000, page_chars=500)
    documents = few() + [{"id": f"g{n}", "contents": f"heron heron heron {n} " * 8} for n in range(6)]

    async def slowest(running: Any) -> float:
        times: list[float] = []
        for _ in range(100):
            began = time.perf_counter()
            assert (await running.ask("heron")).status_code == 200
            times.append(time.perf_counter() - began)
        return sorted(times)[98]

    async with tavily(limits) as (fake, web), start(documents=documents, min_score=0.4, web=lambda: web) as running:
        before = await slowest(running)
        fake.gate.clear()
        stuck = [asyncio.create_task(running.ask(f"crane {n}", topk=4)) for n in range(12)]  # more than its slots
        while len(fake.searches) < 4:
            await asyncio.sleep(0.005)
        during = await slowest(running)
        assert not any(one.done() for one in stuck)
        fake.gate.set()
        assert {(await one).status_code for one in stuck} == {200}
    # A page holds for up to 30 s: had one query waited for it, `during` would be seconds. The rest is the machine.
    assert during < max(1.0, 10 * before)


async def test_a_deadline_during_the_web_gives_what_the_corpus_has(start: Any, tavily: Any) -> None:
    async with (
        tavily() as (fake, web),
        start(documents=few(), min_score=0.4, web=lambda: web, deadline_s=0.5) as running,
    ):
        fake.gate.clear()
        answer = await running.ask("crane", topk=4)
    assert answer.status_code == 200
    assert len(answer.json()[0]) == 1
    assert "x-podium-web-ms" in answer.headers
    assert "x-podium-web-searches" not in answer.headers, "whether it will be charged is not known"
    assert answer.headers["x-podium-web-error"] == "timeout"
