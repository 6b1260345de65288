"""The transport under AsyncOpenAI: what it reads, what it keeps open, and whom it asks."""

import asyncio
import gzip
from typing import Any

import httpx2
import orjson
import pytest
from loopback.openai_server import Fault, LoopbackServer, Reply, Rules, http, render
from loopback.recording import RecordingSink, models_for, settings_for
from podium_eval.errors import Failure
from podium_eval.models.build import build_models
from podium_eval.models.chat import ChatRequest
from podium_eval.transport.pool import HttpPool, PooledTransport


class Zipped(LoopbackServer):
    """Answers gzip-compressed, as providers do."""

    def answer(self, path: str, head: bytes, body: bytes) -> Any:
        super().answer(path, head, body)
        raw = render(self.reply, orjson.loads(body), self.rules)
        return 0.0, http(200, gzip.compress(raw), headers="content-encoding: gzip\r\n")


async def test_a_compressed_answer_is_read() -> None:
    async with Zipped(reply=Reply(text="x" * 10_000)) as server:
        models = models_for(server.base_url)
        result = await models.experts["answer-1"].complete(ChatRequest(user="q"))
        await models.aclose()
    assert result.text == "x" * 10_000


async def test_what_unpacks_to_too_much_is_not_kept() -> None:
    async with Zipped(reply=Reply(text="x" * 3_000_000)) as server:
        models = models_for(server.base_url, model_body_limit=1_000_000, model_attempts=1)
        with pytest.raises(Failure, match="MODEL_BODY_LIMIT"):
            await models.experts["answer-1"].complete(ChatRequest(user="q"))
        await models.aclose()


async def test_a_streamed_answer_is_bounded_too() -> None:
    async with LoopbackServer(reply=Reply(text="word " * 50_000)) as server:
        models = models_for(server.base_url, model_body_limit=100_000, model_attempts=1, orchestrator_timing="client")
        with pytest.raises(Failure, match="MODEL_BODY_LIMIT"):
            await models.orchestrator.complete(ChatRequest(user="q"))
        await models.aclose()


async def test_any_client_may_send_through_the_pool() -> None:
    pool = HttpPool(2)
    client = httpx2.AsyncClient(transport=PooledTransport(pool, connect_s=5, body_limit=1_000_000), timeout=0.2)
    body = {"model": "expert", "messages": [{"role": "user", "content": "q"}]}
    async with LoopbackServer(reply=Reply(text="yes")) as server:
        answer = await client.post(f"{server.base_url}/chat/completions", json=body, headers={"x-more": "1"})
        assert answer.json()["choices"][0]["message"]["content"] == "yes"
        assert server.requests[0].headers["x-more"] == "1"
    async with LoopbackServer(fault=Fault("stall")) as server:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post(f"{server.base_url}/chat/completions", json=body)
    with pytest.raises(httpx2.ConnectError):
        await client.get("http://127.0.0.1:9/")
    await pool.aclose()
    await client.aclose()


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    class Redirecting(LoopbackServer):
        def answer(self, path: str, head: bytes, body: bytes) -> Any:
            super().answer(path, head, body)
            return 0.0, http(307, b"", headers=f"location: {other.base_url}/chat/completions\r\n")

    async with LoopbackServer() as other, Redirecting() as server:
        models = models_for(server.base_url, expert_api_key="k", model_attempts=1)
        with pytest.raises(Failure) as caught:
            await models.experts["answer-1"].complete(ChatRequest(user="q"))
        await models.aclose()
        assert other.stats.requests == 0
    assert caught.value.error_type == "bad_response"


async def test_connections_are_kept_and_used_again() -> None:
    async with LoopbackServer() as server:
        models = models_for(server.base_url)
        for _ in range(20):
            await models.experts["answer-1"].complete(ChatRequest(user="q"))
            await models.judge.complete(ChatRequest(user="q"))
        assert server.stats.connections == 1
        await models.aclose()
        await asyncio.sleep(0.05)
        assert server.stats.open_connections == 0


@pytest.mark.parametrize("kind", ["half_json", "status", "stall", "reset"])
async def test_failed_calls_leave_no_connection_behind(kind: Any) -> None:
    async with LoopbackServer(fault=Fault(kind)) as server:
        models = models_for(server.base_url, model_attempts=1, expert_timeout_s=0.05, breaker_failures=1000)
        for _ in range(10):
            with pytest.raises(Failure):
                await models.experts["answer-1"].complete(ChatRequest(user="q"))
        assert server.stats.open_connections <= 1
        await models.aclose()


async def test_a_proxy_is_for_providers_on_the_internet_alone() -> None:
    async with LoopbackServer(rules=Rules(api_key="k")) as proxy, LoopbackServer() as own, LoopbackServer() as expert:
        settings = settings_for(
            own.base_url,
            expert_default=f"vllm/expert@{expert.base_url}",
            expert_answer_1="together/some-model",
            together_base_url="http://together.invalid/v1",
            together_api_key="k",
            model_proxy=proxy.address,
        )
        models = build_models(settings, RecordingSink(), ids={"run_id": "r"}, concurrency=2)
        assert (await models.experts["answer-1"].complete(ChatRequest(user="q"))).text == "ok"
        assert proxy.requests[0].headers["host"] == "together.invalid"
        await models.experts["answer-2"].complete(ChatRequest(user="q"))
        await models.orchestrator.complete(ChatRequest(user="q"))
        await models.aclose()
    assert proxy.stats.chat_requests == 1
    assert (own.stats.chat_requests, expert.stats.chat_requests) == (1, 1)
