"""One call of Tavily's protocol: bounded, its failure named, and none made while the server asks for a pause."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import httpx2
import orjson
from podium_contracts.retry_after import retry_after_s

from podium_retrieval.outgoing import describe_failure, without_key

_LOG = logging.getLogger(__name__)

WebError = Literal["auth", "rate_limit", "plan_limit", "timeout", "connection", "bad_answer", "server_error", "refused"]
"""Why the web gave nothing, as in X-Podium-Web-Error."""
_BY_STATUS: Final[Mapping[int, WebError]] = {
    401: "auth",
    403: "auth",
    408: "timeout",
    429: "rate_limit",
    432: "plan_limit",  # Tavily's own: the plan's or the key's limit is used up
    433: "plan_limit",  # Tavily's own: so is the limit of pay-as-you-go
    504: "timeout",
}
_PLAN_PAUSE_S: Final = 600.0
"""After a plan's limit, where the server names no time: someone may raise the limit meanwhile."""
_LONGEST_PAUSE_S: Final = 3600.0
"""Of any pause, so that an answer's number cannot turn the web off for good."""
_UNSENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.InvalidURL,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


class WebFailed(Exception):
    """No web results, and why; the request goes on with what the corpus gave."""

    def __init__(self, why: WebError, message: str) -> None:
        super().__init__(message)
        self.why: WebError = why


class Refused(WebFailed):
    """The server did not take the request, or was not asked, and charges nothing for it."""


class Tavily:
    """POST of JSON under one key. A pause that one answer asks for holds for all calls, as the limit is the key's."""

    def __init__(
        self, base_url: str, key: str, *, connections: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._max_bytes = max_bytes
        self._clock = clock
        self._paused_until = float("-inf")
        self._paused_by: WebError = "rate_limit"
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
        )

    async def post(self, path: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The object that the server answers.

        Raises:
            WebFailed: any other outcome; Refused where it costs nothing.
        """
        left = self._paused_until - self._clock()
        if left > 0:
            raise Refused(self._paused_by, f"{path} was not asked: after a {self._paused_by}, paused for {left:.0f} s")
        content = bytearray()
        try:
            async with self._client.stream(
                "POST",
                self._base_url + path,
                content=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
                timeout=timeout_s,
            ) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > self._max_bytes:
                        break
        except _UNSENT as error:
            raise Refused("connection", f"{path}: {describe_failure(error, self._key)}") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            why: WebError = "timeout" if isinstance(error, httpx2.TimeoutException) else "connection"
            raise WebFailed(why, f"{path}: {describe_failure(error, self._key)}") from None
        if response.status_code != 200:
            raise self._refused(path, response, bytes(content))
        if len(content) > self._max_bytes:
            raise WebFailed("bad_answer", f"{path} answered more than {self._max_bytes} bytes")
        try:
            parsed: Any = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise WebFailed("bad_answer", f"{path} answered no JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise WebFailed("bad_answer", f"{path} answered no JSON object")
        return parsed

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _refused(self, path: str, response: httpx2.Response, content: bytes) -> Refused:
        """The failure that a status is; begins the pause that the answer asks for."""
        status = response.status_code
        why: WebError = _BY_STATUS.get(status) or ("server_error" if status >= 500 else "refused")
        pause = retry_after_s(response.headers) or (_PLAN_PAUSE_S if why == "plan_limit" else 0.0)
        message = without_key(content.decode(errors="replace"), self._key)[:200]
        if pause and (why in ("rate_limit", "plan_limit") or status == 503):
            until = self._clock() + min(pause, _LONGEST_PAUSE_S)
            if until > self._paused_until:
                self._paused_until, self._paused_by = until, why
            _LOG.warning("the web is not asked for %.0f s: %s answered %d", min(pause, _LONGEST_PAUSE_S), path, status)
        return Refused(why, f"{path} answered {status}: {message}")
