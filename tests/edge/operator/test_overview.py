"""What the stream tells of a source, read from a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from bridge.core.gap import Gap
from bridge.core.report.overview import NEVER, Overview, refused_since
from bridge.core.vitals import Vitals
from bridge.edge.ledger.layout import JetStreamOff, LedgerNames, lease_config, stream_config
from bridge.edge.operator.overview import Observer
from bridge.edge.operator.tail import StreamMissing
from tests.support.asking import ask, plain_client
from tests.support.memory_leases import claim
from tests.support.nats_server import nats_server

pytestmark = pytest.mark.anyio

SOURCE = "Köln 1"
TOKEN = "K=C3=B6ln=201"
OPEN, CLOSED = Gap("slow", "the vendor holds nothing older", 1000), Gap("live", "the inbox overran", 2000, 3000)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with nats_server(tmp_path) as server, plain_client(server.url) as client:
        await ask(client, "$JS.API.STREAM.CREATE.BRIDGE", json.dumps(stream_config(LedgerNames())).encode())
        yield client


async def put(client: Client, subject: str, data: Any, observed: str = "2026-01-01T00:00:00.000Z") -> None:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    answer = await ask(client, f"bridge.{subject}", payload, {"ce-observedtime": observed})
    assert b'"error"' not in answer.data


async def test_a_source_nobody_has_read(client: Client) -> None:
    """All is empty, and nothing fails."""
    assert await Observer(client, LedgerNames()).source("acme", SOURCE) == Overview(SOURCE, "acme", condition=NEVER)


async def test_everything_there_is_to_know(client: Client) -> None:
    """Owner, condition with its reason, cursors by the names of their walks, last event, gaps, quarantine."""
    await put(client, f"owner.{TOKEN}", {"instance": "host:1", "build": "1"})
    await put(client, f"cursor.{TOKEN}.slow=20walk", {"completed_ms": 5000})
    await put(client, f"cursor.{TOKEN}.fast", {"pass_ms": 6000, "position": None})
    await put(client, f"in.bridge.{TOKEN}.source.connected.{TOKEN}", {"after": {"reason": ""}})
    await put(client, f"in.acme.{TOKEN}.thing.created.1", {"after": {}})
    await put(client, f"in.acme.{TOKEN}.thing.updated.1", {"after": {}}, "2026-01-02T00:00:00.000Z")
    await put(client, f"in.acme.{TOKEN}x.thing.updated.2", {"after": {}})
    await put(client, f"in.bridge.{TOKEN}.source.lost.{TOKEN}", {"after": {"reason": "gone"}}, "2026-01-03T00:00:00Z")
    for gap in (OPEN, CLOSED):
        await put(client, f"in.bridge.{TOKEN}.gap.opened.{gap.id}", {"after": gap.data()})
    await put(client, f"in.bridge.{TOKEN}.gap.closed.{CLOSED.id}", {"after": CLOSED.data()})
    for n in (1, 2):
        reason = {"after": {"reason": f"field {n}"}}
        await put(client, f"in.bridge.{TOKEN}.quarantine.occurred.{n}", reason, f"2026-01-0{n}T00:00:00Z")
    view = await Observer(client, LedgerNames()).source("acme", SOURCE)
    assert view.owner == {"instance": "host:1", "build": "1"}
    assert (view.condition, view.since, view.reason) == ("lost", "2026-01-03T00:00:00Z", "gone")
    assert view.walks == {"slow walk": {"completed_ms": 5000}, "fast": {"pass_ms": 6000, "position": None}}
    assert view.last_event == {
        "subject": f"events.acme.{TOKEN}.thing.updated.1", "seq": 6, "observed": "2026-01-02T00:00:00.000Z"
    }  # fmt: skip
    assert view.open_gaps == [OPEN.data()]
    assert view.quarantined == 2
    assert view.last_quarantine == {"observed": "2026-01-02T00:00:00Z", "reason": "field 2"}


async def test_strange_records_do_not_end_it(client: Client) -> None:
    """What is no JSON, or no object, counts as empty."""
    await put(client, f"owner.{TOKEN}", b"\xff")
    await put(client, f"cursor.{TOKEN}.=zz", [1])
    await put(client, f"in.bridge.{TOKEN}.source.blocked.{TOKEN}", {"after": "x"})
    view = await Observer(client, LedgerNames()).source("acme", SOURCE)
    assert (view.owner, view.condition, view.reason, view.walks) == ({}, "blocked", "", {"=zz": {}})


async def test_size_and_age_of_the_stream(client: Client) -> None:
    """Six figures, by the server's names."""
    await put(client, "in.acme.a.thing.created.1", {})
    stream = await Observer(client, LedgerNames()).stream()
    assert list(stream) == ["messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts"]
    assert (stream["messages"], stream["last_seq"]) == (1, 1)


async def test_no_stream_and_no_jetstream(client: Client, tmp_path: Path) -> None:
    """Each has its own sentence."""
    await ask(client, "$JS.API.STREAM.DELETE.BRIDGE")
    observer = Observer(client, LedgerNames())
    with pytest.raises(StreamMissing):
        await observer.stream()
    with pytest.raises(StreamMissing):
        await observer.source("acme", SOURCE)
    async with nats_server(tmp_path, jetstream=False, name="bare") as bare, plain_client(bare.url) as other:
        with pytest.raises(JetStreamOff):
            await Observer(other, LedgerNames()).stream()


async def test_what_is_remembered_of_subscriptions_is_no_walk(client: Client) -> None:
    """It has its own place, by the subscription's name, and can be asked for alone."""
    told = {"first_ms": 0, "first": "1970-01-01T00:00:00.000Z"}
    await put(client, f"cursor.{TOKEN}.subscription-states", told)
    await put(client, f"cursor.{TOKEN}.fast", {"completed_ms": 1})
    observer = Observer(client, LedgerNames())
    view = await observer.source("acme", SOURCE)
    assert view.walks == {"fast": {"completed_ms": 1}}
    assert view.subscriptions == await observer.subscriptions(SOURCE) == {"states": told}
    assert await observer.subscriptions("another") == {}


async def test_which_half_fails_and_until_when(client: Client) -> None:
    """What an event of the bridge's own says beside the reason; what is no text counts as left out."""
    after = {"reason": "r", "half": "live", "failing_since": "2026-01-01T00:00:00Z", "again": "2026-01-01T01:00:00Z"}
    await put(client, f"in.bridge.{TOKEN}.source.blocked.{TOKEN}", {"after": after})
    view = await Observer(client, LedgerNames()).source("acme", SOURCE)
    assert (view.half, view.failing_since, view.again) == ("live", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
    await put(client, f"in.bridge.{TOKEN}.source.lost.{TOKEN}", {"after": {"half": None, "failing_since": 5}})
    view = await Observer(client, LedgerNames()).source("acme", SOURCE)
    assert (view.condition, view.half, view.failing_since, view.again) == ("lost", "", None, None)


def test_since_when_a_subscription_is_refused() -> None:
    """As text, else from milliseconds, else not at all."""
    assert refused_since({"off": "2026-01-01T00:00:00Z", "off_ms": 5}) == "2026-01-01T00:00:00Z"
    assert refused_since({"off_ms": 5}) == "1970-01-01T00:00:00.005Z"
    assert refused_since({"first": "2026-01-01T00:00:00Z"}) is None


async def test_leases_with_what_was_measured(client: Client) -> None:
    """One look at those that are held and can be read; none where no daemon has made the bucket, and it stays so."""
    observer = Observer(client, LedgerNames())
    assert await observer.claims([SOURCE]) == {}
    assert await observer.claims([]) == {}
    held = replace(claim("a", lease_s=600.0), session=Vitals(at_ms=5, frames=6))
    assert b"stream not found" in (await ask(client, "$JS.API.STREAM.INFO.KV_bridge-leases")).data
    await ask(client, "$JS.API.STREAM.CREATE.KV_bridge-leases", json.dumps(lease_config(LedgerNames())).encode())
    await ask(client, f"$KV.bridge-leases.{TOKEN}", json.dumps(held.to_json()).encode())
    await ask(client, "$KV.bridge-leases.odd", b"not JSON")
    await ask(client, "$KV.bridge-leases.gone", b"", {"KV-Operation": "DEL"})
    found = await observer.claims([SOURCE, "odd", "gone", "never"])
    assert found == {SOURCE: held}
    assert found[SOURCE].session == Vitals(at_ms=5, frames=6)
