"""What is read for a replay, and how it is published, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.core.errors import Away
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.replay import Replay, Span, headers_of_copy
from bridge.edge.operator.tail import STORED, Tail
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.nats_server import NatsServer, nats_server

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[HandmadeStream]:
    async with handmade_stream(server.url) as stream:
        await stream.make()
        yield stream


def span(stream: HandmadeStream, start: datetime = LONG_AGO, until: datetime | None = None) -> Span:
    return Span(stream.client, LedgerNames(), subjects="events.acme.>", start=start, until=until)


async def everything(reading: Span) -> list[Message]:
    found: list[Message] = []
    while more := await reading.take():
        found += more
    return found


async def test_it_ends_where_the_stream_ended(stream: HandmadeStream) -> None:
    """What is stored while it is read is not replayed: else a replay into something that is read would never end."""
    for n in range(3):
        await stream.event(f"acme.a.thing.created.{n}", {})
    reading = span(stream)
    await reading.open()
    await stream.event("acme.a.thing.created.3", {})
    assert [message.seq for message in await everything(reading)] == [1, 2, 3]
    assert await reading.take() == []


async def test_until(stream: HandmadeStream) -> None:
    """The first that was stored at that time or later ends it."""
    for n in range(3):
        await stream.event(f"acme.a.thing.created.{n}", {})
    reading = span(stream, until=datetime.now(UTC) + timedelta(days=1))
    await reading.open()
    assert len(await everything(reading)) == 3
    reading = span(stream, until=LONG_AGO + timedelta(days=1))
    await reading.open()
    assert await everything(reading) == []


@pytest.mark.parametrize("reaches", [0, 2])
async def test_a_replica_that_lags_hides_nothing(
    stream: HandmadeStream, monkeypatch: pytest.MonkeyPatch, reaches: int
) -> None:
    """Where the one that answers has less than the leader, the leader is asked; from the first event to the last."""
    await stream.event("acme.a.thing.created.old", {})
    read = Tail._read

    async def lagging(self: Tail) -> list[Message]:
        return [message for message in await read(self) if message.seq <= reaches]

    monkeypatch.setattr(Tail, "_read", lagging)
    for n in range(4):
        await stream.event(f"acme.a.thing.created.{n}", {"n": n})
    await stream.event("other.a.thing.created.1", {})
    await stream.event("acme.a.thing.created.5", {})
    reading = span(stream)
    await reading.open()
    found = await everything(reading)
    assert [message.seq for message in found] == [1, 2, 3, 4, 5, 7]
    assert all(message.headers[STORED].startswith("20") for message in found)
    assert {tuple(headers_of_copy(message)) for message in found} == {("ce-observedtime", "Bridge-Replayed")}


async def test_headers_of_copy() -> None:
    """Whatever NATS would act upon is left out, however it is spelt; all else stays as it was."""
    headers = {"Nats-Rollup": "sub", "nats-ttl": "1s", "NATS-X": "y", "ce-id": "1", "KV-Operation": "DEL", "Odd": "%41"}
    assert headers_of_copy(Message("events.a.b.c.deleted.d", 7, headers, b"")) == {
        "ce-id": "1", "KV-Operation": "DEL", "Odd": "%41", "Bridge-Replayed": "7",
    }  # fmt: skip


async def test_a_lost_connection_is_noticed(server: NatsServer, stream: HandmadeStream) -> None:
    """What was handed over and may be lost does not count as taken."""
    await stream.event("acme.a.thing.created.1", {})
    reading = span(stream)
    await reading.open()
    found = await everything(reading)
    async with Replay(stream.client, "replay.x") as replay:
        await replay.publish(found)
        assert (replay.sent, replay.taken, replay.unheard) == (1, 1, 1)
        await server.kill()
        with pytest.raises(Away):
            await replay.publish(found)
        assert replay.taken == 1
