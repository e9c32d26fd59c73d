"""A collector of OpenTelemetry's, as far as spans over HTTP go: what it is sent, it decodes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value = str | int | float | bool | tuple[str, ...]


@dataclass(slots=True)
class Collector:
    """What came."""

    url: str = ""
    spans: list[Span] = field(default_factory=list[Span])
    services: set[str] = field(default_factory=set[str])
    bodies: list[bytes] = field(default_factory=list[bytes])

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        self.bodies.append(body)
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {one.key: one.value.string_value for one in each.resource.attributes}
            self.services.add(told["service.name"])
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def named(self, name: str) -> list[Span]:
        """The spans of that name, in the order in which they ended."""
        return [each for each in self.spans if each.name == name]


def told_by(span: Span) -> dict[str, Value]:
    """A span's attributes."""
    return {each.key: _value(each.value) for each in span.attributes}


def _value(value: object) -> Value:
    kind = getattr(value, "WhichOneof")("value")  # noqa: B009  (the package has no types)
    if kind == "array_value":
        return tuple(each.string_value for each in getattr(value, kind).values)
    found: Value = getattr(value, kind)
    return found


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector, None]:
    """A collector, for as long as the block lasts."""
    found = Collector()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}"
    try:
        yield found
    finally:
        await runner.cleanup()
