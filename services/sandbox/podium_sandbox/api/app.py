"""The HTTP service: POST /run, GET /health, GET /metrics."""

import asyncio
import hashlib
import logging
import math
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from podium_sandbox.api.admission import QueueFull, Slots, WaitedTooLong
from podium_sandbox.api.body_limit import BodyLimit
from podium_sandbox.api.metrics import Metrics
from podium_sandbox.process.supervisor import Supervisor
from podium_sandbox.process.zygote_client import SandboxBroken, Unkillable
from podium_sandbox.run.outcome import Status
from podium_sandbox.run.runner import Outcome, Runner
from podium_sandbox.settings import SandboxSettings

log = logging.getLogger("podium_sandbox")

CLIENT_LEFT = 499


class RunBody(BaseModel):
    """A program to run."""

    code: str = Field(description="Python source, run as __main__.")
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Wall time in seconds; null takes the service's own."
    )


class RunAnswer(BaseModel):
    """Result of a run. exit_code: negative for a signal, null where the sandbox ended the program."""

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    duration_ms: float
    truncated: bool


class Problem(BaseModel):
    """Why a program was not run."""

    detail: str


def create_app(settings: SandboxSettings, supervisor: Supervisor, stopping: asyncio.Event) -> FastAPI:
    """The service, on a supervisor that has been started and that the caller closes.

    stopping: once set, programs that run or wait are ended and their requests answered.
    """
    runner = Runner(settings, supervisor.cgroup)
    slots = Slots(settings.slots, settings.queue, settings.queue_timeout_s)
    metrics = Metrics()
    metrics.running.set_function(lambda: slots.running)
    metrics.waiting.set_function(lambda: slots.waiting)

    metrics.restarts.set_function(lambda: supervisor.restarts)
    app = FastAPI(title="Podium sandbox", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, settings=settings, stopping=stopping)

    def refuse(status_code: int, reason: str, detail: str) -> JSONResponse:
        metrics.refused.labels(reason).inc()
        headers = {"Retry-After": str(settings.retry_after_s)} if status_code in (429, 503) else None
        return JSONResponse({"detail": detail}, status_code=status_code, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        # FastAPI's own answer repeats the input, which JSON cannot hold when it is NaN.
        problems = (f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors())
        return JSONResponse({"detail": "; ".join(problems)}, 422)

    async def execute(body: RunBody, timeout_s: float) -> tuple[Outcome, float]:
        async with slots.slot() as waited_s:
            metrics.waited.observe(waited_s)
            current = supervisor.current
            if current is None:
                raise SandboxBroken("the process that starts programs is being restarted")
            zygote, ready = current
            return await runner.run(zygote, ready, body.code, timeout_s), waited_s

    @app.post(
        "/run",
        response_model=RunAnswer,
        responses={code: {"model": Problem} for code in (408, 413, 429, 500, 503)},
    )
    async def run(body: RunBody, request: Request) -> Any:  # pyright: ignore[reportUnusedFunction]
        """Run a program and return its result. A client's disconnect ends its program."""
        timeout_s = body.timeout_s or settings.timeout_s
        if timeout_s > settings.max_timeout_s:
            return refuse(
                422, "timeout", f"timeout_s is {timeout_s:g}; SANDBOX_MAX_TIMEOUT_S allows {settings.max_timeout_s:g}"
            )
        try:
            source = body.code.encode()
        except UnicodeEncodeError as error:
            return refuse(422, "code", f"the program is no valid text: {error.reason} at character {error.start}")
        if len(source) > settings.code_bytes:
            return refuse(
                413, "code", f"the program has {len(source)} bytes; SANDBOX_CODE_BYTES allows {settings.code_bytes}"
            )
        digest = hashlib.sha256(source).hexdigest()[:16]
        work = asyncio.create_task(execute(body, timeout_s))
        leaving = asyncio.create_task(_left(request))
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({work, leaving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not leaving.done():
                log.info("run", extra={"code_sha256": digest, "status": "stopping"})
                return refuse(503, "stopping", f"the service is stopping: SANDBOX_DRAIN_S={settings.drain_s} is over")
            if not work.done():
                metrics.refused.labels("client_left").inc()
                log.info("run", extra={"code_sha256": digest, "status": "client_left"})
                return Response(status_code=CLIENT_LEFT)
            outcome, waited_s = work.result()
        except QueueFull:
            return refuse(429, "queue_full", f"{settings.slots} programs run and {settings.queue} wait")
        except WaitedTooLong:
            return refuse(503, "waited", f"no slot within SANDBOX_QUEUE_TIMEOUT_S={settings.queue_timeout_s:g}")
        except SandboxBroken as error:
            if isinstance(error, Unkillable):
                await supervisor.replace()
            log.error("run failed", extra={"code_sha256": digest, "error": str(error)})
            if supervisor.current is None:
                return refuse(503, "restarting", str(error))
            return refuse(500, "broken", str(error))
        finally:
            await _cancelled(work, leaving, stopped)
        _record(metrics, outcome, digest, waited_s, len(source))
        log.debug("program", extra={"code_sha256": digest, "code": body.code})
        return RunAnswer(
            status=outcome.status,
            exit_code=outcome.exit_code,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            duration_ms=round(outcome.duration_ms, 3),
            truncated=outcome.truncated,
        )

    @app.get("/health", responses={503: {"model": Problem}})
    async def health() -> Any:  # pyright: ignore[reportUnusedFunction]
        """200 while programs can be run: which isolation layers apply, how many programs run and wait."""
        current = supervisor.current
        if current is None:
            return JSONResponse(
                {"status": "unavailable", "detail": "the process that starts programs is being restarted"}, 503
            )
        _, ready = current
        isolation = asdict(ready.isolation)
        isolation.update({name: getattr(ready.isolation, name) for name in ("files", "network", "processes", "enough")})
        return {
            "status": "ok",
            "walls": isolation,
            "memory": "watch" if supervisor.cgroup is None else "cgroup",
            "unsafe": settings.unsafe and not ready.isolation.enough,
            "versions": ready.versions,
            "running": slots.running,
            "waiting": slots.waiting,
            "concurrency": settings.slots,
            "restarts": supervisor.restarts,
        }

    @app.get("/metrics")
    async def prometheus() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


async def _left(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what is not done and wait for it: a program's processes and files go before the request does."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _record(metrics: Metrics, outcome: Outcome, digest: str, waited_s: float, code_bytes: int) -> None:
    metrics.runs.labels(outcome.status).inc()
    metrics.seconds.labels(outcome.status).observe(outcome.duration_ms / 1000)
    metrics.startup.observe(outcome.startup_ms / 1000)
    log.info(
        "run",
        extra={
            "code_sha256": digest,
            "code_bytes": code_bytes,
            "status": outcome.status,
            "exit_code": outcome.exit_code,
            "wait_ms": round(waited_s * 1000, 1),
            "startup_ms": round(outcome.startup_ms, 1),
            "duration_ms": round(outcome.duration_ms, 1),
            "cpu_ms": None if outcome.cpu_ms is None else math.ceil(outcome.cpu_ms),
            "max_rss_bytes": outcome.max_rss_bytes,
            "output_bytes": outcome.output_bytes,
            "truncated": outcome.truncated,
        },
    )
