"""What a server answered, whole or streamed: text, reasoning, tool calls, usage, timings. None where it did not say."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
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
        Failure: bad_response (no JSON, no choice, nothing said at all) or content_filter. With may_be_empty a message
            without content, reasoning and calls passes if the server counts tokens for it: the model did answer.
    """
    body = _object(loads(raw), "the answer")
    if "error" in body and not body.get("choices"):
        raise Failure("bad_response", f"an error with status 200: {_shown(body['error'])}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Failure("bad_response", "the answer holds no choices")
    choice = _object(cast("list[Any]", choices)[0], "the first choice")
    message = _object(choice.get("message"), "the message")
    usage = _usage(body.get("usage"))
    return _answer(
        content=message.get("content"),
        reasoning=message.get("reasoning") or message.get("reasoning_content"),
        refusal=message.get("refusal"),
        calls=_calls(message.get("tool_calls")),
        finish=choice.get("finish_reason"),
        model=body.get("model"),
        usage=usage,
        times=_times(body.get("metrics")),
        may_be_empty=may_be_empty,
    )


@dataclass(slots=True)
class _Call:
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class StreamedAnswer:
    """Gathers the chunks of a stream."""

    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    finish: str | None = None
    model: str | None = None
    usage: Usage = field(default_factory=Usage)
    times: ServerTimes | None = None
    done: bool = False

    def add(self, data: bytes) -> bool:
        """Take one event's data; True when it brought a token (text, reasoning or part of a call).

        Raises:
            Failure: bad_response, for data that is no chunk; server_error, for an error in the stream.
        """
        if data == b"[DONE]":
            self.done = True
            return False
        chunk = _object(loads(data), "a chunk")
        if chunk.get("error"):
            raise Failure("server_error", f"the stream ended in an error: {_shown(chunk['error'])}")
        self.model = chunk.get("model") or self.model
        if chunk.get("usage"):
            self.usage = _usage(chunk["usage"])
        self.times = _times(chunk.get("metrics")) or self.times
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return False
        choice = _object(cast("list[Any]", choices)[0], "a choice")
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice.get("delta")
        return self._add_delta(cast("Json", delta)) if isinstance(delta, dict) else False

    def _add_delta(self, delta: Json) -> bool:
        before = len(self.text) + len(self.reasoning) + len(self.refusal)
        for value, parts in (
            (delta.get("content"), self.text),
            (delta.get("reasoning") or delta.get("reasoning_content"), self.reasoning),
            (delta.get("refusal"), self.refusal),
        ):
            if isinstance(value, str) and value:
                parts.append(value)
        brought = len(self.text) + len(self.reasoning) + len(self.refusal) > before
        calls = delta.get("tool_calls")
        for at, raw in enumerate(cast("list[Any]", calls) if isinstance(calls, list) else []):
            part = _object(raw, "a tool call")
            index = part.get("index")
            call = self.calls.setdefault(index if isinstance(index, int) else at, _Call())
            function = part.get("function")
            if isinstance(function, dict):
                named = cast("Json", function)
                call.name = call.name or str(named.get("name") or "")
                if named.get("arguments"):
                    call.arguments.append(_arguments(named["arguments"]))
                brought = True
        return brought

    def result(self, *, may_be_empty: bool) -> Answer:
        """The whole answer.

        Raises:
            Failure: as parse_answer; `connection` when the stream broke off.
        """
        if self.finish is None and not self.done:
            raise Failure("connection", "the stream ended before the answer did")
        calls = tuple(ToolInvocation(one.name, "".join(one.arguments)) for _, one in sorted(self.calls.items()))
        return _answer(
            content="".join(self.text) or None,
            reasoning="".join(self.reasoning) or None,
            refusal="".join(self.refusal) or None,
            calls=calls,
            finish=self.finish,
            model=self.model,
            usage=self.usage,
            times=self.times,
            may_be_empty=may_be_empty,
        )


async def sse_data(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each server-sent event, which OpenAI's protocol writes on one line."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


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
        except ValueError as error:
            shown = " ".join(raw[:200].decode("utf-8", "replace").split())
            raise Failure("bad_response", f"the answer is no JSON ({error}): {shown!r}") from error


def _answer(
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
        calls.append(ToolInvocation(str(named.get("name") or ""), _arguments(named.get("arguments"))))
    return tuple(calls)


def _arguments(raw: Any) -> str:
    if raw is None:
        return ""
    return raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)


def _usage(raw: Any) -> Usage:
    if not isinstance(raw, dict):
        return Usage()
    usage = cast("Json", raw)
    cached = _whole(_inner(usage, "prompt_tokens_details").get("cached_tokens"))
    return Usage(
        prompt=_whole(usage.get("prompt_tokens")),
        cached=cached if cached is not None else _whole(usage.get("cached_tokens")),
        completion=_whole(usage.get("completion_tokens")),
        reasoning=_whole(_inner(usage, "completion_tokens_details").get("reasoning_tokens")),
    )


def _times(raw: Any) -> ServerTimes | None:
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
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise Failure("bad_response", f"{what} is no JSON object: {_shown(value)}")
    return cast("Json", value)


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:300]
