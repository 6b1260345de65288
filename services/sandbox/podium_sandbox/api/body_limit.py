"""Refuses a request whose body is too long, announced or found so as its chunks arrive, or does not arrive in time.

Starlette's RequestBodyLimitMiddleware counts too, but its answer to an announced length is plain text that names no
setting and that an exception handler cannot replace.
"""

import asyncio
from contextlib import suppress

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podium_sandbox.settings import SandboxSettings


class BodyLimit:
    """A body has a longest length and a longest time; when `stopping` is set none is waited for."""

    def __init__(self, app: ASGIApp, settings: SandboxSettings, stopping: asyncio.Event) -> None:
        self._app = app
        self._settings = settings
        self._stopping = stopping
        self._limit = 6 * settings.code_bytes + 4096  # JSON may write one byte as six
        allowed = f"SANDBOX_CODE_BYTES={settings.code_bytes} allows {self._limit} bytes in all"
        self._detail = f"the request is too long: {allowed}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._limit):
            await JSONResponse({"detail": self._detail}, 413)(scope, receive, send)
            return
        received = 0
        whole = False
        deadline = asyncio.get_running_loop().time() + self._settings.body_timeout_s

        async def counted() -> Message:
            nonlocal received, whole
            message = await (receive() if whole else self._in_time(receive, deadline))
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._limit:
                raise HTTPException(413, self._detail)
            return message

        await self._app(scope, counted, send)

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        tasks = asyncio.ensure_future(receive()), asyncio.ensure_future(self._stopping.wait())
        try:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                return tasks[0].result()
            if self._stopping.is_set():
                retry = {"Retry-After": str(self._settings.retry_after_s)}
                raise HTTPException(503, "the service is stopping", retry)
            raise HTTPException(
                408, f"the request did not arrive within SANDBOX_BODY_TIMEOUT_S={self._settings.body_timeout_s:g}"
            )
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
