"""Keys of other servers: what surrounds them is dropped, what no header carries is refused, and none is ever shown."""

import asyncio
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from podium_retrieval import __main__ as console
from podium_retrieval import start as starting
from podium_retrieval.encoder.embedder import EmbedderFailed
from podium_retrieval.encoder.remote import RemoteEmbedder
from podium_retrieval.errors import StartError
from podium_retrieval.settings import Settings
from podium_retrieval.web.search import WebLimits, WebSearch
from podium_retrieval.web.tavily import WebFailed

KEYS = ("TAVILY_API_KEY", "RETRIEVAL_EMBEDDER_API_KEY")
LIMITS = WebLimits(results=5, timeout_s=10.0, concurrency=4, max_bytes=100_000, page_chars=500)


@pytest.fixture
def echo() -> Any:
    """A server that answers every request with 401 and the key that it was sent."""
    app = FastAPI()
    app.state.keys = []

    @app.post("/{path:path}", response_model=None)
    async def anything(request: Request) -> Any:
        key = request.headers.get("authorization", "")
        app.state.keys.append(key)
        return Response(f"no such key: {key.removeprefix('Bearer ')}", 401)

    return app


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", ["tvly-secret ", "tvly-secret\r", "\ttvly-secret\r\n", "tvly-secret"])
def test_what_surrounds_a_key_is_dropped(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    key = getattr(Settings(), name.lower())
    assert key.get_secret_value() == "tvly-secret"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "value", ["tvly secret", "tvly\rsecret", "tvly-secret\N{ZERO WIDTH SPACE}", "schlüssel-secret"]
)
@pytest.mark.parametrize("command", ["serve", "build-index"])
def test_other_characters_are_refused_by_the_variables_name(
    name: str, value: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert console.main([command]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"podium-retrieval: {name} holds ")
    assert len(said.err.splitlines()) == 1
    assert "secret" not in said.err + said.out
    with pytest.raises(ValueError, match=name.lower()) as refused:
        Settings()
    assert "secret" not in str(refused.value)


async def test_a_key_from_the_environment_reaches_tavily(
    listen: Any, echo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listen(echo) as (_, _, address):
        monkeypatch.setenv("TAVILY_API_KEY", "tvly-secret \r")
        monkeypatch.setenv("TAVILY_BASE_URL", address + "\r")
        monkeypatch.setenv("RETRIEVAL_WEB_CACHE_DIR", str(tmp_path / "web"))
        web = starting._web(Settings())
        assert web is not None
        with pytest.raises(WebFailed, match=r"/search answered 401: no such key: \*\*\*"):
            await web.search("query")
        await web.close()
    assert echo.state.keys == ["Bearer tvly-secret"]


async def test_a_header_that_the_client_refuses_is_not_quoted(
    start: Any, listen: Any, echo: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # as podium_retrieval.logs keeps httpcore2 and httpx2
    documents = [{"id": "a", "contents": "crane " * 30}]
    async with listen(echo) as (_, _, address):

        def web() -> WebSearch:
            return WebSearch(address, "tvly-secret\r", LIMITS, tmp_path / "web", 1 << 20)

        async with start(documents=documents, web=web) as running:
            answer = await running.ask("crane")
    assert answer.status_code == 200
    assert "web search failed: /search: LocalProtocolError" in caplog.text
    assert "tvly-secret" not in caplog.text


async def test_neither_is_an_embedders_header(listen: Any, echo: Any) -> None:
    async with listen(echo) as (_, _, address):
        embedder = RemoteEmbedder(address, "m", instruction="", timeout_s=5, max_tokens=64, api_key="embed-secret\r")
        with pytest.raises(StartError) as refused:
            await asyncio.to_thread(embedder.connect)
        embedder.close()
    assert str(refused.value) == f"RETRIEVAL_EMBEDDER: {address}/embeddings: InvalidHeader"
    assert "embed-secret" not in "".join(traceback.format_exception(refused.value))


def test_the_password_of_an_embedders_address_is_not_shown() -> None:
    address = "http://user:hidden@127.0.0.1:9/v1"
    embedder = RemoteEmbedder(address, "m", instruction="", timeout_s=5, max_tokens=64, api_key=None)
    with pytest.raises(StartError) as refused:
        embedder.connect()
    embedder.close()
    assert "http://127.0.0.1:9/v1/embeddings: ConnectionRefusedError" in str(refused.value)
    assert "hidden" not in "".join(traceback.format_exception(refused.value))


async def test_a_key_repeated_by_the_embedder_is_not_logged(listen: Any, echo: Any) -> None:
    async with listen(echo) as (_, _, address):
        embedder = RemoteEmbedder(address, "m", instruction="", timeout_s=5, max_tokens=64, api_key="embed-secret")
        with pytest.raises(EmbedderFailed, match=r"answered 401: no such key: \*\*\*"):
            await asyncio.to_thread(embedder.encode, [embedder.prepare("a")])
        embedder.close()
    assert echo.state.keys == ["Bearer embed-secret"]
