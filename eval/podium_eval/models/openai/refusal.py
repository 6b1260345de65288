"""Classifies provider errors by exception, HTTP status and body."""

import re
from dataclasses import dataclass
from typing import Final

import httpx2
import openai
from podium_contracts.names import ErrorType
from podium_contracts.retry_after import retry_after_s

from podium_eval.transport.error_body import is_page, said
from podium_eval.transport.pool import AnswerTooLong

_SHOWN: Final = 500
"""Characters of a server's error text in a message."""

_CONTEXT = re.compile(
    r"context[_ ]length|maximum context|context window|max_model_len|maximum model length|prompt is too long"
    r"|input is too long|too many tokens|tokens? .{0,40}exceed|max_new_tokens`? must be|longer than the (maximum|model)"
    r"|max_tokens.{0,40}too large|string_above_max_length|reduce the length",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content[_ ]?(filter|policy|management)|safety system|flagged|moderation", re.IGNORECASE)
_MODEL = re.compile(
    r"model_not_found|model_not_available|unknown model|invalid model|no such model|non-serverless model"
    r"|model.{0,80}(does not exist|not found|is not available|is not supported for|has been deprecated)"
    r"|unable to access model|endpoint.{0,60}(not found|does not exist|not running|stopped)",
    re.IGNORECASE,
)
_KEY = re.compile(r"(invalid|incorrect|missing|expired).{0,20}api[_ -]?key|api[_ -]?key.{0,20}(invalid|expired)", re.I)
_SPENT = re.compile(r"insufficient_quota|billing_hard_limit_reached|credit (limit|balance)", re.IGNORECASE)
"""Error codes of an exhausted account. The message is not enough: a transient 429 also mentions billing and quotas."""
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_BORROWED = re.compile(r"already borrowed", re.IGNORECASE)
"""A tokenizer that two requests of one server used at once (vLLM, TGI): the next attempt passes."""
_RAN_OUT = re.compile(r"could not finish the message because max_tokens", re.IGNORECASE)
_OVERLOAD = re.compile(r"overload|capacity|too many requests|rate.?limit|engine is busy|try again later", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed attempt.

    overload: the provider has too much to do (its limit is halved). silent: the address gave no answer of its own
    (its breaker counts it).
    """

    error_type: ErrorType
    message: str
    retry_after_s: float | None = None
    overload: bool = False
    silent: bool = False


def classify(error: BaseException) -> Refusal | None:
    """Name what an attempt raised; None for what is no failure of the model's server: a bug, a cancellation."""
    if isinstance(error, openai.APIStatusError):
        return _status(error)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        words = _short(str(cause)) if cause is not None else str(error)
        if isinstance(cause, httpx2.UnsupportedProtocol):
            return Refusal("bad_request", f"not an address: {words}")
        if isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout):
            return Refusal("timeout", "no answer within the time limit", silent=True)
        return Refusal("connection", words, silent=True)
    return _transport(error)


def _transport(error: BaseException) -> Refusal | None:
    """What comes up while a streamed body is read, past the openai client."""
    if isinstance(error, AnswerTooLong):
        return Refusal("bad_response", str(error))
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Refusal("timeout", "no answer within the time limit", silent=True)
    if isinstance(error, httpx2.RequestError):
        return Refusal("connection", _short(str(error)), silent=True)
    return None


def _status(error: openai.APIStatusError) -> Refusal:
    status = error.status_code
    words = said(error.response.content)
    shown = f"{status}: {_short(words)}" if words else str(status)
    wish = retry_after_s(error.response.headers)
    if status == 403 and is_page(error.response.content):
        return Refusal("bad_response", f"{shown} (of something between here and the provider)")
    if status in (401, 403):
        named = _client_error(status, words) if status == 403 else "auth"
        return Refusal("auth" if named == "bad_request" else named, shown)
    if status == 402 or (status == 429 and _SPENT.search(words)):
        return Refusal("auth", f"{shown} (the account behind the key has nothing left)")
    if status == 429 and _TOO_LARGE.search(words):
        return Refusal("bad_request", f"{shown} (one request is above the account's limit of tokens a minute)")
    if status == 429:
        return Refusal("rate_limit", shown, wish, overload=True)
    if status == 408:
        return Refusal("timeout", shown, wish)
    if status >= 500:
        gone = status in (502, 503, 504)
        # A bare 503 is one model's that is not up; the provider's limit, which its other models share, stays.
        overload = wish is not None or status == 529 or bool(_OVERLOAD.search(words))
        return Refusal("server_error", shown, wish, overload=overload, silent=gone and wish is None)
    if status in (409, 425):
        return Refusal("server_error", shown, wish, overload=wish is not None)
    if status == 400 and _BORROWED.search(words):
        return Refusal("server_error", shown)
    if status < 400:
        return Refusal("bad_response", f"{shown} (an answer of another kind was expected)")
    return Refusal(_client_error(status, words), shown)


def _client_error(status: int, words: str) -> ErrorType:
    if _CONTEXT.search(words):
        return "context_length"
    if status == 404 or _MODEL.search(words):
        return "unknown_model"
    if _FILTER.search(words):
        return "content_filter"
    if _KEY.search(words):
        return "auth"
    return "context_length" if status == 413 else "bad_request"


def ran_out(error: openai.APIStatusError) -> bool:
    """OpenAI's 400 for a model whose thinking used up all of max_completion_tokens: an answer, of length 0."""
    return error.status_code == 400 and _RAN_OUT.search(said(error.response.content)) is not None


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}…"
