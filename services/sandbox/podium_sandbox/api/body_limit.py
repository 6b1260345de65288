"""Refuses a request whose body is announced as too long, before it is read."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class BodyLimit:
    """limit: bytes of a request's body; beyond, the answer is 413."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            announced = dict(scope["headers"]).get(b"content-length", b"0")
            if announced.isdigit() and int(announced) > self._limit:
                detail = f"the request has {int(announced)} bytes; SANDBOX_CODE_BYTES allows {self._limit} in all"
                await JSONResponse({"detail": detail}, 413)(scope, receive, send)
                return
        await self._app(scope, receive, send)
