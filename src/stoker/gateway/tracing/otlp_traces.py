"""Spans, and the thread that sends them to a collector. No other module imports OpenTelemetry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from stoker import __version__
from stoker.gateway.tracing.trace_context import trace_headers
from stoker.gateway.tracing.trace_settings import TraceSettings

_log = logging.getLogger("stoker.gateway")

#: A collector that does not take spans within this time has lost them.
_EXPORT_S = 5.0
#: When the gateway ends, what is left to send has this long.
_FLUSH_S = 5.0
_PROPAGATOR = TraceContextTextMapPropagator()


class _Exporter(OTLPSpanExporter):
    """Logs when it begins to fail and when it works again, not each batch and each retry."""

    _fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            _log.warning("the collector does not take traces: they are dropped until it does")
        elif self._fails and not fails:
            _log.info("the collector takes traces again")
        self._fails = fails
        return result


class Traces:
    """The traces of one gateway. Spans that can't be sent are dropped: no request waits for them.

    Headers that a collector needs, such as a key, are read from ``OTEL_EXPORTER_OTLP_HEADERS``; a
    name other than ``stoker`` from ``OTEL_SERVICE_NAME``, as OpenTelemetry specifies them.
    """

    def __init__(self, settings: TraceSettings) -> None:
        ratio = TraceIdRatioBased(settings.sample_ratio)
        # A trace that its client records is recorded whole. One that it does not record may be:
        # clients send ids without recording anything.
        sampler = ParentBased(
            ratio, remote_parent_sampled=ALWAYS_ON, remote_parent_not_sampled=ratio
        )
        service = Resource({"service.name": "stoker", "service.version": __version__})
        self._provider = TracerProvider(
            sampler,
            service.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._exporter = _Exporter(settings.url, timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("stoker.gateway", __version__)

    def request(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Span:
        """A span for a request, within the trace that its headers name, or a new one."""
        parent = _PROPAGATOR.extract(trace_headers(headers))
        return self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)

    def call(self, name: str, within: Span, attributes: Attributes) -> Span:
        """A span for what another server is asked."""
        return self._tracer.start_span(name, _within(within), SpanKind.CLIENT, attributes)

    def past(self, name: str, within: Span, began_ns: int, attributes: Attributes) -> None:
        """Note what began then and has just ended. Times are nanoseconds since the epoch."""
        span = self._tracer.start_span(
            name, _within(within), attributes=attributes, start_time=began_ns
        )
        span.end()

    def headers_of(self, span: Span) -> dict[str, str]:
        """What a server gets so that its own spans are within this one."""
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers, _within(span))
        return headers

    async def close(self) -> None:
        """Send what is left, for a few seconds at most. Never fails."""
        flushing = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait({flushing}, timeout=_FLUSH_S)
        if not flushing.done():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # try no more
        await flushing


def _within(span: Span) -> Context:
    return trace.set_span_in_context(span)
