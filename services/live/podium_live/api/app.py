"""The application: pages, streams, trajectories, reports, control."""

import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from podium_analysis.quantities import duration
from starlette.concurrency import run_in_threadpool

from podium_live.api.gate import OWN_FILES, Gate
from podium_live.api.made import Made, NotMade
from podium_live.api.pages import ASSETS, Pages
from podium_live.api.rooms import Full, Rooms
from podium_live.control import Act, Refused, perform
from podium_live.files import NotThere, run_folder
from podium_live.follow import tasks, view
from podium_live.follow.runs import Runs
from podium_live.settings import LiveSettings

ROWS: Final = 500
"""Rows of tasks in one answer."""
_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "tex": "text/plain; charset=utf-8",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with. secret: of the address of pages that the analysis made."""

    settings: LiveSettings
    runs: Runs
    rooms: Rooms
    made: Made
    pages: Pages
    secret: str


def create_app(settings: LiveSettings) -> FastAPI:
    """The application, behind its gate. app.state.parts: what it works with."""
    parts = Parts(
        settings,
        Runs(settings.runs_dir),
        Rooms(settings.live_interval_s, settings.live_viewers),
        Made(settings.runs_dir, settings.live_analysis_timeout_s),
        Pages(controls=settings.live_token is not None),
        secrets.token_hex(16),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        parts.rooms.close()
        parts.made.close()

    app = FastAPI(title="Podium live", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.parts = parts
    for add in (_add_pages, _add_streams, _add_tasks, _add_made, _add_control):
        router = APIRouter()
        add(router, parts)
        app.include_router(router)

    @app.exception_handler(NotThere)
    async def not_there(_: Request, error: NotThere) -> Response:  # pyright: ignore[reportUnusedFunction]
        return PlainTextResponse(f"not there: {str(error)[:500]}\n", 404)

    app.add_middleware(Gate, settings=settings, secret=parts.secret)
    return app


def _add_pages(router: APIRouter, parts: Parts) -> None:
    async def runs() -> Response:
        return HTMLResponse(parts.pages.runs())

    def run(run_id: str) -> Response:
        with parts.runs.followed(run_id) as follower:
            epochs = follower.manifest.get("epochs")
        return HTMLResponse(parts.pages.run(run_id, epochs if isinstance(epochs, int) else 1))

    async def task(run_id: str, key: str) -> Response:
        run_folder(parts.settings.runs_dir, run_id)
        return HTMLResponse(parts.pages.task(run_id, key))

    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise NotThere(name)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(ASSETS[name](), media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    router.add_api_route("/", runs)
    router.add_api_route("/runs/{run_id}", run)
    router.add_api_route("/runs/{run_id}/tasks/{key}", task)
    router.add_api_route("/assets/{name}", asset)
    router.add_api_route("/health", health)


def _add_streams(router: APIRouter, parts: Parts) -> None:
    async def pushed(topic: str, look: Callable[[], bytes]) -> Response:
        try:
            messages = await parts.rooms.watch(topic, look)
        except Full as error:
            return PlainTextResponse(f"{error}\n", 503, {"Retry-After": "5"})
        return StreamingResponse(messages, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def all_runs() -> Response:
        def look() -> bytes:
            lines = [{**asdict(line), "age": duration(1000.0 * int(line.age_s))} for line in parts.runs.lines()]
            for line in lines:
                del line["age_s"]
            return orjson.dumps({"runs": lines})

        return await pushed("runs", look)

    async def one_run(run_id: str) -> Response:
        run_folder(parts.settings.runs_dir, run_id)

        def look() -> bytes:
            with parts.runs.followed(run_id) as follower:
                return orjson.dumps(view.snapshot(follower, controls=parts.settings.live_token is not None))

        return await pushed(f"run\0{run_id}", look)

    async def one_task(run_id: str, key: str) -> Response:
        run_folder(parts.settings.runs_dir, run_id)
        last: list[Any] = [None, b"{}"]

        def look() -> bytes:
            with parts.runs.followed(run_id) as follower:
                mark = tasks.fingerprint(follower, key)
                if mark != last[0]:
                    record = tasks.trajectory(follower, key, most_bytes=parts.settings.live_record_mb * 1_000_000)
                    cuts = tasks.cut(record, parts.settings.live_text_chars)
                    last[:] = [mark, orjson.dumps({"record": record, "cuts": cuts, "state": follower.state})]
                return last[1]

        return await pushed(f"task\0{run_id}\0{key}", look)

    router.add_api_route("/stream/runs", all_runs)
    router.add_api_route("/stream/runs/{run_id}", one_run)
    router.add_api_route("/stream/runs/{run_id}/tasks/{key}", one_task)


def _add_tasks(router: APIRouter, parts: Parts) -> None:
    most_bytes = parts.settings.live_record_mb * 1_000_000

    def rows(run_id: str, start: Annotated[int, Query(ge=0)] = 0) -> Response:
        with parts.runs.followed(run_id) as follower:
            end = min(len(follower.order), start + ROWS)
            found = [tasks.row(follower, place) for place in range(start, end)]
        return Response(orjson.dumps({"rows": found, "end": end}), media_type="application/json")

    def chunk(run_id: str, number: str) -> Response:
        if not (number.isascii() and number.isdigit() and len(number) < 9):
            raise NotThere(number)
        with parts.runs.followed(run_id) as follower:
            if int(number) >= len(follower.order):
                raise NotThere(number)
            key = tasks.task_key(*follower.order[int(number)])
            record = tasks.trajectory(follower, key, most_bytes=most_bytes)
        tasks.cut(record, parts.settings.live_text_chars)
        text = orjson.dumps(orjson.dumps([record]).decode())
        return Response(b"podiumChunk(%d,%s);\n" % (int(number), text), media_type=_KINDS["js"])

    def text(run_id: str, key: str, at: Annotated[str, Query(max_length=500)]) -> Response:
        with parts.runs.followed(run_id) as follower:
            record = tasks.trajectory(follower, key, most_bytes=most_bytes)
        whole = tasks.text_at(record, at)
        return PlainTextResponse(whole.encode(errors="replace"))

    router.add_api_route("/runs/{run_id}/rows", rows)
    router.add_api_route("/runs/{run_id}/rows/{number}.js", chunk)
    router.add_api_route("/runs/{run_id}/tasks/{key}/text", text)


def _add_made(router: APIRouter, parts: Parts) -> None:
    own = f"{OWN_FILES}{parts.secret}"

    async def report(run_id: str) -> Response:
        try:
            await parts.made.report(run_id)
        except NotMade as error:
            return PlainTextResponse(f"podium-analysis could not make the report: {error}\n", 502)
        return RedirectResponse(f"{own}/report/{quote(run_id, safe='')}/report.html", 303)

    async def compare(a: str, b: str) -> Response:
        try:
            name = await parts.made.comparison(a, b)
        except NotMade as error:
            return PlainTextResponse(f"podium-analysis could not compare them: {error}\n", 502)
        return RedirectResponse(f"{own}/compare/{name}", 303)

    def report_file(secret: str, run_id: str, path: str) -> Response:
        kind = _KINDS.get(path.rpartition(".")[2])
        if secret != parts.secret or kind is None:
            raise NotThere(path)
        with parts.made.open_report(run_id, path) as file:
            return Response(file.read(), media_type=kind)

    def compare_file(secret: str, name: str) -> Response:
        if secret != parts.secret:
            raise NotThere(name)
        with parts.made.open_comparison(name) as file:
            return Response(file.read(), media_type=_KINDS["html"])

    router.add_api_route("/runs/{run_id}/report", report)
    router.add_api_route("/compare", compare)
    router.add_api_route(OWN_FILES + "{secret}/report/{run_id}/{path:path}", report_file)
    router.add_api_route(OWN_FILES + "{secret}/compare/{name}", compare_file)


def _add_control(router: APIRouter, parts: Parts) -> None:
    async def act(run_id: str, request: Request, asked: Act) -> dict[str, str]:
        if parts.settings.live_token is None:
            raise HTTPException(403, "the page steers runs only when it was started with LIVE_TOKEN")
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise HTTPException(415, "an act is JSON")
        folder = run_folder(parts.settings.runs_dir, run_id)
        try:
            return {"done": await run_in_threadpool(perform, folder, asked, parts.settings.live_control_timeout_s)}
        except Refused as error:
            raise HTTPException(409, str(error)) from error

    router.add_api_route("/runs/{run_id}/control", act, methods=["POST"])
