"""A real HTTP server on the loopback that speaks the OpenAI chat protocol, holds callers to rules, and breaks on order.

Three uses:
- in a test: `async with LoopbackServer(rules=Rules(temperature=False)) as server: … server.base_url`;
- as a process: `python eval/tests/loopback/openai_server.py --latency 2` (the first line it prints is its address);
- steered from another process: POST /_loopback with {"latency_s", "fault", "faults", "every", "script"}, and
  GET /_loopback for its counters.

Beside /v1/chat/completions (streaming too) it answers /v1/models, /tokenize, /detokenize, /health, /metrics, and, so
that one stub can stand behind a whole run, /retrieve and /run. Requests that name no rule and no fault are answered
from bytes made once: the server's own cost for a call must not be what a benchmark measures.

Its token is a whitespace-separated word: what a prompt costs can be counted by hand.
"""

import argparse
import asyncio
import contextlib
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

OPENAI_FIELDS = frozenset(
    {"messages", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stream", "stop"}
    | {"stream_options", "seed", "tools", "tool_choice", "parallel_tool_calls", "response_format", "user"}
    | {"reasoning_effort", "verbosity", "logprobs", "frequency_penalty", "presence_penalty", "store", "metadata"}
)
"""What api.openai.com takes; anything else is answered 400 when Rules.strict_fields is set."""

FaultKind = Literal[
    "status",
    "hang",
    "reset",
    "half_body",
    "half_json",
    "empty_choices",
    "null_content",
    "huge",
    "html",
    "no_usage",
    "stall",
]


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    status: an HTTP error `status` with `body` and Retry-After; hang: nothing is ever sent; reset: the connection is
    aborted before a byte; half_body: Content-Length promises twice what comes; half_json: a whole HTTP answer whose
    JSON stops in the middle; huge: `size` bytes of text in one answer; html: a proxy's 200 page; stall: headers and
    half of the body, then silence.
    """

    kind: FaultKind
    status: int = 500
    retry_after: str | None = None
    body: str | None = None
    size: int = 40 * 1024 * 1024

    @classmethod
    def parse(cls, spec: "str | dict[str, Any]") -> "Fault":
        """From a dict, or text such as `hang`, `status=503`, `status=429,retry_after=2`, `huge,size=1000`."""
        if isinstance(spec, dict):
            return cls(**spec)
        values: dict[str, Any] = {}
        for part in spec.split(","):
            name, _, value = part.partition("=")
            if name in ("status", "size"):
                values[name] = int(value)
                if name == "status":
                    values.setdefault("kind", "status")
            elif name in ("retry_after", "body"):
                values[name] = value
            else:
                values["kind"] = name
        return cls(**values)


@dataclass(frozen=True)
class Rules:
    """What the server refuses, each with the status and body that such servers send."""

    api_key: str | None = None
    models: tuple[str, ...] = ()
    """Empty: any name is served."""
    max_tokens_field: Literal["any", "max_tokens", "max_completion_tokens"] = "any"
    temperature: bool = True
    system_role: bool = True
    tools: bool = True
    tool_choice: bool = True
    """False: only tool_choice auto (or none given) is taken."""
    images: bool = True
    strict_fields: bool = False
    """True: fields that OpenAI does not know (chat_template_kwargs, structured_outputs, …) are refused."""
    chat_template_kwargs: tuple[str, ...] | None = None
    """Not None: chat_template_kwargs must be there and hold these keys."""
    response_format: bool = True
    structured_outputs: bool = True
    reasoning_effort: tuple[str, ...] | None = None
    """Not None: the values taken; empty: the field is refused. None: anything is taken."""
    stream: Literal["any", "only", "never"] = "any"
    stream_options: bool = True
    context_tokens: int | None = None
    metrics: bool = True
    """vLLM's per-request timings in the answer."""
    error_style: Literal["openai", "vllm", "together", "plain"] = "openai"

    @property
    def none(self) -> bool:
        """Nothing is refused, so a request need not be read."""
        return self == Rules(metrics=self.metrics)


@dataclass(frozen=True)
class Reply:
    """One answer of the model."""

    text: str | None = "ok"
    reasoning: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as a string)"""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    """None: the request's words."""
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None
    """None: the model that was asked for."""
    queue_ms: float = 1.0
    prefill_ms: float = 2.0
    decode_ms: float = 3.0
    latency_s: float | None = None
    chunk_s: float = 0.0
    """Between the chunks of a streamed answer."""
    legacy_reasoning: bool = False
    """The reasoning goes into reasoning_content rather than reasoning."""

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "Reply":
        calls = raw.get("tool_calls", ())
        return cls(**{**raw, "tool_calls": tuple((name, arguments) for name, arguments in calls)})


@dataclass
class Rule:
    """For requests whose raw body holds every text of `contains` and none of `absent`: these replies.

    One reply: always that. Several: one after the other, counted apart for each value that the regular expression
    `key` finds in the body (its whole match), and the last one again when they are used up.
    """

    replies: Sequence[Reply]
    contains: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    key: str | None = None
    path: str = "/v1/chat/completions"

    def __post_init__(self) -> None:
        self._contains = tuple(text.encode() for text in self.contains)
        self._absent = tuple(text.encode() for text in self.absent)
        self._key = re.compile(self.key.encode()) if self.key else None
        self._count: Counter[bytes] = Counter()
        self._ready: dict[tuple[int, Rules], bytes] = {}

    def fits(self, body: bytes) -> bool:
        return all(text in body for text in self._contains) and not any(text in body for text in self._absent)

    def pick(self, body: bytes) -> int:
        """The number of the reply that is due."""
        if len(self.replies) == 1:
            return 0
        found = self._key.search(body) if self._key else None
        key = found.group() if found else b""
        at = self._count[key]
        self._count[key] += 1
        return min(at, len(self.replies) - 1)

    def ready(self, at: int, rules: Rules) -> bytes:
        """The reply as bytes of a whole HTTP answer, made once."""
        ready = self._ready.get((at, rules))
        if ready is None:
            ready = self._ready[at, rules] = http(200, render(self.replies[at], {}, rules))
        return ready

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "Rule":
        return cls(
            replies=[Reply.parse(reply) for reply in raw["replies"]],
            contains=tuple(raw.get("contains", ())),
            absent=tuple(raw.get("absent", ())),
            key=raw.get("key"),
        )


@dataclass(frozen=True)
class Recorded:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


_STREAMED = re.compile(rb'"stream":\s*true')
_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def http(status: int, body: bytes, content_type: str = "application/json", headers: str = "") -> bytes:
    """A whole HTTP/1.1 answer."""
    head = (
        f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}\r\n"
        f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


def words(body: dict[str, Any]) -> int:
    """The prompt's size by this server's tokenizer: words of all text parts of all messages."""
    total = 0
    for message in body.get("messages", ()):
        content = message.get("content")
        if isinstance(content, str):
            total += len(content.split())
        elif isinstance(content, list):
            total += sum(len(part.get("text", "").split()) for part in content)
    return total


def render(reply: Reply, body: dict[str, Any], rules: Rules) -> bytes:
    """The JSON of a non-streaming answer."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content" if reply.legacy_reasoning else "reasoning"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments) in enumerate(reply.tool_calls)
        ]
    answer: dict[str, Any] = {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1,
        "model": reply.model or body.get("model", "loopback"),
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply)}],
        "usage": _usage(reply, body),
    }
    if rules.metrics:
        answer["metrics"] = _metrics(reply)
    return orjson.dumps(answer)


def _finish(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _usage(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    prompt = words(body) if reply.prompt_tokens is None else reply.prompt_tokens
    done = len((reply.text or "").split()) if reply.completion_tokens is None else reply.completion_tokens
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": done, "total_tokens": prompt + done}
    if reply.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": reply.cached_tokens}
    if reply.reasoning_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reply.reasoning_tokens}
    return usage


def _metrics(reply: Reply) -> dict[str, float]:
    return {
        "queue_time_ms": reply.queue_ms,
        "time_to_first_token_ms": reply.prefill_ms,
        "generation_time_ms": reply.decode_ms,
        "mean_itl_ms": 0.5,
        "tokens_per_second": 1000.0,
    }


def chunks(reply: Reply, body: dict[str, Any], rules: Rules) -> list[bytes]:
    """The server-sent events of a streamed answer, each a `data:` block."""
    head = {"id": "chatcmpl-loopback", "object": "chat.completion.chunk", "created": 1}
    head["model"] = reply.model or body.get("model", "loopback")

    def block(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"

    blocks = [block({"role": "assistant", "content": ""})]
    if reply.reasoning is not None:
        blocks.append(block({"reasoning_content" if reply.legacy_reasoning else "reasoning": reply.reasoning}))
    text = reply.text or ""
    blocks.extend(block({"content": text[at : at + 16]}) for at in range(0, len(text), 16))
    for index, (name, arguments) in enumerate(reply.tool_calls):
        call = {"index": index, "id": f"call_{index}", "type": "function"}
        blocks.append(block({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}))
        blocks.extend(
            block({"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + 8]}}]})
            for at in range(0, len(arguments), 8)
        )
    blocks.append(block({}, _finish(reply)))
    if (body.get("stream_options") or {}).get("include_usage"):
        last: dict[str, Any] = {**head, "choices": [], "usage": _usage(reply, body)}
        if rules.metrics:
            last["metrics"] = _metrics(reply)
        blocks.append(b"data: " + orjson.dumps(last) + b"\n\n")
    blocks.append(b"data: [DONE]\n\n")
    return blocks


def _error(rules: Rules, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
    """An error body in the manner of the server that is being stood in for."""
    if rules.error_style == "plain":
        return http(status, message.encode(), "text/plain")
    if rules.error_style == "vllm":
        kind = "NotFoundError" if status == 404 else "BadRequestError"
        error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": status}
    elif rules.error_style == "together":
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    else:
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return http(status, orjson.dumps({"error": error}))


def refusal(rules: Rules, headers: dict[str, str], body: dict[str, Any]) -> bytes | None:
    """The error answer to a request that breaks a rule; None when it breaks none."""
    if rules.api_key is not None and headers.get("authorization") != f"Bearer {rules.api_key}":
        return _error(rules, 401, "Incorrect API key provided.", "invalid_api_key")
    model = body.get("model")
    if rules.models and model not in rules.models:
        return _error(rules, 404, f"The model `{model}` does not exist.", "model_not_found", "model")

    def unsupported(name: str, hint: str = "") -> bytes:
        message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
        return _error(rules, 400, message, "unsupported_parameter", name)

    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
    if rules.max_tokens_field != "any" and other[rules.max_tokens_field] in body:
        return unsupported(other[rules.max_tokens_field], f" Use '{rules.max_tokens_field}' instead.")
    if not rules.temperature and body.get("temperature", 1) != 1:
        return unsupported("temperature", " Only the default (1) value is supported.")
    messages = body.get("messages") or []
    if not rules.system_role and any(message["role"] in ("system", "developer") for message in messages):
        return _error(rules, 400, "System role not supported", "invalid_value", "messages")
    if not rules.tools and "tools" in body:
        return unsupported("tools")
    if not rules.tool_choice and body.get("tool_choice", "auto") not in ("auto", "none"):
        return unsupported("tool_choice")
    if not rules.images and any(isinstance(message.get("content"), list) for message in messages):
        return _error(rules, 400, "This model does not support image inputs.", "invalid_value", "messages")
    if rules.strict_fields and (unknown := sorted(set(body) - OPENAI_FIELDS)):
        return _error(rules, 400, f"Unrecognized request argument supplied: {unknown[0]}", None)
    if rules.chat_template_kwargs is not None:
        given = body.get("chat_template_kwargs") or {}
        if missing := [name for name in rules.chat_template_kwargs if name not in given]:
            return _error(rules, 400, f"chat_template_kwargs lacks {missing[0]}", None)
    if not rules.response_format and "response_format" in body:
        return unsupported("response_format")
    if not rules.structured_outputs and "structured_outputs" in body:
        return unsupported("structured_outputs")
    if rules.reasoning_effort is not None and "reasoning_effort" in body:
        if not rules.reasoning_effort:
            return unsupported("reasoning_effort")
        if body["reasoning_effort"] not in rules.reasoning_effort:
            return _error(rules, 400, "Unsupported value: 'reasoning_effort'", "unsupported_value", "reasoning_effort")
    if rules.stream == "only" and not body.get("stream"):
        return _error(rules, 400, "This model only supports stream mode, please enable the stream parameter.")
    if rules.stream == "never" and body.get("stream"):
        return unsupported("stream")
    if not rules.stream_options and "stream_options" in body:
        return unsupported("stream_options")
    if rules.context_tokens is not None:
        prompt, limit = words(body), rules.context_tokens
        output = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        if prompt + output > limit:
            return _error(
                rules,
                400,
                f"This model's maximum context length is {limit} tokens. However, you requested {prompt + output} "
                f"tokens ({prompt} in the messages, {output} in the completion).",
                "context_length_exceeded",
                "messages",
            )
    return None


@dataclass
class Stats:
    """Counters of a server, all from its start."""

    requests: int = 0
    chat_requests: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    open_connections: int = 0
    max_open_connections: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])


class LoopbackServer:
    """The server; every attribute may be changed while it runs.

    Args:
        rules: what is refused.
        reply: the answer where no rule of `script` and no `handler` says otherwise.
        script: rules tried in order on the raw body.
        handler: called with the parsed body; its Reply (or Fault) is sent, None falls through to the script.
        faults: used up one by one by the next chat requests, before anything else.
        fault: what every chat request meets once `faults` is empty; `every` = n leaves n - 1 of n alone.
        path_faults: path (such as /retrieve) -> what every `every`-th request to it meets.
        latency_s: between the request's arrival and the answer.
        record: keep every chat request in `requests`.
    """

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        reply: Reply | None = None,
        script: Sequence[Rule] = (),
        handler: "Callable[[dict[str, Any]], Reply | Fault | None] | None" = None,
        faults: Sequence[Fault] = (),
        fault: Fault | None = None,
        every: int = 1,
        path_faults: "dict[str, Fault] | None" = None,
        latency_s: float = 0.0,
        record: bool = True,
        model: str = "loopback",
        context_tokens: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.rules = rules or Rules()
        self.reply = reply or Reply()
        self.script = list(script)
        self.handler = handler
        self.faults = deque(faults)
        self.fault = fault
        self.every = every
        self.path_faults = path_faults or {}
        self.latency_s = latency_s
        self.record = record
        self.model = model
        self.context_tokens = context_tokens
        self.documents: list[dict[str, Any]] = [
            {"document": {"id": f"d{n}", "title": f"T{n}", "contents": f"Passage {n}. {'word ' * 60}"}, "score": 0.9}
            for n in range(3)
        ]
        self.execution: dict[str, Any] = {
            "status": "ok",
            "exit_code": 0,
            "stdout": "42\n",
            "stderr": "",
            "duration_ms": 1.0,
            "truncated": False,
        }
        self.requests: list[Recorded] = []
        self.stats = Stats()
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._default: tuple[Reply, Rules, bytes] | None = None
        self._fault_count = 0

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        """http://host:port, without /v1."""
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"{self.address}/v1"

    async def start(self) -> None:
        """Listen; after stop() on the same port again, as a restarted service would."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self._host, self._port, backlog=4096, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and abort every connection, as a killed process does."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> "LoopbackServer":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def arrived(self, n: int) -> None:
        """Return once n chat requests in all have come in."""
        if self.stats.chat_requests < n:
            future = asyncio.get_running_loop().create_future()
            self._waiters.append((n, future))
            await future

    def _arrived(self) -> None:
        ready = [future for n, future in self._waiters if self.stats.chat_requests >= n]
        self._waiters = [(n, future) for n, future in self._waiters if self.stats.chat_requests < n]
        for future in ready:
            if not future.done():
                future.set_result(None)

    def _next_fault(self) -> Fault | None:
        if self.faults:
            return self.faults.popleft()
        if self.fault is None:
            return None
        self._fault_count += 1
        return self.fault if self._fault_count % self.every == 0 else None

    def default_bytes(self) -> bytes:
        """The default reply as a whole HTTP answer, remade when reply or rules have changed."""
        if self._default is None or self._default[0] is not self.reply or self._default[1] is not self.rules:
            self._default = (self.reply, self.rules, http(200, render(self.reply, {}, self.rules)))
        return self._default[2]

    def answer(self, path: str, head: bytes, body: bytes) -> "tuple[float, bytes | Fault | _Stream]":
        """(seconds to wait, what to send)."""
        if path.startswith("/v1/chat/completions"):
            self.stats.chat_requests += 1
            if self._waiters:
                self._arrived()
            return self._chat(head, body)
        if path in self.path_faults:
            self._fault_count += 1
            if self._fault_count % self.every == 0:
                return 0.0, self.path_faults[path]
        return 0.0, self._other(path, head, body)

    def _chat(self, head: bytes, body: bytes) -> "tuple[float, bytes | Fault | _Stream]":
        latency = self.latency_s
        if (self.faults or self.fault is not None) and (fault := self._next_fault()) is not None:
            if self.record:
                self.requests.append(Recorded("/v1/chat/completions", _headers(head), orjson.loads(body)))
            return latency, fault
        if not self.record and self.handler is None and self.rules.none and not _STREAMED.search(body):
            for rule in self.script:
                if rule.fits(body):
                    at = rule.pick(body)
                    chosen = rule.replies[at].latency_s
                    return latency if chosen is None else chosen, rule.ready(at, self.rules)
            chosen = self.reply.latency_s
            return latency if chosen is None else chosen, self.default_bytes()
        headers, parsed = _headers(head), orjson.loads(body)
        if self.record:
            self.requests.append(Recorded("/v1/chat/completions", headers, parsed))
        if (refused := refusal(self.rules, headers, parsed)) is not None:
            return 0.0, refused
        reply = self.handler(parsed) if self.handler is not None else None
        if isinstance(reply, Fault):
            return latency, reply
        if reply is None:
            reply = next((rule.replies[rule.pick(body)] for rule in self.script if rule.fits(body)), self.reply)
        if reply.latency_s is not None:
            latency = reply.latency_s
        if parsed.get("stream"):
            return latency, _Stream(chunks(reply, parsed, self.rules), reply.chunk_s)
        return latency, http(200, render(reply, parsed, self.rules))

    def _other(self, path: str, head: bytes, body: bytes) -> bytes:
        if path == "/v1/models":
            if self.rules.api_key is not None and _headers(head).get("authorization") != f"Bearer {self.rules.api_key}":
                return _error(self.rules, 401, "Incorrect API key provided.", "invalid_api_key")
            entry: dict[str, Any] = {"id": self.model, "object": "model", "owned_by": "loopback"}
            if self.context_tokens is not None:
                entry["max_model_len"] = self.context_tokens
            return http(200, orjson.dumps({"object": "list", "data": [entry]}))
        if path == "/health":
            return http(200, b"{}")
        if path == "/metrics":
            return http(200, b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n", "text/plain")
        if path == "/tokenize":
            parts = orjson.loads(body)["prompt"].split()
            self._vocabulary = parts
            count = {"count": len(parts), "max_model_len": self.context_tokens, "tokens": list(range(len(parts)))}
            return http(200, orjson.dumps(count))
        if path == "/detokenize":
            parts = [self._vocabulary[token] for token in orjson.loads(body)["tokens"]]
            return http(200, orjson.dumps({"prompt": " ".join(parts)}))
        if path == "/retrieve":
            queries = orjson.loads(body)["queries"]
            return http(200, orjson.dumps([self.documents for _ in queries]), headers="x-podium-batch-size: 1\r\n")
        if path == "/run":
            return http(200, orjson.dumps(self.execution))
        if path == "/_loopback":
            if body:
                self.control(orjson.loads(body))
            statuses = {str(status): n for status, n in self.stats.statuses.items()}
            return http(200, orjson.dumps({**vars(self.stats), "statuses": statuses}))
        return http(404, b'{"error":{"message":"no such path"}}')

    def control(self, order: dict[str, Any]) -> None:
        """Change what a running server does; see the module's docstring."""
        if "latency_s" in order:
            self.latency_s = float(order["latency_s"])
        if "fault" in order:
            self.fault = None if order["fault"] is None else Fault.parse(order["fault"])
        if "faults" in order:
            self.faults = deque(Fault.parse(fault) for fault in order["faults"])
        if "every" in order:
            self.every = int(order["every"])
        if "script" in order:
            self.script = [Rule.parse(rule) for rule in order["script"]]


@dataclass(frozen=True)
class _Stream:
    blocks: list[bytes]
    chunk_s: float


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, server: LoopbackServer) -> None:
        self._owner = server
        self._buffer = bytearray()
        self._busy = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._owner._connections.add(self)
        stats = self._owner.stats
        stats.connections += 1
        stats.open_connections += 1
        stats.max_open_connections = max(stats.max_open_connections, stats.open_connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner._connections.discard(self)
        self._owner.stats.open_connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        if self._busy:
            self._busy = False
            self._owner.stats.in_flight -= 1
        self._transport = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._buffer or self._busy:
            self._buffer += data
            if self._busy:
                return
            data = bytes(self._buffer)
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = bytearray(data)
            return
        head = data[:end]
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if at < 0 and b"transfer-encoding" in lower:
            self._write(http(411, b""))
            return
        whole = end + 4 + length
        if len(data) < whole:
            self._buffer = bytearray(data)
            return
        self._buffer = bytearray(data[whole:])
        self._serve(head, data[end + 4 : whole])

    def _serve(self, head: bytes, body: bytes) -> None:
        stats = self._owner.stats
        stats.requests += 1
        stats.in_flight += 1
        if stats.in_flight > stats.max_in_flight:
            stats.max_in_flight = stats.in_flight
        self._busy = True
        path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
        if path.startswith("http://"):  # as a proxy is asked
            path = f"/{path.split('/', 3)[3]}"
        try:
            wait, what = self._owner.answer(path, head, body)
        except Exception as error:  # a bug in a test's handler: seen by the caller, not swallowed
            wait, what = 0.0, http(599, orjson.dumps({"error": {"message": f"loopback handler: {error!r}"}}))
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._send, what)
        else:
            self._send(what)

    def _send(self, what: "bytes | Fault | _Stream") -> None:
        if isinstance(what, bytes):
            self._write(what)
            self._done(int(what[9:12]))
        elif isinstance(what, Fault):
            self._fail(what)
        else:
            self._write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            self._stream(deque(what.blocks), what.chunk_s)

    def _stream(self, blocks: deque[bytes], chunk_s: float) -> None:
        while blocks:
            block = blocks.popleft()
            self._write(b"%x\r\n%b\r\n" % (len(block), block))
            if chunk_s > 0 and blocks:
                self._timer = self._loop.call_later(chunk_s, self._stream, blocks, chunk_s)
                return
        self._write(b"0\r\n\r\n")
        self._done(200)

    def _fail(self, fault: Fault) -> None:
        rules = self._owner.rules
        if fault.kind == "hang":
            return
        if fault.kind == "reset":
            self.abort()
            return
        if fault.kind == "status":
            message = fault.body if fault.body is not None else f"loopback answers {fault.status}"
            extra = "" if fault.retry_after is None else f"retry-after: {fault.retry_after}\r\n"
            body = message.encode() if message.startswith(("{", "<")) else orjson.dumps({"error": {"message": message}})
            self._write(http(fault.status, body, headers=extra))
            self._done(fault.status)
            return
        whole = render(self._owner.reply, {}, rules)
        if fault.kind in ("half_body", "stall"):
            self._write(http(200, whole)[: -len(whole) // 2])
            if fault.kind == "half_body" and self._transport is not None:
                self._transport.close()
            return
        if fault.kind == "half_json":
            body = whole[: len(whole) // 2]
        elif fault.kind == "html":
            body = b"<html><body>502 Bad Gateway</body></html>"
        elif fault.kind == "empty_choices":
            body = orjson.dumps({**orjson.loads(whole), "choices": []})
        elif fault.kind == "null_content":
            body = render(Reply(text=None), {}, rules)
        elif fault.kind == "no_usage":
            answer = orjson.loads(whole)
            del answer["usage"]
            body = orjson.dumps(answer)
        else:
            body = render(Reply(text="x" * fault.size), {}, rules)
        self._write(http(200, body, "text/html" if fault.kind == "html" else "application/json"))
        self._done(200)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _done(self, status: int) -> None:
        stats = self._owner.stats
        stats.statuses[status] += 1
        if self._busy:
            self._busy = False
            stats.in_flight -= 1
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer = bytearray()
            self.data_received(data)


async def _serve(arguments: argparse.Namespace) -> None:
    script: list[Rule] = []
    if arguments.script:
        with open(arguments.script, "rb") as file:  # noqa: ASYNC230 (before the server listens)
            script = [Rule.parse(rule) for rule in orjson.loads(file.read())]
    server = LoopbackServer(
        rules=Rules(api_key=arguments.api_key, metrics=not arguments.no_metrics),
        reply=Reply(text=arguments.text, prompt_tokens=100, completion_tokens=20),
        script=script,
        fault=Fault.parse(arguments.fault) if arguments.fault else None,
        every=arguments.every,
        latency_s=arguments.latency,
        record=False,
        model=arguments.model,
        context_tokens=arguments.context,
        port=arguments.port,
    )
    await server.start()
    sys.stdout.write(f"{server.address}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A loopback stand-in for OpenAI-compatible servers.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the address is the first line printed")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each chat answer")
    parser.add_argument("--script", help="JSON file: a list of {contains, absent, key, replies}; see Rule and Reply")
    parser.add_argument("--text", default="ok", help="the answer where no script rule fits")
    parser.add_argument("--fault", help="such as hang, status=503, status=429,retry_after=2")
    parser.add_argument("--every", type=int, default=1, help="only every n-th request meets the fault")
    parser.add_argument("--model", default="orchestrator", help="the name /v1/models gives")
    parser.add_argument("--context", type=int, default=32768, help="max_model_len in /v1/models")
    parser.add_argument("--api-key", help="demand this key")
    parser.add_argument("--no-metrics", action="store_true", help="leave vLLM's per-request timings out")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve(arguments))
        else:
            uvloop.run(_serve(arguments))


if __name__ == "__main__":
    main()
