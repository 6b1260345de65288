"""A streamed answer, gathered from its chunks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

from podium_eval.errors import Failure
from podium_eval.models.chat import ToolInvocation
from podium_eval.models.openai.response import (
    Answer,
    Json,
    ServerTimes,
    Usage,
    answer_of,
    arguments_text,
    json_object,
    loads,
    shown,
    times_of,
    usage_of,
)


@dataclass(slots=True)
class _Call:
    index: int
    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class StreamedAnswer:
    """Gathers the chunks of a stream."""

    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    calls: list[_Call] = field(default_factory=list[_Call])
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
        chunk = json_object(loads(data), "a chunk")
        if chunk.get("error"):
            raise Failure("server_error", f"the stream ended in an error: {shown(chunk['error'])}")
        self.model = chunk.get("model") or self.model
        if chunk.get("usage"):
            self.usage = usage_of(chunk["usage"])
        self.times = times_of(chunk.get("metrics")) or self.times
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return False
        choice = json_object(cast("list[Any]", choices)[0], "a choice")
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
        for position, raw in enumerate(cast("list[Any]", calls) if isinstance(calls, list) else []):
            part = json_object(raw, "a tool call")
            function = part.get("function")
            if isinstance(function, dict):
                named = cast("Json", function)
                call = self._call(part, named, position)
                call.name = call.name or str(named.get("name") or "")
                if named.get("arguments"):
                    call.arguments.append(arguments_text(named["arguments"]))
                brought = True
        return brought

    def _call(self, part: Json, function: Json, position: int) -> _Call:
        """The call that a part belongs to: by index, unless another id or a second name says that a new one begins."""
        given: Any = part.get("index")
        index = given if isinstance(given, int) else position
        id_ = part["id"] if isinstance(part.get("id"), str) and part["id"] else None
        last = next((call for call in reversed(self.calls) if call.index == index), None)
        if last is not None:
            other_id = id_ is not None and last.id is not None and id_ != last.id
            named_again = id_ is None and bool(function.get("name")) and bool(last.arguments)
            if not other_id and not named_again:
                last.id = last.id or id_
                return last
        self.calls.append(_Call(index, id_))
        return self.calls[-1]

    def result(self, *, may_be_empty: bool) -> Answer:
        """The whole answer.

        Raises:
            Failure: as parse_answer; `connection` when the stream broke off.
        """
        if self.finish is None and not self.done:
            raise Failure("connection", "the stream ended before the answer did")
        calls = tuple(
            ToolInvocation(call.name, "".join(call.arguments))
            for call in sorted(self.calls, key=lambda call: call.index)
        )
        return answer_of(
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
