"""A real OTLP/HTTP receiver on the loopback: opentelemetry-proto decodes what it is sent."""

import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Received:
    """One span. ids are hex, parent '' for a root; attributes as plain values."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    kind: int
    error: bool
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    resource: dict[str, Any]
    schema: str


@dataclass
class Receiver:
    """status: what it answers."""

    endpoint: str = ""
    status: int = 200
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.status == 200:
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.bodies.append(body)
            self._add(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def _add(self, sent: Any) -> None:
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                for one in scope.spans:
                    self.spans.append(
                        Received(
                            name=one.name,
                            trace=one.trace_id.hex(),
                            id=one.span_id.hex(),
                            parent=one.parent_span_id.hex(),
                            start=one.start_time_unix_nano,
                            end=one.end_time_unix_nano,
                            kind=one.kind,
                            error=one.status.code == 2,
                            attributes=plain(one.attributes),
                            events=[(e.name, e.time_unix_nano, plain(e.attributes)) for e in one.events],
                            resource=plain(resource.resource.attributes),
                            schema=scope.schema_url,
                        )
                    )


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@asynccontextmanager
async def receiver(status: int = 200) -> AsyncGenerator[Receiver]:
    """A collector that answers `status` until the block ends."""
    made = Receiver(status=status)
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/v1/traces", made.traces)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.endpoint = f"http://{host}:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()
