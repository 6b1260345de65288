"""A search from the shell, and the client of docs/retrieval.md, against a service on the loopback."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response
from podium_retrieval.__main__ import main
from podium_retrieval.web.search import WebLimits, WebSearch

PAGE = Path(__file__).resolve().parents[4] / "docs/retrieval.md"


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["query", *arguments])


async def test_documents_are_shown_with_score_source_and_times(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with start() as running:
        assert await run("heron", "wren", "--url", running.address, "--topk", "2") == 0
    shown = capsys.readouterr().out
    first, second = re.findall(r'"(\w+)": \d document\(s\)\n +(\S+)  corpus  (\S+)  (title \d+)\n', shown)
    assert (first[0], first[2:]) == ("heron", ("doc-1", "title 1"))
    assert (second[0], second[2:]) == ("wren", ("doc-4", "title 4"))
    assert float(first[1]) > 0.1
    assert re.search(r"\n[\d.]+ ms \(queue [\d.]+, encode [\d.]+, search [\d.]+, batch of \d\)\n$", shown)


async def test_json_has_what_is_shown_and_null_for_missing(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with start(cache_bytes=1 << 20) as running:
        for _ in range(2):
            assert await run("heron", "--url", running.address + "/", "--json", "--topk", "1", "--eid", "3") == 0
    fresh, cached = map(json.loads, capsys.readouterr().out.splitlines())
    (row,) = fresh["results"]
    assert (row[0]["id"], row[0]["source"], row[0]["url"]) == ("doc-1", "corpus", None)
    assert fresh["queries"] == ["heron"]
    assert fresh["took_ms"] >= fresh["timing"]["search_ms"] > 0
    assert cached["results"] == fresh["results"]
    assert cached["timing"]["search_ms"] is None


async def test_pages_of_the_web_show_address_and_failure(
    start: Any, listen: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FastAPI()
    page = {"url": "https://example.org/heron", "title": "Herons", "content": "They wade. " * 20}

    @app.post("/search")
    async def search() -> Any:
        return {"results": [page]}

    limits = WebLimits(results=5, timeout_s=5.0, concurrency=1, max_bytes=100_000, page_chars=500)
    async with listen(app) as (_, _, address):
        web = lambda: WebSearch(address, "key", limits, tmp_path / "web", 1 << 20)  # noqa: E731
        async with start(documents=[{"id": 1, "contents": "stork " * 30}], web=web) as running:
            assert await run("heron", "--url", running.address) == 0
    shown = capsys.readouterr().out
    assert "-1.0000  web  " in shown
    assert "Herons  https://example.org/heron" in shown
    assert re.search(r"web [\d.]+.*the web failed: refused\)", shown)  # the extraction: this web has none


async def test_a_refusal_is_told_in_the_services_words(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with start() as running:
        assert await run("heron", "--url", running.address, "--topk", "51") == 1
    assert "answered 422: bad_request: 'topk' is 51, it must be from 1 to 50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (429, '{"error": {"type": "queue_full", "message": "full"}}', "answered 429: queue_full: full (again in 7 s)"),
        (404, "no such page", "answered 404: no such page"),
        (200, "<html>", "gave no search results"),
        (200, "{}", "gave no search results"),
        (200, "[]", "gave 0 lists of results to 1 queries"),
    ],
)
async def test_another_servers_answer_is_an_error(
    listen: Any, capsys: pytest.CaptureFixture[str], status: int, body: str, message: str
) -> None:
    app = FastAPI()

    @app.post("/retrieve")
    async def retrieve() -> Any:
        return Response(body, status, {"Retry-After": "7"})

    async with listen(app) as (_, _, address):
        assert await run("heron", "--url", address) == 1
    assert message in capsys.readouterr().err


async def test_a_service_that_does_not_answer_meets_the_limit(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with start() as running:
        running.embedder.gate.clear()
        assert await run("heron", "--url", running.address, "--timeout", "0.2") == 1
        running.embedder.gate.set()
    assert "TimeoutError" in capsys.readouterr().err


def test_nobody_there_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RETRIEVAL_URL", raising=False)
    monkeypatch.setenv("RETRIEVAL_PORT", "9")
    assert main(["query", "heron"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("podium-retrieval query: http://127.0.0.1:9/retrieve: ConnectionRefusedError")
    assert "RETRIEVAL_URL" in told
    assert main(["query", "heron", "--topk", "0"]) == 2
    assert "RETRIEVAL_TOPK=0" in capsys.readouterr().err


async def test_the_pages_client_runs_as_it_stands(start: Any) -> None:
    (client,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    env = {"PATH": os.environ["PATH"]}
    async with start(documents=[{"id": "b", "title": "Herons", "contents": "how do herons fish? " * 10}]) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", client),
            env=env | {"RETRIEVAL_URL": running.address},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert re.fullmatch(r"[01]\.\d{3} corpus Herons\n", out.decode())
