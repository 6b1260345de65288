import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from podium_eval.errors import Failure
from podium_eval.models.openai.response import Answer, parse_answer
from podium_eval.models.openai.stream import StreamedAnswer, sse_data


def body(message: Any, **rest: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **rest}).encode()


def outcome_of(raw: bytes) -> Answer | str:
    try:
        return parse_answer(raw, may_be_empty=False)
    except Failure as failure:
        return failure.error_type


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_named_failure(raw: bytes) -> None:
    outcome = outcome_of(raw)
    assert isinstance(outcome, Answer) or outcome == "bad_response"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("content", "tool_calls", "reasoning", "refusal"), JSON),
    ),
    JSON,
    JSON,
)
def test_any_json_is_an_answer_or_a_named_failure(message: Any, usage: Any, metrics: Any) -> None:
    outcome = outcome_of(body(message, usage=usage, metrics=metrics))
    if isinstance(outcome, Answer):
        assert isinstance(outcome.text, str)
        assert all(isinstance(call.name, str) and isinstance(call.arguments, str) for call in outcome.tool_calls)
    else:
        assert outcome in ("bad_response", "content_filter")


def test_missing_numbers_are_none_not_zero() -> None:
    answer = parse_answer(body({"content": "x"}), may_be_empty=False)
    assert (answer.usage.prompt, answer.usage.completion, answer.usage.cached, answer.times) == (None,) * 4
    partial = parse_answer(
        body({"content": "x"}, usage={"prompt_tokens": 0}, metrics={"queue_time_ms": 0.0}), may_be_empty=False
    )
    assert (partial.usage.prompt, partial.usage.completion) == (0, None)
    assert partial.times is not None
    assert (partial.times.queue_ms, partial.times.prefill_ms) == (0.0, None)


def test_content_in_parts_and_arguments_as_an_object() -> None:
    message = {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
    }
    answer = parse_answer(body(message), may_be_empty=False)
    assert answer.text == "ab"
    assert answer.tool_calls[0].arguments == '{"x": 1}'


def test_an_error_with_status_200_is_no_answer() -> None:
    with pytest.raises(Failure, match="engine died"):
        parse_answer(b'{"error": {"message": "engine died"}}', may_be_empty=True)


def test_a_refusal_is_a_content_filter() -> None:
    with pytest.raises(Failure) as caught:
        parse_answer(body({"content": None, "refusal": "I cannot"}), may_be_empty=True)
    assert caught.value.error_type == "content_filter"


def test_a_lone_surrogate_in_an_answer_is_kept() -> None:
    raw = b'{"choices":[{"message":{"content":"a\\ud800b"},"finish_reason":"stop"}]}'
    assert parse_answer(raw, may_be_empty=False).text == "a\ud800b"


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_events_are_read_wherever_the_chunks_are_cut(size: int) -> None:
    data = ': comment\n\ndata: {"a": "ü"}\r\n\r\nevent: x\ndata:two\n\ndata: [DONE]'.encode()
    assert [event async for event in sse_data(chunked(data, size))] == ['{"a": "ü"}'.encode(), b"two", b"[DONE]"]


def test_a_stream_is_put_together_by_index() -> None:
    gathered = StreamedAnswer()

    def delta(**fields: Any) -> bytes:
        return json.dumps({"model": "m", "choices": [{"delta": fields}]}).encode()

    assert gathered.add(delta(role="assistant", content="")) is False
    assert gathered.add(delta(reasoning="r")) is True
    assert gathered.add(delta(tool_calls=[{"index": 1, "function": {"name": "g", "arguments": "{"}}])) is True
    assert gathered.add(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "[]"}}])) is True
    assert gathered.add(delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}])) is True
    gathered.add(b'{"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}')
    gathered.add(b'{"choices": [], "usage": {"completion_tokens": 9}}')
    gathered.add(b"[DONE]")
    answer = gathered.result(may_be_empty=False)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", "[]"), ("g", "{}")]
    assert (answer.reasoning, answer.usage.completion, answer.model) == ("r", 9, "m")


def test_a_stream_that_breaks_off_is_a_connection_failure() -> None:
    gathered = StreamedAnswer()
    gathered.add(b'{"choices": [{"delta": {"content": "half an"}}]}')
    with pytest.raises(Failure) as caught:
        gathered.result(may_be_empty=True)
    assert caught.value.error_type == "connection"


def test_an_error_in_a_stream_is_named() -> None:
    with pytest.raises(Failure) as caught:
        StreamedAnswer().add(b'{"error": {"message": "out of memory"}}')
    assert caught.value.error_type == "server_error"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-5", "1e400", "9" * 400, '"7"', "true", "null", "[]"])
def test_a_count_that_is_none_is_not_known(number: str) -> None:
    raw = body({"content": "a"}, usage={"prompt_tokens": "X", "completion_tokens": 3}, metrics={"queue_time_ms": "X"})
    answer = outcome_of(raw.replace(b'"X"', number.encode()))
    assert answer == "bad_response" or (
        isinstance(answer, Answer)
        and (answer.usage.prompt, answer.usage.completion) == (None, 3)
        and answer.times is not None
        and answer.times.queue_ms is None
    )


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"choices":' * 5000, b'{"a":' + b"9" * 9000 + b"}"])
def test_json_that_nothing_can_hold_is_a_bad_response(raw: bytes) -> None:
    assert outcome_of(raw) == "bad_response"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 7}},
        {"cached_tokens": 7},
        {"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3},
    ],
)
def test_cached_tokens_of_every_provider_are_read(usage: dict[str, Any]) -> None:
    answer = outcome_of(body({"content": "a"}, usage={"prompt_tokens": 10, **usage}))
    assert isinstance(answer, Answer)
    assert answer.usage.cached == 7


def test_an_answer_in_the_thinking_alone_is_the_answer() -> None:
    answer = outcome_of(body({"content": None, "reasoning": "Answer: 42"}))
    assert isinstance(answer, Answer)
    assert answer.text == "Answer: 42"
    cut = json.dumps({"choices": [{"message": {"content": None, "reasoning": "I think"}, "finish_reason": "length"}]})
    thinking = outcome_of(cut.encode())
    assert isinstance(thinking, Answer)
    assert thinking.text == ""


def test_parallel_calls_that_share_an_index_stay_apart() -> None:
    def part(**function: Any) -> dict[str, Any]:
        id_ = function.pop("id", None)
        return {
            "choices": [{"delta": {"tool_calls": [{"index": 0, **({"id": id_} if id_ else {}), "function": function}]}}]
        }

    for ids in (("a", "b"), (None, None)):
        stream = StreamedAnswer()
        for n, id_ in enumerate(ids):
            stream.add(json.dumps(part(id=id_, name=f"tool{n}", arguments="{")).encode())
            stream.add(json.dumps(part(arguments=f'"n": {n}}}')).encode())
        stream.add(b"[DONE]")
        calls = stream.result(may_be_empty=False).tool_calls
        assert [(call.name, call.arguments) for call in calls] == [("tool0", '{"n": 0}'), ("tool1", '{"n": 1}')]


@settings(deadline=None)
@given(st.lists(JSON | st.fixed_dictionaries({"choices": JSON}), max_size=4), st.binary(max_size=50))
def test_any_stream_is_an_answer_or_a_named_failure(chunks: list[Any], raw: bytes) -> None:
    stream = StreamedAnswer()
    error_type = "none"
    try:
        for chunk in chunks:
            stream.add(json.dumps(chunk).encode())
        stream.add(raw)
        stream.result(may_be_empty=False)
    except Failure as failure:
        error_type = failure.error_type
    assert error_type in ("none", "bad_response", "connection", "server_error", "content_filter")
