"""A server's answer: text, reasoning, tool calls, usage, timings. None where the server gives none."""

import json
from dataclasses import dataclass
from typing import Any, cast

import orjson

from podium_eval.errors import Failure
from podium_eval.models.chat import ToolInvocation

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """vLLM's per-request metrics, in milliseconds."""

    queue_ms: float | None
    prefill_ms: float | None
    decode_ms: float | None
    itl_ms: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens by the server's count; prompt includes cached, completion includes reasoning."""

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One assistant message. `text` is '' where the content is missing beside tool calls or reasoning."""

    text: str
    reasoning: str | None
    tool_calls: tuple[ToolInvocation, ...]
    finish_reason: str | None
    model: str | None
    usage: Usage
    times: ServerTimes | None


def parse_answer(raw: bytes, *, may_be_empty: bool) -> Answer:
    """Read a whole chat.completion.

    Raises:
        Failure: bad_response (no JSON, no choice, no content) or content_filter. With may_be_empty a message
            without content, reasoning and calls passes if the server counts tokens for it: the model did answer.
    """
    body = json_object(loads(raw), "the answer")
    if "error" in body and not body.get("choices"):
        raise Failure("bad_response", f"an error with status 200: {shown(body['error'])}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Failure("bad_response", "the answer holds no choices")
    choice = json_object(cast("list[Any]", choices)[0], "the first choice")
    message = json_object(choice.get("message"), "the message")
    usage = usage_of(body.get("usage"))
    return answer_of(
        content=message.get("content"),
        reasoning=message.get("reasoning") or message.get("reasoning_content"),
        refusal=message.get("refusal"),
        calls=_calls(message.get("tool_calls")),
        finish=choice.get("finish_reason"),
        model=body.get("model"),
        usage=usage,
        times=times_of(body.get("metrics")),
        may_be_empty=may_be_empty,
    )


def loads(raw: bytes) -> Any:
    """JSON, with lone surrogates (which orjson refuses) taken as they stand.

    Raises:
        Failure: bad_response, with the beginning of what came.
    """
    try:
        return orjson.loads(raw)
    except ValueError:
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            beginning = " ".join(raw[:200].decode("utf-8", "replace").split())
            raise Failure("bad_response", f"the answer is no JSON ({error}): {beginning!r}") from error


def answer_of(
    *,
    content: Any,
    reasoning: Any,
    refusal: Any,
    calls: tuple[ToolInvocation, ...],
    finish: Any,
    model: Any,
    usage: Usage,
    times: ServerTimes | None,
    may_be_empty: bool,
) -> Answer:
    text = _text(content)
    if not text and not calls and finish == "stop" and isinstance(reasoning, str):
        text = reasoning or text  # gpt-oss behind vLLM may end with its answer in the thinking and null beside it
    if finish == "content_filter" or (isinstance(refusal, str) and refusal and not text):
        raise Failure(
            "content_filter", f"the provider held the answer back: {refusal or 'finish_reason content_filter'}"
        )
    if text is None and not calls and not reasoning and finish != "length":
        counted = may_be_empty and (usage.completion or 0) > 0
        if not counted:
            raise Failure("bad_response", f"the answer has neither content nor tool calls (finish_reason {finish})")
    return Answer(
        text=text or "",
        reasoning=reasoning if isinstance(reasoning, str) else None,
        tool_calls=calls,
        finish_reason=finish if isinstance(finish, str) else None,
        model=model if isinstance(model, str) and model else None,
        usage=usage,
        times=times,
    )


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        parts = [cast("Json", part).get("text") for part in cast("list[Any]", content) if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _calls(raw: Any) -> tuple[ToolInvocation, ...]:
    if not isinstance(raw, list):
        return ()
    calls: list[ToolInvocation] = []
    for item in cast("list[Any]", raw):
        function = cast("Json", item).get("function") if isinstance(item, dict) else None
        named = cast("Json", function) if isinstance(function, dict) else {}
        calls.append(ToolInvocation(str(named.get("name") or ""), arguments_text(named.get("arguments"))))
    return tuple(calls)


def arguments_text(raw: Any) -> str:
    if raw is None:
        return ""
    return raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)


def usage_of(raw: Any) -> Usage:
    if not isinstance(raw, dict):
        return Usage()
    usage = cast("Json", raw)
    # OpenAI's and vLLM's field, then Together's, then DeepSeek's.
    cached = [
        _whole(value)
        for value in (
            _inner(usage, "prompt_tokens_details").get("cached_tokens"),
            usage.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
        )
    ]
    return Usage(
        prompt=_whole(usage.get("prompt_tokens")),
        cached=next((count for count in cached if count is not None), None),
        completion=_whole(usage.get("completion_tokens")),
        reasoning=_whole(_inner(usage, "completion_tokens_details").get("reasoning_tokens")),
    )


def times_of(raw: Any) -> ServerTimes | None:
    if not isinstance(raw, dict):
        return None
    metrics = cast("Json", raw)
    return ServerTimes(
        queue_ms=_number(metrics.get("queue_time_ms")),
        prefill_ms=_number(metrics.get("time_to_first_token_ms")),
        decode_ms=_number(metrics.get("generation_time_ms")),
        itl_ms=_number(metrics.get("mean_itl_ms")),
    )


def _inner(usage: Json, name: str) -> Json:
    value = usage.get(name)
    return cast("Json", value) if isinstance(value, dict) else {}


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | None:
    """A finite number that is not negative: what else a server counts or times is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e18 else None


def json_object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise Failure("bad_response", f"{what} is no JSON object: {shown(value)}")
    return cast("Json", value)


def shown(value: Any) -> str:
    return " ".join(str(value).split())[:300]
