"""Spans on their way to a collector: what is sent, what is dropped, and what a refusal says."""

from __future__ import annotations

import anyio
import pytest

from bridge.core.secret import Secret
from bridge.core.span import Context, Kind, Span
from bridge.edge import otlp
from bridge.edge.otlp import SpanExporter
from tests.support.collector import Collector, collector
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TOKEN = Secret("the-collector-s-own", origin="$TOKEN")


@pytest.fixture
def anyio_backend() -> str:
    """The daemon's."""
    return "asyncio"


def span(number: int = 1, **more: object) -> Span:
    given: dict[str, object] = {
        "name": "create x",
        "kind": Kind.PRODUCER,
        "context": Context(TRACE, f"{number:016x}"),
        "parent": None,
        "start_ns": 1_700_000_000_000_000_001,
        "end_ns": 1_700_000_000_000_000_002,
        "attributes": {"messaging.system": "nats", "bridged.tries": 3},
    }
    return Span(**given | more)  # type: ignore[arg-type]


def exporter(seen: Collector) -> SpanExporter:
    return SpanExporter(seen.url, TOKEN, {"service.name": "bridged", "service.version": "1.2.3"})


async def test_a_span_arrives_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, times, kind, links, error and resource; at the path that is configured, with the token, compressed. Nothing
    that the environment says of proxies, headers or resources counts."""
    for name in ("HTTP_PROXY", "http_proxy", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "from=elsewhere")
    async with collector() as seen, anyio.create_task_group() as group:
        made = exporter(seen)
        group.start_soon(made.run)
        links = [Context(TRACE[::-1], "00f067aa0ba902b7")]
        made(span(7, parent=Context(TRACE, "00f067aa0ba902b8"), links=links, error="Away", kind=Kind.CONSUMER))
        made(span(8, end_ns=5))
        await seen.until(lambda: len(seen.spans) == 2, "both")
        group.cancel_scope.cancel()
    first, second = seen.spans
    assert (first.trace, first.span, first.parent) == (TRACE, "0000000000000007", "00f067aa0ba902b8")
    assert (first.name, first.kind, first.failed) == ("create x", "consumer", True)
    assert (first.start_ns, first.end_ns) == (1_700_000_000_000_000_001, 1_700_000_000_000_000_002)
    assert first.links == [(TRACE[::-1], "00f067aa0ba902b7")]
    assert first.attributes == {"messaging.system": "nats", "bridged.tries": 3, "error.type": "Away"}
    assert first.resource == {"service.name": "bridged", "service.version": "1.2.3"}
    assert (second.parent, second.failed, second.end_ns) == ("", False, second.start_ns)
    assert seen.paths == ["/v1/traces"]
    (headers,) = seen.headers
    assert headers["Authorization"] == "Bearer the-collector-s-own"
    assert (headers["Content-Type"], headers["Content-Encoding"]) == ("application/x-protobuf", "gzip")
    assert (made.sent, made.dropped) == (2, 0)


async def test_what_waits_leaves_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop sends what is in the queue, which is less than what leaves by itself."""
    monkeypatch.setattr(otlp, "FLUSH_S", 60.0)
    async with collector() as seen:
        made = exporter(seen)
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            made(span(1))
            await seen.until(lambda: seen.spans, "the first")
            for number in range(2, 300):
                made(span(number))
            group.cancel_scope.cancel()
        assert len(seen.spans) == 299
        assert (made.sent, made.dropped) == (299, 0)


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has no room for is dropped and counted, at once; what it has is sent."""
    monkeypatch.setattr(otlp, "MOST", 10)
    async with collector() as seen:
        made = exporter(seen)
        for number in range(1, 31):
            made(span(number))
        assert made.dropped == 20
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            await seen.until(lambda: len(seen.spans) == 10, "ten")
            group.cancel_scope.cancel()
    assert (made.sent, made.dropped) == (10, 20)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "it answered with HTTP status 401"),
        (307, "it answered with HTTP status 307, a redirect, which is not followed"),
    ],
)
async def test_a_refusal_is_said_once_and_counted(status: int, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With its status, without token; when it takes them again that is said, with how many were dropped."""
    async with collector() as seen, anyio.create_task_group() as group:
        seen.status = status
        made = exporter(seen)
        group.start_soon(made.run)
        for number in range(1, 4):
            made(span(number))
            await wait_until(lambda wanted=number: made.dropped == wanted, what="it to be dropped")
        seen.status = 200
        made(span(9))
        await seen.until(lambda: seen.spans, "the one after")
        await wait_until(lambda: "tracing.delivered" in _said(capsys), what="that to be said")
        group.cancel_scope.cancel()
    said = _said(capsys)
    assert said.count("tracing.dropped") == 1
    assert reason in said
    assert "dropped=3" in said
    assert "the-collector-s-own" not in said
    assert "/elsewhere" not in seen.paths
    assert (made.sent, made.dropped) == (1, 3)


_heard: dict[int, str] = {}


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was printed so far."""
    found = capsys.readouterr()
    _heard[id(capsys)] = _heard.get(id(capsys), "") + found.out + found.err
    return _heard[id(capsys)]
