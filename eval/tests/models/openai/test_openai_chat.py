"""Model calls against a real server on the loopback that fails in every way of issue 4."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loopback.openai_server import Fault, LoopbackServer, Reply, Rules
from loopback.recording import RecordingSink, models_for
from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest, Form, ToolSpec
from podium_eval.models.models import Models

SEARCH = ToolSpec("search", "Look something up.", {"type": "object", "properties": {"query": {"type": "string"}}})


@contextlib.asynccontextmanager
async def wired(server: LoopbackServer, sink: RecordingSink | None = None, **changes: Any) -> AsyncIterator[Models]:
    async with server:
        models = models_for(server.base_url, sink, **changes)
        try:
            yield models
        finally:
            await models.aclose()


async def failure_of(models: Models, request: ChatRequest | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        await models.experts["answer-1"].complete(request or ChatRequest(user="q"))
    return caught.value


async def test_an_answer_carries_the_servers_own_times_and_tokens() -> None:
    reply = Reply(text="the answer", prompt_tokens=900, completion_tokens=30, cached_tokens=512, reasoning_tokens=20)
    async with wired(LoopbackServer(reply=reply)) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="q", system="be brief"))
    assert result.text == "the answer"
    assert (result.queue_ms, result.prefill_ms, result.decode_ms, result.itl_ms) == (1.0, 2.0, 3.0, 0.5)
    assert result.overhead_ms == pytest.approx(result.duration_ms - 6.0)
    assert (result.prompt_tokens, result.cached_tokens) == (900, 512)
    assert (result.completion_tokens, result.reasoning_tokens) == (30, 20)
    assert result.timing_source == "server"
    assert (result.provider, result.model) == ("vllm", "expert")
    assert result.server is not None
    assert result.server.startswith("http://127.0.0.1:")
    assert (result.attempts, result.retry_ms < 5, result.limiter_ms) == (1, True, 0.0)
    assert result.cost_usd is None


async def test_the_model_that_really_answered_is_named() -> None:
    async with wired(LoopbackServer(reply=Reply(model="expert-2026-01"))) as models:
        assert (await models.experts["answer-1"].complete(ChatRequest(user="q"))).model == "expert-2026-01"


async def test_tool_calls_come_back_as_the_model_wrote_them() -> None:
    calls = (("search", '{"query": "x"}'), ("no such tool", "{not json"), *[("answer", "{}")] * 8)
    async with wired(LoopbackServer(reply=Reply(text=None, tool_calls=calls, reasoning="hm"))) as models:
        request = ChatRequest(user="q", tools=[SEARCH], tool_choice="required")
        result = await models.orchestrator.complete(request)
    assert [(call.name, call.arguments) for call in result.tool_calls] == list(calls)
    assert result.text == ""
    assert result.reasoning == "hm"
    assert result.finish_reason == "tool_calls"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_is_read_from_both_fields(legacy: bool, stream: bool) -> None:
    reply = Reply(text="t", reasoning="because", legacy_reasoning=legacy)
    timing = "client" if stream else "server"
    async with wired(LoopbackServer(reply=reply), orchestrator_timing=timing) as models:
        result = await models.orchestrator.complete(ChatRequest(user="q"))
    assert (result.text, result.reasoning) == ("t", "because")


async def test_a_server_without_metrics_is_streamed_from_turn_two() -> None:
    reply = Reply(text=None, tool_calls=(("search", '{"query": "' + "long " * 20 + '"}'),), chunk_s=0.005)
    server = LoopbackServer(reply=reply, rules=Rules(metrics=False))
    async with wired(server) as models:
        request = ChatRequest(user="one two three", tools=[SEARCH])
        first, second = [await models.orchestrator.complete(request) for _ in range(2)]
    assert [request.body.get("stream", False) for request in server.requests] == [False, True]
    for result in (first, second):
        assert result.timing_source == "client"
        assert (result.queue_ms, result.prefill_ms, result.decode_ms, result.overhead_ms) == (None,) * 4
        assert result.tool_calls[0].arguments == reply.tool_calls[0][1]
        assert result.prompt_tokens == 3
    assert first.first_token_ms is None
    assert second.first_token_ms is not None
    assert 0 < second.first_token_ms < second.duration_ms - 20


async def test_streamed_metrics_of_a_server_that_has_them_are_used() -> None:
    async with wired(LoopbackServer(), orchestrator_timing="client") as models:
        result = await models.orchestrator.complete(ChatRequest(user="q"))
    assert (result.timing_source, result.prefill_ms) == ("server", 2.0)


@pytest.mark.parametrize(
    ("fault", "error_type"),
    [
        (Fault("status", 500), "server_error"),
        (Fault("status", 502), "server_error"),
        (Fault("status", 503, retry_after="0.01"), "server_error"),
        (Fault("status", 529), "server_error"),
        (Fault("status", 429, retry_after="0.01"), "rate_limit"),
        (Fault("status", 408), "timeout"),
        (Fault("reset"), "connection"),
        (Fault("half_body"), "connection"),
        (Fault("half_json"), "bad_response"),
        (Fault("html"), "bad_response"),
        (Fault("empty_choices"), "bad_response"),
        (Fault("null_content"), "bad_response"),
        (Fault("huge", size=17 << 20), "bad_response"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
async def test_passing_faults_are_tried_again_and_named_when_they_stay(fault: Fault, error_type: str) -> None:
    server = LoopbackServer(faults=[fault, fault])
    async with wired(server, model_attempts=3, breaker_failures=50) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="q"))
        assert (result.text, result.attempts) == ("ok", 3)
        assert result.retry_ms + result.limiter_ms > 0
        server.fault = fault
        failure = await failure_of(models)
    assert (failure.error_type, failure.attempts, failure.permanent) == (error_type, 3, False)
    assert (failure.provider, failure.model) == ("vllm", "expert")
    assert server.base_url in failure.message or error_type == "bad_response"


@pytest.mark.parametrize(
    ("fault", "error_type"),
    [
        (Fault("status", 401), "auth"),
        (Fault("status", 403), "auth"),
        (Fault("status", 402), "auth"),
        (Fault("status", 429, body='{"error":{"code":"insufficient_quota","message":"no more"}}'), "auth"),
        (Fault("status", 404), "unknown_model"),
        (Fault("status", 400, body='{"error":{"message":"Unable to access model x"}}'), "unknown_model"),
        (Fault("status", 400, body='{"message":"This model\'s maximum context length is 8"}'), "context_length"),
        (Fault("status", 413), "context_length"),
        (Fault("status", 400, body='{"error":{"code":"content_filter","message":"m"}}'), "content_filter"),
        (Fault("status", 400), "bad_request"),
        (Fault("status", 422), "bad_request"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else value,
)
async def test_permanent_failures_are_sent_once(fault: Fault, error_type: str) -> None:
    server = LoopbackServer(fault=fault)
    async with wired(server) as models:
        failure = await failure_of(models)
    assert (failure.error_type, failure.attempts, failure.permanent) == (error_type, 1, True)
    assert server.stats.chat_requests == 1


@pytest.mark.parametrize("kind", ["hang", "stall"])
async def test_a_server_that_never_answers_is_a_timeout(kind: Any) -> None:
    async with wired(LoopbackServer(fault=Fault(kind)), model_attempts=2, expert_timeout_s=0.1) as models:
        failure = await failure_of(models)
    assert (failure.error_type, failure.attempts) == ("timeout", 2)
    assert failure.duration_ms >= 90
    assert failure.retry_ms >= 90


async def test_a_stream_that_stalls_is_a_timeout_too() -> None:
    server = LoopbackServer(reply=Reply(text="word " * 50, chunk_s=0.05))
    async with wired(server, model_attempts=1, orchestrator_timing="client", orchestrator_timeout_s=0.12) as models:
        with pytest.raises(Failure) as caught:
            await models.orchestrator.complete(ChatRequest(user="q"))
    assert caught.value.error_type == "timeout"


async def test_an_address_where_nobody_listens_is_a_connection_failure() -> None:
    server = LoopbackServer()
    async with wired(server, model_attempts=2) as models:
        await server.stop()
        failure = await failure_of(models)
    assert failure.error_type == "connection"


async def test_forty_megabytes_are_not_read() -> None:
    server = LoopbackServer(fault=Fault("huge"))
    async with wired(server, model_attempts=1, model_body_limit=100_000) as models:
        failure = await failure_of(models)
    assert "MODEL_BODY_LIMIT" in failure.message


async def test_an_orchestrator_may_say_nothing_but_an_expert_may_not() -> None:
    server = LoopbackServer(reply=Reply(text=None, completion_tokens=3))
    async with wired(server, model_attempts=2) as models:
        assert (await models.orchestrator.complete(ChatRequest(user="q"))).text == ""
        assert (await failure_of(models)).error_type == "bad_response"


async def test_an_answer_cut_at_its_length_is_an_answer() -> None:
    server = LoopbackServer(reply=Reply(text=None, reasoning="thinking…", finish_reason="length"))
    async with wired(server) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="q"))
    assert (result.text, result.finish_reason) == ("", "length")


async def test_thinking_that_used_all_tokens_is_a_truncated_answer() -> None:
    words = "Could not finish the message because max_tokens or model output limit was reached."
    server = LoopbackServer(fault=Fault("status", 400, body=f'{{"error":{{"message":"{words}"}}}}'))
    async with wired(server) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="q", max_tokens=16))
    assert (result.text, result.finish_reason, result.completion_tokens) == ("", "length", None)


async def test_what_the_provider_held_back_is_no_answer() -> None:
    server = LoopbackServer(reply=Reply(text="", finish_reason="content_filter"))
    async with wired(server) as models:
        assert (await failure_of(models)).error_type == "content_filter"


async def test_429_halves_the_providers_limit_and_retry_after_is_obeyed() -> None:
    sink = RecordingSink()
    server = LoopbackServer(faults=[Fault("status", 429, retry_after="0.15")] * 8)
    async with wired(server, sink, concurrency=8) as models:
        expert = models.experts["answer-1"]
        results = await asyncio.gather(*(expert.complete(ChatRequest(user="q")) for _ in range(8)))
        limit = next(one for name, one in models.limits.items() if name.startswith("vllm"))
        assert limit.in_flight == 0
    events = sink.of("limit")
    assert (events[0].previous, events[0].limit, events[0].run_id, events[0].segment) == (8, 4, "test", 2)
    assert all(result.limiter_ms >= 140 for result in results)
    assert all(result.attempts == 2 for result in results)


async def test_a_lockout_is_announced_once_and_waited_for() -> None:
    sink = RecordingSink()
    server = LoopbackServer(faults=[Fault("status", 429, retry_after="0.3")] * 4)
    async with wired(server, sink, concurrency=4, retry_after_longest_s=0.1) as models:
        expert = models.experts["answer-1"]
        results = await asyncio.gather(*(expert.complete(ChatRequest(user="q")) for _ in range(4)))
    locked = [event.locked_out_ms for event in sink.of("limit") if event.locked_out_ms is not None]
    assert locked == [pytest.approx(300.0)]
    assert all(result.limiter_ms >= 290 for result in results)
    assert all(result.attempts == 2 for result in results)


async def test_a_lockout_is_tried_again_after_its_limit() -> None:
    server = LoopbackServer(faults=[Fault("status", 429, retry_after="3600")])
    async with wired(server, lockout_longest_s=0.05) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="q"))
    assert result.attempts == 2
    assert 40 <= result.limiter_ms < 60_000


async def test_a_check_meets_a_lockout_as_a_failure() -> None:
    server = LoopbackServer(fault=Fault("status", 429, retry_after="3600"))
    async with wired(server) as models:
        with pytest.raises(Failure) as caught:
            await models.experts["answer-1"].complete(ChatRequest(user="q", wait_if_down=False))
    failure = caught.value
    assert (failure.error_type, failure.attempts, failure.retry_after_s) == ("rate_limit", 1, 3600.0)


async def test_five_refused_keys_stop_every_call() -> None:
    stops: list[str] = []
    server = LoopbackServer(rules=Rules(api_key="right"))
    async with wired(
        server, expert_api_key="wrong", orchestrator_api_key="right", on_auth_failures=stops.append
    ) as models:
        await models.orchestrator.complete(ChatRequest(user="q"))
        for n in range(5):
            assert stops == []
            assert (await failure_of(models)).error_type == "auth", n
            with contextlib.suppress(Failure):
                await models.orchestrator.complete(ChatRequest(user="q"))
        sent = server.stats.chat_requests
        assert (await failure_of(models)).error_type == "auth"
    assert len(stops) == 1
    assert stops[0].startswith("EXPERT_API_KEY was refused 5 times in a row by vllm")
    assert server.stats.chat_requests == sent


async def test_an_accepted_key_ends_the_row() -> None:
    stops: list[str] = []
    fault = Fault("status", 401)
    server = LoopbackServer(faults=[fault] * 4)
    async with wired(server, expert_api_key="k", on_auth_failures=stops.append) as models:
        for _ in range(4):
            await failure_of(models)
        await models.experts["answer-1"].complete(ChatRequest(user="q"))
        server.faults.extend([fault] * 4)
        for _ in range(4):
            await failure_of(models)
    assert stops == []


async def test_calls_wait_while_a_server_is_down() -> None:
    sink = RecordingSink()
    server = LoopbackServer()
    async with wired(server, sink, model_attempts=3, breaker_failures=3) as models:
        expert = models.experts["answer-1"]
        await expert.complete(ChatRequest(user="before"))
        await server.stop()
        calls = [asyncio.create_task(expert.complete(ChatRequest(user="during"))) for _ in range(6)]
        await sink.seen(lambda event: event.type == "breaker" and event.state == "half_open")
        assert not any(call.done() for call in calls)
        assert models.breakers[f"vllm/expert at {server.base_url}"].state != "closed"
        await server.start()
        results = await asyncio.gather(*calls)
        assert models.breakers[f"vllm/expert at {server.base_url}"].state == "closed"
    assert all(result.text == "ok" for result in results)
    assert sink.of("breaker")[0].state == "open"
    assert sink.of("breaker")[-1].state == "closed"
    assert server.base_url in sink.of("breaker")[0].service


async def test_a_recovered_server_is_found_by_a_cheap_probe() -> None:
    server = LoopbackServer(latency_s=0.3)
    async with wired(server, breaker_failures=2) as models:
        expert = models.experts["answer-1"]
        await server.stop()
        calls = [asyncio.create_task(expert.complete(ChatRequest(user="q"))) for _ in range(8)]
        breaker = models.breakers[f"vllm/expert at {server.base_url}"]
        while breaker.state == "closed":
            await breaker.changed(1)
        await server.start()
        await asyncio.gather(*calls)
        # All of them at once, none held back by the one that tried first.
        assert server.stats.max_in_flight == 8


async def test_tries_while_a_server_is_down_use_up_no_attempts() -> None:
    sink = RecordingSink()
    server = LoopbackServer()
    async with wired(server, sink, breaker_failures=1, model_attempts=2) as models:
        await server.stop()
        call = asyncio.create_task(models.experts["answer-1"].complete(ChatRequest(user="q")))
        await sink.seen(lambda _: len(sink.of("breaker")) >= 10)
        await server.start()
        result = await call
    assert result.text == "ok"
    assert result.attempts >= 5


async def test_a_cancelled_try_does_not_hold_the_others_back() -> None:
    class Mute(LoopbackServer):
        mute = True

        def answer(self, path: str, head: bytes, body: bytes) -> Any:
            if self.mute:
                self.asked.set()
                return 0.0, Fault("hang")
            return super().answer(path, head, body)

    server = Mute()
    server.asked = asyncio.Event()
    async with wired(server, breaker_failures=1, breaker_try_s=60.0) as models:
        expert = models.experts["answer-1"]
        expert._fitting.context_tokens = 8192  # known already: only the try itself is asked of the mute server
        models.breakers[f"vllm/expert at {server.base_url}"].failed("refused")
        first = asyncio.create_task(expert.complete(ChatRequest(user="q")))
        await server.asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.mute = False
        async with asyncio.timeout(3):
            assert (await expert.complete(ChatRequest(user="q"))).text == "ok"


async def test_a_server_that_stays_down_ends_calls_as_connection_failures() -> None:
    server = LoopbackServer()
    async with wired(server, breaker_failures=2, breaker_wait_s=0.3, model_attempts=4) as models:
        await server.stop()
        async with asyncio.timeout(5):
            failures = await asyncio.gather(*(failure_of(models) for _ in range(6)))
    assert {failure.error_type for failure in failures} == {"connection"}


async def test_a_dead_replica_is_left_out_and_comes_back() -> None:
    sink = RecordingSink()
    first, second = LoopbackServer(reply=Reply(text="first")), LoopbackServer(reply=Reply(text="second"))
    async with first, second:
        both = f"vllm/expert@{first.base_url},{second.base_url}"
        models = models_for(first.base_url, sink, expert_default=both, breaker_failures=1)
        expert = models.experts["answer-1"]
        answers = [(await expert.complete(ChatRequest(user="q"))).text for _ in range(6)]
        assert set(answers) == {"first", "second"}
        await second.stop()
        answers = [(await expert.complete(ChatRequest(user="q"))).text for _ in range(10)]
        assert set(answers) == {"first"}
        await second.start()
        async with asyncio.timeout(5):
            while (await expert.complete(ChatRequest(user="q"))).text != "second":
                pass
        await models.aclose()


async def test_a_cancelled_call_gives_its_slot_and_address_back() -> None:
    server = LoopbackServer(fault=Fault("hang"))
    async with wired(server, concurrency=1) as models:
        expert = models.experts["answer-1"]
        call = asyncio.create_task(expert.complete(ChatRequest(user="q")))
        await server.arrived(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.fault = None
        async with asyncio.timeout(2):
            assert (await expert.complete(ChatRequest(user="q"))).text == "ok"


async def test_forms_go_out_as_the_server_takes_them() -> None:
    server = LoopbackServer()
    schema = {"type": "object", "properties": {"correct": {"type": "string"}}}
    async with wired(server) as models:
        await models.judge.complete(ChatRequest(user="q", form=Form(json_schema=schema, name="verdict")))
        await models.judge.complete(ChatRequest(user="q", form=Form(regex="yes|no")))
    sent = server.requests[0].body["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "schema": schema, "strict": True},
    }
    assert server.requests[1].body["structured_outputs"] == {"regex": "yes|no"}


async def test_a_lone_surrogate_hurts_neither_way() -> None:
    server = LoopbackServer(handler=lambda body: Reply(text=body["messages"][0]["content"]))
    async with wired(server) as models:
        result = await models.experts["answer-1"].complete(ChatRequest(user="a\ud800b"))
    assert result.text == "a\\ud800b"


async def test_sockets_stay_within_the_concurrency() -> None:
    servers = [LoopbackServer(latency_s=0.01) for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        models = models_for(
            servers[0].base_url,
            expert_default=f"vllm/e@{servers[1].base_url}",
            expert_search_1=f"vllm/e@{servers[2].base_url}",
            judge=f"vllm/e@{servers[3].base_url}",
            concurrency=20,
        )
        chats = [models.orchestrator, models.experts["answer-1"], models.experts["search-1"], models.judge]
        open_at_most = 0

        async def task() -> None:
            nonlocal open_at_most
            for chat in chats * 2:
                await chat.complete(ChatRequest(user="q"))
                open_at_most = max(open_at_most, sum(server.stats.open_connections for server in servers))

        await asyncio.gather(*(task() for _ in range(20)))
        await models.aclose()
    assert 20 <= open_at_most <= 20 + 32 + 8


async def test_a_model_that_always_answers_503_leaves_its_siblings_alone() -> None:
    class OneDown(LoopbackServer):
        def answer(self, path: str, head: bytes, body: bytes) -> Any:
            if b'"down"' in body:
                return 0.0, Fault("status", 503)
            return super().answer(path, head, body)

    async with OneDown() as server:
        own = f"vllm/down@{server.base_url}"
        models = models_for(
            server.base_url, expert_search_1=own, expert_concurrency=2, breaker_failures=2, breaker_wait_s=30.0
        )
        healthy, dead = models.experts["answer-1"], models.experts["search-1"]
        waiting = [asyncio.create_task(dead.complete(ChatRequest(user="q"))) for _ in range(8)]
        breaker = models.breakers[f"vllm/down at {server.base_url}"]
        while breaker.state == "closed":
            await breaker.changed(1)
        async with asyncio.timeout(10):
            results = await asyncio.gather(*(healthy.complete(ChatRequest(user="q")) for _ in range(32)))
        assert not any(call.done() for call in waiting)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await models.aclose()
    assert [result.text for result in results] == ["ok"] * 32
