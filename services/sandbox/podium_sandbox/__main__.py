"""`podium-sandbox serve`: read the settings, set up the log, serve until a signal to stop."""

import argparse
import asyncio
import logging
import math
import platform
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError
from pythonjsonlogger.json import JsonFormatter

from podium_sandbox.api.app import create_app
from podium_sandbox.isolation import libc
from podium_sandbox.process.supervisor import Supervisor, TooLittleIsolation
from podium_sandbox.process.zygote_client import SandboxBroken
from podium_sandbox.settings import SandboxSettings

NOT_STARTED = 1
BAD_SETTINGS = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="podium-sandbox", description="Runs Python programs in isolation. Settings: SANDBOX_* variables."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve POST /run, GET /health and GET /metrics")
    serve.add_argument("--host", help="address (SANDBOX_HOST)")
    serve.add_argument("--port", type=int, help="port (SANDBOX_PORT)")
    arguments = parser.parse_args()
    if platform.system() != "Linux":
        print(f"podium-sandbox: isolation needs Linux, not {platform.system()}: run it in a container", file=sys.stderr)
        sys.exit(BAD_SETTINGS)
    given = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    try:
        settings = SandboxSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            where = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"SANDBOX_{where}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
        sys.exit(BAD_SETTINGS)
    _log_to_stderr(settings.log_level)
    sys.exit(asyncio.run(_serve(settings)))


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"asctime": "ts"})
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _Server(uvicorn.Server):
    """Sets `stopping` drain_s after the signal to stop: the application then answers what is left itself."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, drain_s: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_s, self._stopping.set)


async def _serve(settings: SandboxSettings) -> int:
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # a program of the same user must not read this process
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: None)  # uvicorn raises what it caught once more after draining
    supervisor = Supervisor(settings)
    try:
        await supervisor.start()
    except (TooLittleIsolation, SandboxBroken, OSError) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    stopping = asyncio.Event()
    config = uvicorn.Config(
        create_app(settings, supervisor, stopping),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_s + settings.grace_s),
    )
    try:
        await _Server(config, stopping, settings.drain_s).serve()
    finally:
        await supervisor.close()
    return 0


if __name__ == "__main__":
    main()
