import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from harness.tokenizer import byte_level_tokenizer
from loopback.openai_server import LoopbackServer, Rules
from loopback.recording import models_for
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest

LONG = " ".join(f"w{n}" for n in range(3000))


def words_sent(server: LoopbackServer) -> list[str]:
    return server.requests[-1].body["messages"][-1]["content"].split()


async def test_a_prompt_is_cut_by_the_servers_own_tokenizer() -> None:
    rules = Rules(context_tokens=1000)
    async with LoopbackServer(rules=rules, model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url)
        result = await models.experts["answer-1"].complete(ChatRequest(user=LONG, max_tokens=200))
        kept = words_sent(server)
        assert kept[-1] == "w2999"
        assert len(kept) == 1000 - 200 - 128
        assert result.token_count == "tokenizer"
        assert result.truncated_tokens == 3000 - len(kept)
        request = ChatRequest(user=LONG, max_tokens=200, keep_user_end=False)
        await models.experts["answer-1"].complete(request)
        assert words_sent(server)[0] == "w0"
        assert len(words_sent(server)) == len(kept)
        await models.aclose()


async def test_without_the_cut_the_server_would_refuse() -> None:
    async with LoopbackServer(rules=Rules(context_tokens=1000)) as server:
        models = models_for(server.base_url)
        with pytest.raises(Failure) as caught:
            await models.experts["answer-1"].complete(ChatRequest(user=LONG))
        await models.aclose()
    assert (caught.value.error_type, caught.value.attempts) == ("context_length", 1)


async def test_the_first_calls_of_all_are_cut_too() -> None:
    async with LoopbackServer(rules=Rules(context_tokens=1000), model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url)
        request = ChatRequest(user=LONG, max_tokens=200)
        await asyncio.gather(*(models.experts["answer-1"].complete(request) for _ in range(10)))
        await models.aclose()
    assert server.stats.statuses == {200: 10 + 1 + 10 * 2}


async def test_a_short_prompt_is_not_touched() -> None:
    async with LoopbackServer(model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url)
        result = await models.experts["answer-1"].complete(ChatRequest(user="a b c", max_tokens=800))
        await models.aclose()
    assert (result.truncated_tokens, result.token_count) == (None, "estimate")
    assert server.requests[0].body["max_tokens"] == 800


async def test_an_answer_longer_than_the_context_is_asked_for_less() -> None:
    async with LoopbackServer(rules=Rules(context_tokens=1000), model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url, expert_max_tokens=5000)
        result = await models.experts["answer-1"].complete(ChatRequest(user=LONG))
        await models.aclose()
    assert server.requests[0].body["max_tokens"] == 500
    assert result.truncated_tokens is not None


async def test_a_local_tokenizer_is_used_where_one_is_given(tmp_path: Path) -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    async with LoopbackServer(model="orchestrator", context_tokens=2000) as server:
        models = models_for(server.base_url, orchestrator_tokenizer=str(tmp_path))
        result = await models.orchestrator.complete(ChatRequest(user=LONG, max_tokens=100))
        await models.aclose()
    kept = server.requests[-1].body["messages"][-1]["content"]
    assert LONG.endswith(kept)
    assert len(tokenizer.encode(kept, add_special_tokens=False).ids) == 2000 - 100 - 128
    assert result.token_count == "tokenizer"
    assert models.orchestrator_tokens.exact


async def test_with_no_tokenizer_at_all_an_estimate_errs_long(tmp_path: Path) -> None:
    override = tmp_path / "models.toml"
    override.write_text('[[model]]\nprovider="vllm"\nmodel="expert"\ntokenize=false\ncontext_tokens=1000\n')
    async with LoopbackServer(rules=Rules(context_tokens=1000)) as server:
        models = models_for(server.base_url, models_file=override)
        result = await models.experts["answer-1"].complete(ChatRequest(user=LONG, max_tokens=200))
        await models.aclose()
    assert result.token_count == "estimate"
    assert result.truncated_tokens is not None
    assert words_sent(server)[-1] == "w2999"
    assert 100 < len(words_sent(server)) < 672
    assert not models.orchestrator_tokens.exact


async def test_a_server_without_tokenize_falls_back_to_the_estimate() -> None:
    class Plain(LoopbackServer):
        def _other(self, path: str, head: bytes, body: bytes) -> bytes:
            return super()._other("/nowhere" if "tokenize" in path else path, head, body)

    async with Plain(rules=Rules(context_tokens=1000), model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url)
        result = await models.experts["answer-1"].complete(ChatRequest(user=LONG, max_tokens=200))
        asked = server.stats.requests
        await models.experts["answer-1"].complete(ChatRequest(user=LONG, max_tokens=200))
        await models.aclose()
    assert result.token_count == "estimate"
    assert server.stats.requests == asked + 1


async def test_system_text_and_tools_take_their_share(tmp_path: Path) -> None:
    async with LoopbackServer(model="expert", context_tokens=1000) as server:
        models = models_for(server.base_url)
        request: Any = ChatRequest(user=LONG, max_tokens=100)
        await models.experts["answer-1"].complete(request)
        alone = len(words_sent(server))
        await models.experts["answer-1"].complete(dataclasses.replace(request, system="word " * 100))
        assert len(words_sent(server)) <= alone - 100
        await models.aclose()
