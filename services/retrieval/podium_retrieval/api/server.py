"""The process that serves: port, loop, signals."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from podium_retrieval.api.app import HttpOptions, create_app
from podium_retrieval.api.request import RequestLimits
from podium_retrieval.errors import StartError
from podium_retrieval.metrics import Metrics
from podium_retrieval.settings import Settings
from podium_retrieval.start import make_ready, make_service

_LOG = logging.getLogger(__name__)
_LAST_ANSWERS_S = 2
"""Beyond the drain, for the refusals of what was left to be written."""

_SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms lets answers being written hold up the encoder at each of its hundred operations."""


def serve(settings: Settings, announce: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish within the drain time.

    announce: called once with the start line, when everything is loaded and warm and the port answers.

    Raises:
        StartError: something is missing, wrong or taken.
    """
    listener = _bind(settings.retrieval_host, settings.retrieval_port)
    ready = make_ready(settings)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    host, port = listener.getsockname()[:2]

    async def run() -> None:
        metrics = Metrics()
        app = create_app(
            make_service(ready, metrics),
            metrics,
            HttpOptions(
                limits=RequestLimits(
                    queries=settings.most_queries,
                    query_chars=settings.retrieval_max_query_chars,
                    topk=settings.retrieval_max_topk,
                    empty=settings.retrieval_response == "search-r1",
                ),
                max_body_bytes=settings.most_body_bytes,
                shape=settings.retrieval_response,
                drain_s=settings.retrieval_drain_s,
            ),
        )
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_config=None,
            backlog=4096,
            timeout_graceful_shutdown=round(settings.retrieval_drain_s) + _LAST_ANSWERS_S,
        )
        line = {**ready.announcement(), "host": host, "port": port}
        server = _Server(config, lambda: announce(line), app.state.drain)
        await server.serve(sockets=[listener])

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


class _Server(uvicorn.Server):
    """Logs a line once connections are accepted. A signal to stop begins the drain."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None], drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce
        self._drain = drain
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._drain)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before the minutes of loading, not after; nothing is accepted until the service is ready."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise StartError(f"RETRIEVAL_HOST={host} RETRIEVAL_PORT={port} cannot be bound: {error.strerror}") from error
    listener.setblocking(False)
    return listener
