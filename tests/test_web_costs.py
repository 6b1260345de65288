"""What a run pays Tavily, from a real retrieval process to the task's cost, the budget, the estimate and the analysis.

Tavily, the embeddings server, the provider and the sandbox are HTTP servers on the loopback.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from harness.chain import TURNS, call, numbered, questions, server
from harness.process import Eval, assert_whole
from loopback.openai_server import Reply, Rule
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.costs import costs, task_costs
from podium_analysis.stats.usage import error_statistics

PAGES = 4
SEARCH, PAGE, SECOND, TOKEN = 0.008, 0.0016, 0.5, 1e-6
PRICES = f"""
[[tokens]]
provider = "vllm"
model = "*"
input = {TOKEN * 1e6}
output = {TOKEN * 1e6}
date = 2026-11-22
source = "this test"

[[unit]]
unit = "code_second"
usd = {SECOND}
date = 2026-11-22
source = "this test"
"""


class Tavily:
    """Speaks Tavily's protocol, and the embeddings protocol for a corpus that no query is near to."""

    def __init__(self) -> None:
        self.searches: list[str] = []
        self.pages = 0
        self.status = 200

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/search", self._search)
        app.router.add_post("/extract", self._extract)
        app.router.add_post("/v1/embeddings", self._embeddings)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _search(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.searches.append(body["query"])
        if self.status != 200:
            return web.json_response({"detail": {"error": "refused"}}, status=self.status)
        rows = [{"url": f"https://p.test/{n}", "title": f"t{n}", "content": f"snippet {n}"} for n in range(PAGES + 2)]
        return web.json_response({"results": rows})

    async def _extract(self, request: web.Request) -> web.Response:
        urls = (await request.json())["urls"]
        self.pages += PAGES
        return web.json_response(
            {
                "results": [{"url": url, "raw_content": f"text of {url}"} for url in urls[:PAGES]],
                "failed_results": [{"url": url, "error": "403"} for url in urls[PAGES:]],
            }
        )

    async def _embeddings(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        # Signs of a hash: of different texts nearly at right angles.
        vectors = [[(byte & 1) * 2.0 - 1 for byte in hashlib.sha512(text.encode()).digest()] for text in texts]
        return web.json_response({"data": [{"index": n, "embedding": v} for n, v in enumerate(vectors)]})


@asynccontextmanager
async def retrieval(folder: Path, tavily: str) -> AsyncIterator[str]:
    """A retrieval process over a corpus of one document; its address."""
    corpus = folder / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "d", "contents": "Nothing to the point. " * 10}) + "\n")
    environment = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR", "VIRTUAL_ENV")},
        "HOME": str(folder),
        "CORPUS": str(corpus),
        "INDEX_DIR": str(folder / "index"),
        "EMBEDDING_MODEL": "hash",
        "RETRIEVAL_EMBEDDER": f"{tavily}/v1",
        "RETRIEVAL_QUERY_INSTRUCTION": "none",
        "RETRIEVAL_PORT": "0",
        "RETRIEVAL_MIN_SCORE": "0.9",
        "RETRIEVAL_WEB_CACHE_DIR": str(folder / "web"),
        "TAVILY_API_KEY": "a-key",
        "TAVILY_BASE_URL": tavily,
    }
    command = (sys.executable, "-m", "podium_retrieval")
    with (folder / "retrieval.log").open("wb") as log:
        built = await asyncio.create_subprocess_exec(*command, "build-index", env=environment, stderr=log, stdout=log)
        assert await built.wait() == 0, (folder / "retrieval.log").read_text()
        serving = await asyncio.create_subprocess_exec(
            *command, "serve", env=environment, stderr=log, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert serving.stdout is not None
            async with asyncio.timeout(120):
                line = await serving.stdout.readline()
            assert line, (folder / "retrieval.log").read_text()
            yield f"http://127.0.0.1:{json.loads(line)['port']}"
        finally:
            serving.terminate()
            await serving.wait()


EXPERTS = [
    # Two tasks ask the web the same, so the second finds the first one's pages.
    Rule([Reply(text="<query>the melting point of gallium</query>")], contains=("Write one query", "q000")),
    Rule([Reply(text="<query>the boiling point of gallium</query>")], contains=("Write one query",)),
    Rule([Reply(text="```python\nprint(6 * 7)\n```")], contains=("Write one Python program",)),
    Rule([Reply(text="So it is.\n<answer>42</answer>")], contains=("Answer the problem",)),
]


def tokens_usd(run: Eval) -> float:
    return sum(event["cost_usd"] for event in run.events("llm_call"))


@pytest.mark.timeout(240)
async def test_searches_pages_and_seconds_are_charged_once(tmp_path: Path) -> None:
    tavily = Tavily()
    ids = ["q0001", "q0002", "other"]
    (tmp_path / "prices.toml").write_text(PRICES)
    async with (
        tavily.listening() as address,
        retrieval(tmp_path, address) as found,
        server(script=[*TURNS, *EXPERTS]) as stub,
    ):
        stub.execution = {**stub.execution, "duration_ms": 400.0}
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            retrieval_url=found,
            prices_file=tmp_path / "prices.toml",
            concurrency=1,
        )
        assert await run.run() == 0, run.said
        assert_whole(run, ids)
        assert (len(tavily.searches), tavily.pages) == (2, 2 * PAGES)
        assert await run.run("--limit", "3", "--run-id", "next", command="estimate") == 0
    pieces = 2 * (SEARCH + PAGES * PAGE) + 3 * 0.4 * SECOND
    whole = tokens_usd(run) + pieces

    searches = [event for event in run.events("tool_call") if event["tool"] == "search"]
    assert [(e["web_searches"], e["web_pages"]) for e in searches] == [(1, PAGES), (0, 0), (1, PAGES)]
    assert [e.get("cost_usd") for e in searches] == [pytest.approx(SEARCH + PAGES * PAGE), None, pytest.approx(0.0144)]
    programs = [event for event in run.events("tool_call") if event["tool"] == "enhance_reasoning"]
    assert [(e["code_ms"], e["cost_usd"]) for e in programs] == [(400.0, pytest.approx(0.2))] * 3

    records = run.records()
    completed = {event["task_id"]: event["cost_usd"] for event in run.events("task_complete")}
    assert completed == {id_: record.cost_usd for id_, record in records.items()}
    assert sum(record.cost_usd or 0.0 for record in records.values()) == pytest.approx(whole)
    assert {record.n_unpriced for record in records.values()} == {0}
    assert f"web searches: 2, USD {2 * SEARCH:.4f}" in run.said
    assert f"seconds of code: 1, USD {3 * 0.4 * SECOND:.4f}" in run.said
    assert f"cost: about {whole:,.4f} USD" in run.said

    with load_run(run.folder.path) as loaded:
        got, tasks = costs(loaded), task_costs(loaded)
    assert (got.total_usd, got.at_least) == (pytest.approx(whole), False)
    assert got.per_correct_usd == pytest.approx(whole / 3)
    for cut in (got.by_role, got.by_tool, got.by_model, got.by_alias):
        assert sum(line.usd or 0.0 for line in cut) == pytest.approx(whole)
    assert {task.task_id: task.usd for task in tasks} == pytest.approx(completed)
    units = {unit.unit: (unit.quantity, unit.usd) for unit in got.units}
    assert units["search"] == (2.0, pytest.approx(2 * SEARCH))
    assert units["extract"] == (2.0 * PAGES, pytest.approx(2 * PAGES * PAGE))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("status", "why", "asked"), [(401, "auth", 3), (432, "plan_limit", 1)])
async def test_a_failing_web_is_in_events_and_summary(tmp_path: Path, status: int, why: str, asked: int) -> None:
    tavily = Tavily()
    tavily.status = status
    turns = [call("search", "search-1"), call("answer", "answer-1")] * 3
    script = [Rule(turns, contains=("Call one tool now",)), *EXPERTS]
    ids = ["q0001", "q0002", "other"]
    async with tavily.listening() as address, retrieval(tmp_path, address) as found, server(script=script) as stub:
        places = (tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids))
        run = Eval(*places, retrieval_url=found, concurrency=1, monitor=1)
        assert await run.run() == 0, run.said
        assert_whole(run, ids)
    searches = [event for event in run.events("tool_call") if event["tool"] == "search"]
    assert [(e["status"], e["web_error"], e["web_searches"]) for e in searches] == [("ok", why, 0)] * 3
    assert len(tavily.searches) == asked, "a plan's limit pauses further calls"
    assert run.events("run_end")[-1]["n_web_failed"] == 3
    assert f"the web failed for 3 searches: {why} 3" in run.said
    assert f"web_failed={why}:3" in run.folder.monitor.read_text().splitlines()[-1]
    with load_run(run.folder.path) as loaded:
        assert [(one.web_error, one.n) for one in error_statistics(loaded).web] == [(why, 3)]


async def test_a_budget_is_spent_by_what_tools_pay_for(tmp_path: Path) -> None:
    ids = numbered(20)
    (tmp_path / "prices.toml").write_text(PRICES)
    async with server() as stub:
        stub.execution = {**stub.execution, "duration_ms": 1000.0}
        run = Eval(
            *(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids)),
            prices_file=tmp_path / "prices.toml",
            concurrency=2,
            budget=5 * SECOND,
        )
        assert await run.run() == 1, run.said
        assert run.events("run_end")[-1]["reason"] == "budget"
    # A task's second of code costs 0.5, its tokens next to nothing: five are paid, and one is the overshoot.
    assert 4 <= len(run.records()) <= 6
    assert tokens_usd(run) < 0.05


async def test_unpriced_tool_use_is_unknown_not_free(tmp_path: Path) -> None:
    async with server() as stub:
        run = Eval(*(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"])), monitor=1)
        assert await run.run() == 0, run.said
    (record,) = run.records().values()
    assert (record.cost_usd, record.n_unpriced) == (None, 7), "six calls of models and a program"
    assert "cost_usd=unknown(7_calls)" in run.folder.monitor.read_text().splitlines()[-1]
    (program,) = [event for event in run.events("tool_call") if event["tool"] == "enhance_reasoning"]
    assert (program.get("cost_usd"), program["n_unpriced"]) == (None, 1)
    with load_run(run.folder.path) as loaded:
        got, tasks = costs(loaded), task_costs(loaded)
    assert (got.total_usd, got.at_least, tasks[0].n_unpriced) == (None, True, 7)
