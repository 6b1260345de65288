"""Refuses a request whose body is too long, whether announced so or only found so as its chunks arrive.

Starlette's RequestBodyLimitMiddleware counts too, but its answer to an announced length is plain text that names no
setting and that an exception handler cannot replace.
"""

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """limit: bytes of a request's body; beyond, the answer is 413 with `detail`."""

    def __init__(self, app: ASGIApp, limit: int, detail: str) -> None:
        self._app = app
        self._limit = limit
        self._detail = detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._limit):
            await JSONResponse({"detail": self._detail}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, self._detail)
            return message

        await self._app(scope, counted, send)
