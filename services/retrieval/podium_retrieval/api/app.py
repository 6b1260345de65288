"""The HTTP application over a service that is ready."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.routing import Route

from podium_retrieval.api.endpoint import RetrieveEndpoint
from podium_retrieval.api.request import RequestLimits, RequestReader
from podium_retrieval.errors import STATUS
from podium_retrieval.metrics import Metrics
from podium_retrieval.service import SearchService


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the application answers and what it accepts."""

    limits: RequestLimits
    max_body_bytes: int
    shape: Literal["list", "search-r1"]
    drain_s: float


class ErrorDetail(BaseModel):
    """Why a request got no answer."""

    type: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer but 200."""

    error: ErrorDetail


class Health(BaseModel):
    """status: ok, or failing with the reason."""

    status: Literal["ok", "failing"]
    reason: str | None = None
    waiting: int


def create_app(service: SearchService, metrics: Metrics, options: HttpOptions) -> FastAPI:
    """Routes over `service`, which the application closes when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        service.worker.start()
        try:
            yield
        finally:
            await service.close(options.drain_s)

    app = FastAPI(title="Podium retrieval", version="1", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    reader = RequestReader(options.limits)
    endpoint = RetrieveEndpoint(service, metrics, reader, options.max_body_bytes, options.shape)
    app.router.routes.append(Route("/retrieve", endpoint, methods=["POST"]))
    app.state.drain = lambda: endpoint.drain(options.drain_s)

    @app.get("/health", responses={503: {"model": Health}})
    async def health() -> Response:  # pyright: ignore[reportUnusedFunction]
        """200 only while the worker lives and moves."""
        reason = service.worker.trouble()
        body = Health(status="ok" if reason is None else "failing", reason=reason, waiting=service.worker.depth)
        return JSONResponse(body.model_dump(), status_code=200 if reason is None else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def show_metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Prometheus text format."""
        metrics.queue.set(service.worker.depth)
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    app.openapi = lambda: _openapi(app, reader, options)  # type: ignore[method-assign]
    return app


_REF = "#/components/schemas/"


def _openapi(app: FastAPI, reader: RequestReader, options: HttpOptions) -> dict[str, Any]:
    """FastAPI's schema and POST /retrieve, whose route is plain ASGI."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        request, parts = reader.schema(_REF + "{name}")
        components.update(parts)
        built = ErrorBody.model_json_schema(ref_template=_REF + "{model}")
        components.update(built.pop("$defs"))
        components["ErrorBody"] = built
        schema["paths"]["/retrieve"] = {"post": _operation(request, options)}
        app.openapi_schema = schema
    return app.openapi_schema


def _operation(request: dict[str, Any], options: HttpOptions) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "type": "array",
        "items": {"type": "array", "items": {"type": "object"}},
        "description": "One list a query, best first.",
    }
    answer = (
        rows if options.shape == "list" else {"type": "object", "properties": {"result": rows}, "required": ["result"]}
    )
    error = {"application/json": {"schema": {"$ref": _REF + "ErrorBody"}}}
    statuses = {str(status) for status in STATUS.values()} | {"500"}
    responses: dict[str, Any] = {
        "200": {"description": "Documents", "content": {"application/json": {"schema": answer}}},
        **{
            status: {
                "description": ", ".join(sorted(type for type, its in STATUS.items() if str(its) == status)),
                "content": error,
            }
            for status in sorted(statuses)
        },
    }
    responses["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "summary": "Documents for one or more queries",
        "operationId": "retrieve",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request}},
        },
        "responses": responses,
    }
