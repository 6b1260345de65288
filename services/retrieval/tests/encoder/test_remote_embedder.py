"""An embeddings server as the embedder, as a real HTTP server on the loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from podium_retrieval.batching.engine import Engine
from podium_retrieval.encoder.embedder import EmbedderFailed
from podium_retrieval.encoder.remote import RemoteEmbedder
from podium_retrieval.errors import StartError
from podium_retrieval.index.faiss_index import FaissIndex


@pytest.fixture
def server(listen: Any) -> Any:
    """POST /v1/embeddings: vectors of the text's length, in reverse order, as the index allows."""

    @asynccontextmanager
    async def run(
        *, refuse_cut: bool = False, raw: bytes | None = None, too_long: int = 413, limit: int = 10**9
    ) -> Any:
        app = FastAPI()
        seen: list[dict[str, Any]] = []

        @app.post("/v1/embeddings", response_model=None)
        async def embeddings(request: Request) -> Any:
            body = await request.json()
            seen.append({**body, "key": request.headers.get("authorization")})
            if refuse_cut and "truncate_prompt_tokens" in body:
                return Response(b"unknown field", 400)
            if any(len(text) > limit for text in body["input"]):
                return Response(b"input is too long", too_long)
            if raw is not None:
                return Response(raw)
            rows = [{"index": at, "embedding": [float(len(text)), 1.0, 2.0]} for at, text in enumerate(body["input"])]
            return {"data": rows[::-1], "model": body["model"]}

        async with listen(app) as (_, _, address):
            yield f"{address}/v1", seen

    return run


def make(address: str) -> RemoteEmbedder:
    return RemoteEmbedder(address, "m", instruction="ask: ", timeout_s=5, max_tokens=64, api_key="secret")


async def test_texts_go_with_instruction_and_come_back_in_order(server: Any) -> None:
    async with server() as (address, seen):
        embedder = make(address)
        await asyncio.to_thread(embedder.connect)
        vectors = await asyncio.to_thread(
            embedder.encode, [embedder.prepare("a"), embedder.prepare("abcdef"), embedder.prepare_document("a")]
        )
        embedder.close()
    assert embedder.dimension == 3
    assert seen[-1]["input"] == ["ask: a", "ask: abcdef", "a"]
    assert (seen[-1]["model"], seen[-1]["truncate_prompt_tokens"], seen[-1]["key"]) == ("m", 64, "Bearer secret")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert vectors[1, 0] > vectors[0, 0] > vectors[2, 0]


async def test_a_server_that_does_not_cut_is_asked_without(server: Any) -> None:
    async with server(refuse_cut=True) as (address, seen):
        embedder = make(address)
        await asyncio.to_thread(embedder.connect)
        await asyncio.to_thread(embedder.encode, [embedder.prepare("a")])
        embedder.close()
    assert "truncate_prompt_tokens" not in seen[-1]


@pytest.mark.parametrize("status", [400, 413])
async def test_one_refused_text_fails_no_other(server: Any, status: int) -> None:
    async with server(too_long=status, limit=100) as (address, seen):
        embedder = make(address)
        await asyncio.to_thread(embedder.connect)
        asked = [embedder.prepare("x" * (200 if at == 77 else at % 50 + 1)) for at in range(190)]
        engine = Engine(embedder, FaissIndex.flat(np.eye(3, dtype=np.float32)), 3)
        result = await asyncio.to_thread(engine.run, asked)
        with pytest.raises(EmbedderFailed, match=f"answered {status}: input is too long; the text begins 'ask: xxx"):
            await asyncio.to_thread(embedder.encode, asked)
        embedder.close()
    assert list(result.refused) == [77]
    assert f"answered {status}: input is too long" in result.refused[77]
    lengths = np.array([len(one.payload) for one in asked], np.float32)
    wanted = lengths / np.sqrt(lengths**2 + 5)
    wanted[77] = 0
    first = np.where(result.rows == 0, result.scores, 0).sum(axis=1)
    assert np.allclose(first, wanted, atol=1e-6), "each text has its own vector"
    assert len(seen) < 40


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_a_refused_call_is_not_retried_text_by_text(server: Any, status: int) -> None:
    async with server(too_long=status, limit=100) as (address, seen):
        embedder = make(address)
        await asyncio.to_thread(embedder.connect)
        with pytest.raises(EmbedderFailed, match=f"answered {status}"):
            await asyncio.to_thread(embedder.begin, [embedder.prepare("x" * n) for n in (1, 200)])
        embedder.close()
    assert len(seen) == 2


@pytest.mark.parametrize("mode", ["batch", "lock"])
async def test_the_service_answers_those_beside_a_refused_query(server: Any, start: Any, mode: str) -> None:
    async with server(limit=300) as (address, _):
        remote = make(address)
        await asyncio.to_thread(remote.connect)
        async with start(mode=mode, embedder=remote) as running:
            answers = await asyncio.gather(*(running.ask("x" * n) for n in (3, 400, 5, 7)))
    assert [one.status_code for one in answers] == [200, 422, 200, 200]
    assert answers[1].json()["error"]["type"] == "query_refused"
    assert all(len(answer.json()[0]) == 3 for answer in (answers[0], *answers[2:]))
    assert "answered 413: input is too long" in answers[1].json()["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b'{"data": [{"index": 0, "embedding": ["x"]}]}', b'{"data": [{"index": 0, "embedding": [0, 0]}]}'],
)
async def test_what_is_no_embedding_stops_the_start(server: Any, raw: bytes) -> None:
    async with server(raw=raw) as (address, _):
        embedder = make(address)
        with pytest.raises(StartError, match="RETRIEVAL_EMBEDDER"):
            await asyncio.to_thread(embedder.connect)
        embedder.close()


async def test_the_key_goes_with_every_call_despite_a_netrc(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with server() as (address, seen):
        embedder = make(address)
        await asyncio.to_thread(embedder.connect)
        embedder.close()
    assert [one["key"] for one in seen] == ["Bearer secret"]


async def test_an_answer_in_pieces_meets_the_limit_as_a_whole(listen: Any) -> None:
    app = FastAPI()

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    @app.post("/v1/embeddings", response_model=None)
    async def embeddings() -> Any:
        return StreamingResponse(dripping())

    async with listen(app) as (_, _, address):
        embedder = RemoteEmbedder(f"{address}/v1", "m", instruction="", timeout_s=0.3, max_tokens=64, api_key=None)
        with pytest.raises(EmbedderFailed, match=r"no whole answer within 0\.3 s"):
            await asyncio.to_thread(embedder.encode, [embedder.prepare("a")])
        embedder.close()


def test_nobody_there_is_an_expected_failure() -> None:
    embedder = make("http://127.0.0.1:9/v1")
    with pytest.raises(EmbedderFailed, match="ConnectionRefusedError"):
        embedder.encode([embedder.prepare("a")])
    embedder.close()
