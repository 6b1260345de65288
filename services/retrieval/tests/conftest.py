"""A service small enough to look through: real FAISS, corpus, owner and HTTP, over an encoder that hashes words."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
from podium_retrieval.answer_cache import AnswerCache
from podium_retrieval.api.app import HttpOptions, create_app
from podium_retrieval.api.request import RequestLimits
from podium_retrieval.batching.batch_worker import Owner
from podium_retrieval.batching.engine import Engine
from podium_retrieval.batching.lock_worker import Lock
from podium_retrieval.batching.policy import Budget
from podium_retrieval.batching.preparation import Preparation
from podium_retrieval.documents import Documents
from podium_retrieval.encoder.embedder import Done, Encoded, Prepared
from podium_retrieval.index.candidates import Filter
from podium_retrieval.index.corpus import Corpus, text_of
from podium_retrieval.index.faiss_index import FaissIndex
from podium_retrieval.metrics import Metrics
from podium_retrieval.service import SearchService
from podium_retrieval.top_up import TopUp
from podium_retrieval.web.search import WebSearch

DIMENSION = 64
LONG = "and then some more words that make this passage longer than the hundred characters which the filter asks of it"


class WordEmbedder:
    """Unit vectors of hashed words. A test may hold it (gate), or let it fail on a word."""

    model = "words"
    dimension = DIMENSION
    device = "cpu"
    dtype = "float32"
    packed = True
    overlaps = False

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []
        self.fails_on: str | None = None

    def prepare(self, text: str) -> Prepared:
        return Prepared(len(text.split()), text)

    prepare_document = prepare

    def begin(self, batch: Sequence[Prepared]) -> Done:
        return Done(Encoded(self.encode(batch), 0.0))

    def encode(self, batch: Sequence[Prepared]) -> np.ndarray:
        texts = [one.payload for one in batch]
        self.batches.append(texts)
        self.entered.set()
        self.gate.wait(30)
        if self.fails_on is not None and any(self.fails_on in text for text in texts):
            raise RuntimeError(f"cannot encode {self.fails_on}")
        return np.stack([vector(text) for text in texts])

    def warm_up(self, tokens: int) -> int:
        return tokens

    def close(self) -> None:
        self.gate.set()


def vector(text: str) -> np.ndarray:
    """The sum of a fixed random vector a word, at unit length."""
    total = np.zeros(DIMENSION, np.float32)
    for word in text.lower().split():
        seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(DIMENSION, np.float32)
    length = float(np.linalg.norm(total))
    return total / length if length else total


BIRDS = (
    *("falcon", "heron", "osprey", "plover", "wren", "swift", "robin", "magpie"),
    *("jackdaw", "kestrel", "bittern", "avocet", "curlew", "dunlin", "knot"),
)
DOCUMENTS: list[dict[str, Any]] = [
    {"id": f"doc-{number}", "title": f"title {number}", "contents": f"{name} {name} {name} {LONG} {number}"}
    for number, name in enumerate(BIRDS)
]


@dataclass
class Running:
    """A service that listens, with a client for it and what a test may turn."""

    client: httpx2.AsyncClient
    address: str
    embedder: WordEmbedder
    service: SearchService
    metrics: Metrics
    server: uvicorn.Server
    serving: "asyncio.Task[None]"

    async def ask(self, *queries: str, **fields: Any) -> httpx2.Response:
        body = {"queries": list(queries), "topk": 3, "return_scores": True, **fields}
        return await self.client.post("/retrieve", json=body)


@dataclass
class Parts:
    """What a test may ask of the service."""

    documents: list[dict[str, Any]] = field(default_factory=lambda: list(DOCUMENTS))
    mode: str = "batch"
    budget: Budget = field(default_factory=lambda: Budget(64, 4096, packed=True, max_age_s=1.0))
    queue_limit: int = 1000
    watchdog_s: float = 60.0
    deadline_s: float = 20.0
    min_score: float = 0.1
    shape: Any = "list"
    allowed: dict[str, frozenset[str]] | None = None
    cache_bytes: int = 0
    web: Callable[[], WebSearch] | None = None
    embedder: Any = None
    limits: RequestLimits = field(default_factory=lambda: RequestLimits(4, query_chars=5000, topk=50))
    max_body_bytes: int = 64 << 10


@pytest.fixture
def listen() -> Any:
    """listening, for tests that bring an application of their own."""
    return listening


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a service over documents of the test's own; see Parts."""

    @asynccontextmanager
    async def run(**wishes: Any) -> AsyncIterator[Running]:
        parts = Parts(**wishes)
        path = tmp_path / "eval.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in parts.documents))
        embedder = parts.embedder or WordEmbedder()
        texts = [text_of(one) or "" for one in parts.documents]
        if parts.embedder is None:
            vectors = np.stack([vector(text) for text in texts])
        else:
            vectors = await asyncio.to_thread(embedder.encode, [embedder.prepare_document(text) for text in texts])
        index = FaissIndex.flat(vectors)
        engine = Engine(embedder, index, 1000)
        metrics = Metrics()
        common: dict[str, Any] = {
            "queue_limit": parts.queue_limit,
            "watchdog_s": parts.watchdog_s,
            "observer": metrics,
        }
        worker = Lock(engine, **common) if parts.mode == "lock" else Owner(engine, parts.budget, **common)
        web = parts.web() if parts.web else None
        service = SearchService(
            worker,
            Preparation(embedder),
            Documents(Corpus.open(path), Filter(parts.min_score, 100), parts.allowed),
            AnswerCache(parts.cache_bytes),
            None if web is None else TopUp(web, 3, metrics),
            metrics,
            parts.deadline_s,
        )
        app = create_app(
            service,
            metrics,
            HttpOptions(parts.limits, max_body_bytes=parts.max_body_bytes, shape=parts.shape, drain_s=5),
        )
        async with (
            listening(app) as (server, serving, address),
            httpx2.AsyncClient(base_url=address, timeout=60, limits=httpx2.Limits(max_connections=200)) as http,
        ):
            try:
                yield Running(http, address, embedder, service, metrics, server, serving)
            finally:
                if parts.embedder is None:
                    embedder.gate.set()

    return run


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[tuple[uvicorn.Server, "asyncio.Task[None]", str]]:
    """uvicorn on a free port of the loopback, in this event loop."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=10
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield server, serving, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 30)


class _no_signals:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
