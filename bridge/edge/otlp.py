"""Brings spans to an OpenTelemetry collector, by OTLP over HTTP, from a thread of its own. Imports opentelemetry.

The event loop only puts an object into a queue. What the queue has no room for, and what the collector does not take,
is dropped and counted: no event ever waits for its trace. The libraries are loaded in that thread, too.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from bridge.core.secret import Secret
from bridge.core.span import SCOPE, Context, Span
from bridge.core.url import place

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from bridge.edge.otlp_session import Session

MOST = 8_192
"""Spans in the queue: some eight megabytes."""
BATCH = 512
"""Spans in one request."""
EVERY_S = 1.0
"""How long a span waits for others, at most, while the collector takes them."""
TIMEOUT_S = 5.0
"""For one request, with the library's own repetitions."""
FLUSH_S = 2.0
"""How long a stop waits for what is in the queue."""

# They would say by themselves, and again and again, what is said once below; and quote the address.
_TALKATIVE = ("charset_normalizer", "opentelemetry", "requests", "urllib3")

log = structlog.get_logger()


class SpanExporter:
    """`bridge.engine.tracing.Sink`, and the service that empties it.

    `endpoint`: the whole URL, which has passed the rules of the configuration. `resource`: who we are, by the names of
    the conventions. `sent`, `dropped`: spans that the collector has taken, and those that nobody will ever see.
    """

    def __init__(self, endpoint: str, token: Secret | None, resource: Mapping[str, str | int]) -> None:
        self.sent = 0
        self.dropped = 0
        self._endpoint = endpoint
        self._token = token
        self._resource = resource
        self._queue: deque[Span] = deque()
        self._wake = Event()
        self._thread: _Thread | None = None

    def __call__(self, span: Span) -> None:
        """Take a span. Returns at once, whatever becomes of it."""
        queue = self._queue
        if len(queue) >= MOST:
            self.dropped += 1
            return
        queue.append(span)
        if len(queue) >= BATCH and not self._wake.is_set():
            self._wake.set()

    async def run(self) -> None:
        """Bring them away until cancelled, and what is left then within `FLUSH_S`."""
        thread = self._thread = _Thread(self, current_token())
        Thread(target=thread.run, name="traces", daemon=True).start()
        try:
            await anyio.sleep_forever()
        finally:
            thread.stopping = True
            self._wake.set()
            # Nobody waits for a thread that hangs: it ends with the process.
            with anyio.CancelScope(shield=True), anyio.move_on_after(FLUSH_S):
                await thread.ended.wait()
            thread.left = True
            if left := len(self._queue):
                self._queue.clear()
                self.dropped += left
                log.warning("tracing.left", spans=left, reason=f"the collector did not take them within {FLUSH_S:g} s")


@dataclass(eq=False, slots=True)
class _Thread:
    """What the thread knows. `left`: nobody waits for it any more; it is to say nothing and end."""

    exporter: SpanExporter
    token: EventLoopToken
    stopping: bool = False
    left: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)
    _failing: bool = False
    _lost: int = 0
    """How many had been dropped when it began to fail."""
    _seen: int = 0

    def run(self) -> None:
        try:
            self._work()
        except Exception:  # a bug of a library costs traces, and nothing else
            log.exception("tracing.bug", advice="please report this; no more spans are sent until a restart")
        finally:
            self._tell()

    def _tell(self) -> None:
        try:
            from_thread.run_sync(lambda: self.ended.set(), token=self.token)
        except RuntimeError:
            return  # The event loop has ended meanwhile: there is nobody to tell.

    def _work(self) -> None:
        owner = self.exporter
        wire = _Wire(owner._endpoint, owner._token, owner._resource)
        last = False
        while not last and not self.left:
            owner._wake.wait(EVERY_S)
            owner._wake.clear()
            last = self.stopping
            before, failure = owner.sent, ""
            while owner._queue and not failure and not self.left:
                failure = self._send(wire)
            self._judge(failure, any_taken=owner.sent > before)
        wire.close()

    def _send(self, wire: _Wire) -> str:
        owner = self.exporter
        batch = [owner._queue.popleft() for _ in range(min(BATCH, len(owner._queue)))]
        if failure := wire.send(batch):
            owner.dropped += len(batch)
        else:
            owner.sent += len(batch)
        return failure

    def _judge(self, failure: str, *, any_taken: bool) -> None:
        """Say what is dropped: once, until nothing is any more."""
        before, self._seen = self._seen, self.exporter.dropped
        if self.left:
            return
        if self._seen > before:
            if not self._failing:
                self._lost = before
                log.warning(
                    "tracing.dropped",
                    collector=place(self.exporter._endpoint),
                    reason=failure or "spans are made faster than it takes them",
                    advice="spans are dropped until it takes them; no event waits for that, and none is lost",
                )
            self._failing = True
        elif self._failing and any_taken:
            log.info("tracing.delivered", dropped=self._seen - self._lost)
            self._failing = False


class _Wire:
    """The library, in the thread that loads it."""

    def __init__(self, endpoint: str, token: Secret | None, resource: Mapping[str, str | int]) -> None:
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.addHandler(logging.NullHandler())
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        from bridge.edge.otlp_session import Session

        self._session: Session = Session()
        self._exporter: OTLPSpanExporter = OTLPSpanExporter(
            endpoint=endpoint,
            # The authorities that everything else here trusts: the system's.
            certificate_file=ssl.get_default_verify_paths().cafile,
            headers={} if token is None else {"authorization": f"Bearer {token.reveal()}"},
            timeout=TIMEOUT_S,
            compression=Compression.Gzip,
            session=self._session,
        )
        # Not `Resource.create`: what the environment adds there is for others.
        self._resource = Resource(resource)
        self._scope = InstrumentationScope(SCOPE, str(resource.get("service.version", "")))

    def send(self, spans: Sequence[Span]) -> str:
        """Why the collector has not taken them; "" if it has."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        result = self._exporter.export([self._readable(span) for span in spans])
        return "" if result is SpanExportResult.SUCCESS else self._session.failure or "it did not take them"

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        return ReadableSpan(
            name=span.name,
            context=_context(span.context),
            parent=None if span.parent is None else _context(span.parent),
            resource=self._resource,
            attributes={**span.attributes, "error.type": span.error} if span.error else span.attributes,
            links=[Link(_context(link)) for link in span.links],
            kind=SpanKind[span.kind.name],
            status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
            start_time=span.start_ns,
            # The clock may have been set back meanwhile.
            end_time=max(span.start_ns, span.end_ns),
            instrumentation_scope=self._scope,
        )


def _context(context: Context) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        int(context.trace, 16), int(context.span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
