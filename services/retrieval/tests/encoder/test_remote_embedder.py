"""An embeddings server as the embedder, as a real HTTP server on the loopback."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request, Response
from podium_retrieval.encoder.embedder import EmbedderFailed
from podium_retrieval.encoder.remote import RemoteEmbedder
from podium_retrieval.errors import StartError


@pytest.fixture
def server(listen: Any) -> Any:
    """POST /v1/embeddings: vectors of the text's length, in reverse order, as the index allows."""

    @asynccontextmanager
    async def run(*, refuse_cut: bool = False, raw: bytes | None = None) -> Any:
        app = FastAPI()
        seen: list[dict[str, Any]] = []

        @app.post("/v1/embeddings", response_model=None)
        async def embeddings(request: Request) -> Any:
            body = await request.json()
            seen.append({**body, "key": request.headers.get("authorization")})
            if refuse_cut and "truncate_prompt_tokens" in body:
                return Response(b"unknown field", 400)
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


def test_nobody_there_is_an_expected_failure() -> None:
    embedder = make("http://127.0.0.1:9/v1")
    with pytest.raises(EmbedderFailed):
        embedder.encode([embedder.prepare("a")])
    embedder.close()
