"""A prompt cut to its model's context, by the model's own tokenizer where there is one, else by an estimate."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import aiohttp
import orjson

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.models.chat import ChatRequest
from podium_eval.models.tokens import EstimateCounter, TokenizerCounter
from podium_eval.transport.pool import HttpPool

_TEMPLATE: Final = 128
"""Tokens that a chat template adds, rounded up."""
_TOOL_TEMPLATE: Final = 256
"""Tokens that a chat template adds about calling tools, beside the tools themselves."""
_IMAGE: Final = 2048
"""Tokens set aside for an image; what it really takes depends on its size and the model."""
_OUTPUT: Final = 4096
"""Tokens left for an answer whose length nothing limits, at most a quarter of the context."""
_ASK_AGAIN_S: Final = 60.0
_THREAD_CHARS: Final = 20_000
"""From here on tokenizing would hold the event loop for milliseconds, so a thread does it."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The user text to send. max_tokens: what the request asked, less what the context cannot give.

    cut_tokens is None when nothing was cut; method None when the model's context is not known.
    """

    user: str
    max_tokens: int | None
    cut_tokens: int | None
    method: Literal["tokenizer", "estimate"] | None


class ServerTokenizer:
    """vLLM's /tokenize, /detokenize and max_model_len of one served model."""

    def __init__(
        self,
        pool: HttpPool,
        address: str,
        model: str,
        headers: dict[str, str],
        timeout_s: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._pool = pool
        self._address = address
        self._root = address.removesuffix("/v1")
        self._model = model
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._clock = clock
        self._silent_until = float("-inf")
        self._length_asked = float("-inf")

    async def keep(self, text: str, limit: int, *, end: bool) -> tuple[str, int] | None:
        """`text` within `limit` tokens and how many were cut; None when the server has no tokenizer to ask."""
        if self._clock.mono() < self._silent_until:
            return None
        ask = {"model": self._model, "prompt": text, "add_special_tokens": False}
        answer = await self._post("/tokenize", ask)
        tokens = answer.get("tokens") if answer else None
        if not isinstance(tokens, list):
            return None
        ids = cast("list[int]", tokens)
        cut = len(ids) - limit
        if cut <= 0:
            return text, 0
        kept = ids[cut:] if end else ids[:limit]
        back = await self._post("/detokenize", {"model": self._model, "tokens": kept}) if limit > 0 else {"prompt": ""}
        prompt = back.get("prompt") if back else None
        return (prompt, cut) if isinstance(prompt, str) else None

    async def max_model_len(self) -> int | None:
        """The model's context length by /v1/models; None: not given. Asked at most once a minute."""
        if self._clock.mono() - self._length_asked < _ASK_AGAIN_S:
            return None
        self._length_asked = self._clock.mono()
        try:
            async with self._pool.session.get(
                f"{self._address}/models", headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                listed: Any = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        entries: Any = cast("dict[str, Any]", listed).get("data") if isinstance(listed, dict) else None
        for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
            if isinstance(entry, dict) and cast("dict[str, Any]", entry).get("id") == self._model:
                length = cast("dict[str, Any]", entry).get("max_model_len")
                return length if isinstance(length, int) else None
        return None

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            async with self._pool.session.post(
                f"{self._root}{path}",
                data=orjson.dumps(body),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status == 200:
                    answer: Any = orjson.loads(await response.read())
                    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, TypeError):
            pass
        self._silent_until = self._clock.mono() + _ASK_AGAIN_S
        return None


class Fitting:
    """Cuts the requests of one model. context_tokens None: asked of the server if it can be, else nothing is cut."""

    def __init__(
        self,
        *,
        context_tokens: int | None,
        max_output_tokens: int | None,
        default_max_tokens: int | None,
        tokenizer: TokenizerCounter | None,
        server: ServerTokenizer | None,
    ) -> None:
        self.context_tokens = context_tokens
        self._max_output = max_output_tokens
        self._default_max = default_max_tokens
        self._tokenizer = tokenizer
        self._server = server
        self._estimate = EstimateCounter()
        self._learning = asyncio.Lock()  # holds back the calls that would go out uncut while the length is asked

    async def learn(self) -> None:
        """Ask the server for its context length, where that is not known yet. Calls at one time ask once."""
        if self.context_tokens is None and self._server is not None:
            async with self._learning:
                if self.context_tokens is None:
                    self.context_tokens = await self._server.max_model_len()

    async def fit(self, request: ChatRequest) -> Fitted:
        """The request's text and answer length within the context."""
        wanted = request.max_tokens or self._default_max
        if wanted is not None and self._max_output is not None:
            wanted = min(wanted, self._max_output)
        if self.context_tokens is None:
            await self.learn()
        context = self.context_tokens
        if context is None:
            return Fitted(request.user, wanted, None, None)
        beside = _TEMPLATE + self._beside(request)
        size = self._estimate.count(request.user)
        if wanted is None:
            room = context - min(_OUTPUT, context // 4) - beside
        else:
            # An answer may take what the prompt leaves, and at least half of the context.
            wanted = min(wanted, max(context - beside - size, context // 2))
            room = context - wanted - beside
        room = max(room, 0)
        if size <= room:
            return Fitted(request.user, wanted, None, "estimate")
        text, cut, method = await self._keep(request.user, room, end=request.keep_user_end)
        return Fitted(text, wanted, cut or None, method)

    def _beside(self, request: ChatRequest) -> int:
        total = _IMAGE if request.image is not None else 0
        total += _TOOL_TEMPLATE if request.tools else 0
        if request.system is not None:
            total += self._estimate.count(request.system)
        for tool in request.tools:
            schema = orjson.dumps(dict(tool.parameters)).decode()
            total += self._estimate.count(tool.name + tool.description + schema)
        return total

    async def _keep(self, text: str, limit: int, *, end: bool) -> tuple[str, int, Literal["tokenizer", "estimate"]]:
        if self._tokenizer is not None:
            keep = self._tokenizer.keep_end if end else self._tokenizer.keep_start
            if len(text) > _THREAD_CHARS:
                return *await asyncio.to_thread(keep, text, limit), "tokenizer"
            return *keep(text, limit), "tokenizer"
        if self._server is not None and (kept := await self._server.keep(text, limit, end=end)) is not None:
            return *kept, "tokenizer"
        estimate = self._estimate
        return *(estimate.keep_end if end else estimate.keep_start)(text, limit), "estimate"
