"""/metrics of a run, over HTTP: EVAL_METRICS_PORT."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from podium_eval.settings.telemetry import TelemetrySettings
from podium_eval.telemetry.metrics import RunMetrics

_log = logging.getLogger(__name__)
_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8"


@asynccontextmanager
async def serving(settings: TelemetrySettings, metrics: RunMetrics | None) -> AsyncGenerator[None]:
    """Answer GET /metrics while the block runs. A port that cannot be had is a warning: the run goes on without."""
    if metrics is None:
        yield
        return
    host, port = settings.eval_metrics_host, settings.eval_metrics_port

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"content-type": _TYPE})

    app = web.Application()
    app.router.add_get("/metrics", page)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            _log.warning("no /metrics: EVAL_METRICS_PORT=%d on %s: %s", port, host, error)
        yield
    finally:
        await runner.cleanup()
