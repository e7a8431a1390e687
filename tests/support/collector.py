"""A real OTLP/HTTP collector: it decodes the protobuf that comes, and may take nothing, or never answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.waiting import wait_until
from tests.support.web import serving


@dataclass(frozen=True)
class Seen:
    """A span as it came. `kind`: client, producer and so on; `links`: (trace, span); times in nanoseconds."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int]
    links: list[tuple[str, str]]
    failed: bool
    resource: dict[str, str | int]

    @property
    def traceparent(self) -> str:
        """Its context, as events carry it."""
        return f"00-{self.trace}-{self.span}-01"


@dataclass
class Collector:
    """`bodies`: as they came, decompressed. `answers`: the status of each answer; None: it never comes."""

    port: int = 0
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int | None = 200

    @property
    def url(self) -> str:
        """What `[tracing] endpoint` says."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    async def answer(self, request: web.Request) -> web.Response:
        """Take it, or not."""
        body = await request.read()
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        if self.status is None:
            await anyio.sleep_forever()
        if self.status != 200:
            return web.Response(status=self.status or 500, headers={"Location": "/elsewhere"})
        self.bodies.append(body)
        self.spans += decoded(body)
        answer: bytes = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def named(self, start: str) -> list[Seen]:
        """The spans whose names begin so."""
        return [span for span in self.spans if span.name.startswith(start)]

    async def until(self, wanted: Callable[[], object], what: str) -> None:
        """Returns once it has what is wanted."""
        await wait_until(wanted, what=f"{what}; there are {sorted({span.name for span in self.spans})}")


def decoded(body: bytes) -> list[Seen]:
    """The spans of one request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Seen(
            name=span.name,
            kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            trace=span.trace_id.hex(),
            span=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes=_plain(span.attributes),
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            failed=span.status.code == Status.STATUS_CODE_ERROR,
            resource=_plain(group.resource.attributes),
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: object) -> dict[str, str | int]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}  # type: ignore[attr-defined]


@asynccontextmanager
async def collector(port: int = 0) -> AsyncIterator[Collector]:
    """It listens on that port, or on a free one."""
    made = Collector()
    async with serving(made.answer, at=port) as made.port:
        yield made
