"""An OTLP collector: it takes spans over HTTP, as OpenTelemetry's own protobuf defines them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class OtlpCollector:
    """What came, in the order in which it came."""

    status: int = 200
    hangs: bool = False
    url: str = ""
    spans: list[Span] = field(default_factory=list)
    #: Of the last request.
    headers: dict[str, str] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    #: All bytes, to be searched for what must not be in there.
    raw: bytes = b""

    def named(self, name: str) -> Span:
        """The only span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    async def take(self, request: web.Request) -> web.Response:
        """Read an export."""
        body = await request.read()
        self.raw += body
        self.headers = dict(request.headers)
        if self.hangs:
            await asyncio.sleep(3600)
        sent = ExportTraceServiceRequest.FromString(body)
        for group in sent.resource_spans:
            self.resource = attributes_of(group.resource)
            for scope in group.scope_spans:
                self.spans += scope.spans
        return web.Response(status=self.status)


def attributes_of(holder: Any) -> dict[str, Any]:
    """The attributes of a span, an event or a resource."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes
    }


@asynccontextmanager
async def collecting(status: int = 200, *, hangs: bool = False) -> AsyncIterator[OtlpCollector]:
    """A collector that answers every export with this status, or never."""
    collector = OtlpCollector(status, hangs)
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    try:
        yield collector
    finally:
        await runner.cleanup()
