"""Sends spans to a collector by OTLP over HTTP. Needs opentelemetry-sdk and its exporter, the extra `otel` of eval and
analysis; nothing else in this package does."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from podium_contracts.otel.spans import SCHEMA_URL, Span

BATCH: Final = 512
"""Spans of one request."""
_KINDS: Final = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}


class _Reasons(logging.Handler):
    """Keeps what the exporter logs of a failed request, instead of a line for each attempt on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "no answer"
        self._logger = logging.getLogger("opentelemetry.exporter")
        self._propagated = self._logger.propagate
        self._logger.propagate = False
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated
        super().close()


class Sender:
    """Sends spans in batches and counts them. A batch that a collector does not take is dropped.

    endpoint: a collector's address, to which /v1/traces is added. The exporter's own variables hold for the rest:
    OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE. warn: told of the first batch that is dropped.
    """

    def __init__(self, endpoint: str, run_id: str, warn: Callable[[str], None]) -> None:
        self._reasons = _Reasons()
        self._address = f"{endpoint.rstrip('/')}/v1/traces"
        self._exporter = OTLPSpanExporter(endpoint=self._address)
        self._resource = Resource.create({"service.name": "podium", "service.instance.id": run_id})
        self._scope = InstrumentationScope("podium", schema_url=SCHEMA_URL)
        self._warn = warn
        self._waiting: list[Span] = []
        self.n_sent = 0
        self.n_dropped = 0
        self.failed_in_row = 0
        """Batches."""

    def send(self, spans: Sequence[Span]) -> None:
        """Queue; whole batches are sent at once."""
        self._waiting += spans
        while len(self._waiting) >= BATCH:
            self._export(BATCH)

    def flush(self) -> None:
        """Send what is queued."""
        while self._waiting:
            self._export(BATCH)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._exporter.shutdown()
        self._reasons.close()

    def _export(self, n: int) -> None:
        batch, self._waiting = self._waiting[:n], self._waiting[n:]
        reason = None
        try:
            taken = self._exporter.export([self._readable(span) for span in batch]) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 (whatever the exporter's HTTP client meets, the spans are lost)
            taken, reason = False, repr(error)
        if taken:
            self.n_sent += len(batch)
            self.failed_in_row = 0
            return
        self.failed_in_row += 1
        if not self.n_dropped:
            self._warn(f"spans are not exported: {self._address}: {reason or self._reasons.last}")
        self.n_dropped += len(batch)

    def _readable(self, span: Span) -> ReadableSpan:
        attributes = {**span.attributes, "error.type": span.error} if span.error else span.attributes
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace, span.id),
            parent=None if span.parent is None else _context(span.trace, span.parent),
            resource=self._resource,
            attributes=attributes,
            events=[Event(one.name, one.attributes, one.time) for one in span.moments],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
