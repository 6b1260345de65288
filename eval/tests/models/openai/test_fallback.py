"""What a server refuses is asked for in another way, and said once."""

import logging
from typing import Any

import pytest
from loopback.openai_server import Fault, LoopbackServer, Rules
from loopback.recording import models_for
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, Form

SCHEMA = Form(json_schema={"type": "object"}, name="judgement")


class NoStream(LoopbackServer):
    """Answers whole, without timings of its own; what is asked to be streamed meets `on_stream`, or a whole answer."""

    on_stream: Fault | None = None
    streamed = 0

    def answer(self, path: str, head: bytes, body: bytes) -> Any:
        if b'"stream":true' in body.replace(b" ", b""):
            self.streamed += 1
            if self.on_stream is not None:
                return 0.0, self.on_stream
            body = body.replace(b'"stream":true', b'"stream":false')
        return super().answer(path, head, body)


async def test_a_judge_that_refuses_a_schema_is_asked_in_words(caplog: pytest.LogCaptureFixture) -> None:
    async with LoopbackServer(rules=Rules(response_format=False)) as server:
        models = models_for(server.base_url)
        with caplog.at_level(logging.WARNING):
            results = [await models.judge.complete(ChatRequest(user="q", form=SCHEMA)) for _ in range(3)]
        await models.aclose()
    assert [result.text for result in results] == ["ok"] * 3
    assert [result.attempts for result in results] == [2, 1, 1]
    assert len([record for record in caplog.records if "refuses a JSON schema" in record.getMessage()]) == 1


async def test_another_bad_request_is_no_reason_to_drop_the_schema() -> None:
    async with LoopbackServer(rules=Rules(temperature=False)) as server:
        models = models_for(server.base_url)
        with pytest.raises(Failure) as caught:
            await models.judge.complete(ChatRequest(user="q", form=SCHEMA, temperature=0.0))
        await models.aclose()
    assert caught.value.attempts == 1


@pytest.mark.parametrize("status", [400, 500])
async def test_an_orchestrator_whose_streaming_fails_is_asked_for_whole_answers(status: int) -> None:
    server = NoStream(rules=Rules(metrics=False))
    server.on_stream = Fault("status", status)
    async with server:
        models = models_for(server.base_url, model_attempts=2)
        results = [await models.orchestrator.complete(ChatRequest(user="q")) for _ in range(4)]
        await models.aclose()
    assert [(result.text, result.timing_source, result.first_token_ms) for result in results] == [
        ("ok", "client", None)
    ] * 4
    assert server.streamed == (1 if status == 400 else 2), "streaming was tried again after it had failed"


async def test_a_whole_answer_to_a_streamed_call_counts() -> None:
    server = NoStream(rules=Rules(metrics=False))
    async with server:
        models = models_for(server.base_url)
        results = [await models.orchestrator.complete(ChatRequest(user="q")) for _ in range(3)]
        await models.aclose()
    assert [result.text for result in results] == ["ok"] * 3
    assert server.streamed == 2


async def test_streaming_survives_a_server_that_failed_both_ways() -> None:
    server = NoStream(rules=Rules(metrics=False))
    async with server:
        models = models_for(server.base_url, model_attempts=1)
        await models.orchestrator.complete(ChatRequest(user="q"))
        server.faults.extend([Fault("status", 500)] * 2)
        with pytest.raises(Failure):
            await models.orchestrator.complete(ChatRequest(user="q"))
        await models.orchestrator.complete(ChatRequest(user="q"))
        await models.aclose()
    assert server.streamed >= 2
