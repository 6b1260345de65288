import httpx2
import openai
import pytest
from podium_eval.models.openai.refusal import Refusal, classify, said
from podium_eval.transport.pool import AnswerTooLong

REQUEST = httpx2.Request("POST", "http://h/v1/chat/completions")


def status(code: int, body: bytes = b"", **headers: str) -> Refusal:
    response = httpx2.Response(
        code, content=body, headers={name.replace("_", "-"): value for name, value in headers.items()}, request=REQUEST
    )
    refusal = classify(openai.APIStatusError("m", response=response, body=None))
    assert refusal is not None
    return refusal


@pytest.mark.parametrize(
    "words",
    [
        b'{"error":{"code":"context_length_exceeded","message":"too long"}}',
        b'{"object":"error","message":"This model\'s maximum context length is 8192 tokens. However, you asked"}',
        b'{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193"}}',
        b'{"error":{"message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192"}}',
        b'{"detail":"prompt is too long: 210000 tokens > 200000 maximum"}',
        b'{"error":{"message":"\'max_tokens\' or \'max_completion_tokens\' is too large: 9000"}}',
    ],
)
def test_servers_say_too_long_in_many_ways(words: bytes) -> None:
    assert status(400, words).error_type == "context_length"


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (
            400,
            b'{"error":{"code":"model_not_available","message":"Unable to access non-serverless model"}}',
            "unknown_model",
        ),
        (400, b'{"error":{"message":"API key not valid","code":"invalid_api_key"}}', "auth"),
        (400, b'{"error":{"code":"content_policy_violation","message":"m"}}', "content_filter"),
        (404, b"<html>nothing here</html>", "unknown_model"),
        (409, b"", "server_error"),
        (302, b"", "bad_response"),
        (451, b"", "bad_request"),
        (400, b'{"error":{"message":"Already borrowed"}}', "server_error"),
        (401, b'{"error":{"code":"model_not_found","message":"m"}}', "auth"),
        (403, b'{"error":{"message":"Country not supported"}}', "auth"),
        (
            403,
            b'{"error":{"message":"Input token count exceeds the context length"}}',
            "context_length",
        ),
        (403, b'{"error":{"code":"model_not_found","message":"Project has no access to model m"}}', "unknown_model"),
        (403, b"<!DOCTYPE html><html>Access denied by proxy</html>", "bad_response"),
        (429, b'{"error":{"message":"Limit 3 a minute. Add a payment method at /account/billing"}}', "rate_limit"),
        (429, b'{"error":{"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}', "rate_limit"),
        (429, b'{"error":{"code":"insufficient_quota","message":"check your plan and billing"}}', "auth"),
    ],
)
def test_other_client_errors(code: int, words: bytes, expected: str) -> None:
    assert status(code, words).error_type == expected


def test_words_of_a_prompt_in_an_error_are_no_quota() -> None:
    echoed = b'{"error":{"message":"invalid: messages[0] = \'my billing, my payment\'"}}'
    assert status(400, echoed).error_type == "bad_request"


def test_a_request_that_is_too_large_leaves_the_limit_alone() -> None:
    words = b'{"error":{"code":"rate_limit_exceeded","message":"Request too large: Limit 30000, Requested 40000"}}'
    refusal = status(429, words, retry_after="2")
    assert (refusal.error_type, refusal.overload, refusal.retry_after_s) == ("bad_request", False, None)


def test_overload_and_silence_are_told_apart() -> None:
    assert status(429) == Refusal("rate_limit", "429", overload=True)
    assert status(503, b"", retry_after="2") == Refusal("server_error", "503", 2.0, overload=True)
    assert status(503).silent
    assert status(500) == Refusal("server_error", "500")
    assert status(500, b'{"error":{"message":"The engine is overloaded"}}').overload


def test_exceptions_of_the_transport() -> None:
    def connection(cause: Exception) -> Refusal | None:
        error = openai.APIConnectionError(request=REQUEST)
        error.__cause__ = cause
        return classify(error)

    assert connection(httpx2.ConnectError("refused")) == Refusal("connection", "refused", silent=True)
    timed = openai.APITimeoutError(request=REQUEST)
    timed.__cause__ = httpx2.ReadTimeout("t")
    assert classify(timed) == Refusal("timeout", "no answer within the time limit", silent=True)
    slow = openai.APITimeoutError(request=REQUEST)
    slow.__cause__ = httpx2.ConnectTimeout("t")
    assert classify(slow) == Refusal("connection", "t", silent=True)
    assert classify(AnswerTooLong("long")) == Refusal("bad_response", "long")
    assert classify(ValueError("a bug")) is None


def test_a_conflict_with_retry_after_is_retried_then() -> None:
    assert status(409, b"", retry_after="2") == Refusal("server_error", "409", 2.0, overload=True)
    assert status(409, b"") == Refusal("server_error", "409")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"m","code":"c"}}', "c m"),
        (b'{"error":"plain"}', "plain"),
        (b'{"message":"vllm","type":"BadRequestError"}', "BadRequestError vllm"),
        (b"plain text ", "plain text"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[1]", "[1]"),
        (b"", ""),
    ],
)
def test_the_words_of_a_body(body: bytes, words: str) -> None:
    assert said(body) == words


def test_messages_stay_short() -> None:
    assert len(status(500, b"x" * 1_000_000).message) < 600
