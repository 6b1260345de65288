"""Who may ask: the host's name, the token, the page's own origin; and the headers of every answer."""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podium_live.settings import LiveSettings

COOKIE: Final = "podium_live"
OWN_FILES: Final = "/made/"
"""Below it lie pages that the analysis made, in a sandbox without an origin: neither a cookie nor an origin comes with
what they load, so their address holds a secret of this process instead."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_MADE_POLICY: Final = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: LiveSettings, secret: str) -> None:
        self._app = app
        self._names = settings.names
        self._own = f"{OWN_FILES}{secret}/"
        self._token = None if settings.live_token is None else settings.live_token.get_secret_value()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        headers = Headers(scope=scope)
        own = path.startswith(self._own)
        refused = self._refused(scope, headers, own)
        answer = self._app if refused is None else refused

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(MutableHeaders(scope=message), own)
            await send(message)

        await answer(scope, receive, with_headers)

    def _refused(self, scope: Scope, headers: Headers, own: bool) -> Response | None:
        """The answer to a request that goes no further."""
        host = headers.get("host", "")
        if not self._is_known(host):
            return PlainTextResponse(f"this page is not called {host[:200]!r}: LIVE_HOSTS lists its names\n", 421)
        if own:
            return None
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("only this page's own scripts may ask\n", 403)
        if self._token is None or scope["path"] == "/health":
            return None
        return self._asked_token(scope, headers, self._token)

    def _is_known(self, host: str) -> bool:
        """An address cannot be another site's name; a name must be one of ours (DNS rebinding)."""
        name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self._names
        return True

    def _asked_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        mark = _mark(token)
        if _same(headers.get("authorization", "").removeprefix("Bearer "), token):
            return None
        if any(_same(value, mark) for value in _cookies(headers.getlist("cookie"))):
            return None
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] == "GET" and any(name == "token" and _same(value, token) for name, value in asked):
            rest = urlencode([pair for pair in asked if pair[0] != "token"])
            path = "/" + scope["path"].lstrip("/\\")  # never another host's
            target = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            target.set_cookie(COOKIE, mark, httponly=True, samesite="strict", path="/")
            return target
        return PlainTextResponse("this page asks for its token: open it once as /?token=…\n", 401)


def _mark(token: str) -> str:
    """What the cookie holds instead of the token."""
    return hmac.new(token.encode(), b"podium-live", hashlib.sha256).hexdigest()


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _cookies(lines: Iterable[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        jar = SimpleCookie()
        try:
            jar.load(line)
        except CookieError:
            continue
        found += [jar[COOKIE].value] if COOKIE in jar else []
    return found


def _protect(headers: MutableHeaders, own: bool) -> None:
    headers["Content-Security-Policy"] = _MADE_POLICY if own else _POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["X-Frame-Options"] = "DENY"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin" if own else "same-origin"
    headers.setdefault("Cache-Control", "no-store")
