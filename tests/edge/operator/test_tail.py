"""Reading the stream in order, against a real server: pages, holes, filters, restarts, a stream that is not there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from nats.aio.client import Client

from bridge.core.errors import Away
from bridge.edge.ledger.layout import JetStreamOff, LedgerNames, stream_config
from bridge.edge.operator.tail import PORTION, Seen, StreamMissing, Tail, last_sequence, stored_ms
from tests.support.asking import ask, plain_client
from tests.support.nats_server import NatsServer, nats_server, nats_server_blocking
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

NAMES = LedgerNames()
API = "$JS.API"
STORE_NOT_MADE = 10049


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("tail")) as running:
        yield running


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    async with plain_client(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05) as client:
        yield client


async def call(client: Client, subject: str, body: Any = None) -> Any:
    answer = json.loads((await ask(client, f"{API}.{subject}", json.dumps(body).encode() if body else b"")).data)
    assert "error" not in answer, answer
    return answer


async def make_stream(client: Client) -> None:
    """Make it; while the server still clears away what bore its name before it cannot."""
    config = json.dumps(stream_config(NAMES)).encode()

    async def made() -> bool:
        error = json.loads((await ask(client, f"{API}.STREAM.CREATE.BRIDGE", config)).data).get("error")
        assert error is None or error["err_code"] == STORE_NOT_MADE, error
        return error is None

    await wait_until(made, what="the stream to be made")


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    """A connection to a server whose stream is empty."""
    async with connected(server.url) as client:
        await ask(client, f"{API}.STREAM.DELETE.BRIDGE")
        await make_stream(client)
        yield client


async def put(client: Client, number: int, subject: str = "acme.main.thing.updated.{}", payload: bytes = b"") -> None:
    """Publish `number` events, numbered from 1 by their data."""
    replies = [
        ask(client, f"bridge.in.{subject.format(n)}", payload or json.dumps({"n": n}).encode())
        for n in range(1, number + 1)
    ]
    for reply in replies:
        assert b'"error"' not in (await reply).data


def tail(client: Client, subjects: str = "events.>", start: int | datetime = 1) -> Tail:
    return Tail(client, stream="BRIDGE", prefix=API, subjects=subjects, start=start)


async def everything(reading: Tail) -> list[Seen]:
    """All there is now."""
    found: list[Seen] = []
    while more := await reading.take(wait_s=0):
        found += more
    return found


async def test_pages_are_put_together(client: Client) -> None:
    """More than two portions come in order, each event once, and then there is nothing."""
    await put(client, 2 * PORTION + 10)
    async with tail(client) as reading:
        first = await reading.take()
        assert len(first) == PORTION
        found = [*first, *await everything(reading)]
    assert [seen.data["n"] for seen in found] == list(range(1, 2 * PORTION + 11))
    assert [seen.seq for seen in found] == list(range(1, 2 * PORTION + 11))


async def test_holes_are_stepped_over(client: Client) -> None:
    """Purged and deleted events are not waited for."""
    await put(client, 40)
    await call(client, "STREAM.PURGE.BRIDGE", {"seq": 11})
    for seq in (20, 21, 40):
        await call(client, "STREAM.MSG.DELETE.BRIDGE", {"seq": seq})
    async with tail(client) as reading:
        assert [seen.seq for seen in await everything(reading)] == [n for n in range(11, 40) if n not in (20, 21)]


async def test_a_filter_with_wildcards(client: Client) -> None:
    """Only what matches comes: neither cursors and owners nor other vendors' events."""
    await put(client, 2)
    await put(client, 2, "acme.main.thing.deleted.{}")
    await put(client, 1, "other.main.thing.deleted.{}")
    await ask(client, "bridge.owner.main", b"{}")
    async with tail(client) as reading:
        assert len(await everything(reading)) == 5
    async with tail(client, "events.acme.*.*.deleted.*") as reading:
        subjects = [seen.subject for seen in await everything(reading)]
    assert subjects == ["events.acme.main.thing.deleted.1", "events.acme.main.thing.deleted.2"]


async def test_from_a_point_in_time(client: Client) -> None:
    """What was stored before it does not come, and what is stored afterwards does."""
    await put(client, 3)
    async with tail(client) as reading:
        third = (await everything(reading))[2].stored_ms
    now = datetime.now(UTC)
    await wait_until(lambda: datetime.now(UTC).timestamp() * 1000 > third + 20, what="the clock to move on")
    start = datetime.now(UTC)
    assert start > now
    async with tail(client, start=start) as reading:
        assert await reading.take(wait_s=0) == []
        await put(client, 2, "acme.main.thing.created.{}")
        assert [seen.seq for seen in await everything(reading)] == [4, 5]


async def test_from_now_on(client: Client) -> None:
    """With the sequence after the last only news come, and a waiting reader gets them as soon as they are stored."""
    await put(client, 3)
    start = await last_sequence(client, stream="BRIDGE", prefix=API) + 1
    async with tail(client, start=start) as reading, anyio.create_task_group() as group:
        group.start_soon(put, client, 1, "acme.main.thing.created.{}")
        with anyio.fail_after(90):
            found: list[Seen] = []
            while not found:
                found = await reading.take()
    assert [seen.subject for seen in found] == ["events.acme.main.thing.created.1"]


async def test_events_larger_than_an_answer(client: Client) -> None:
    """An answer ends early because of its size, and the next one goes on."""
    await put(client, 8, payload=json.dumps({"n": "x" * 900_000}).encode())
    async with tail(client) as reading:
        first = await reading.take()
        assert 0 < len(first) < 8
        found = [*first, *await everything(reading)]
    assert [seen.seq for seen in found] == list(range(1, 9))


async def test_an_event_larger_than_a_whole_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come one by one where each of them exceeds what an answer may hold."""
    monkeypatch.setattr("bridge.edge.operator.tail.MOST_BYTES", 1000)
    await put(client, 3, payload=json.dumps({"n": "x" * 5000}).encode())
    async with tail(client) as reading:
        assert [seen.seq for seen in await everything(reading)] == [1, 2, 3]


async def test_headers_are_decoded_and_the_servers_own_left_out(client: Client) -> None:
    """CloudEvents headers come as text; expectations and the server's headers do not come at all."""
    headers = {"ce-subject": "K%C3%B6ln%20%25", "Bridge-Digest": "1-a%20b", "Nats-Expected-Last-Sequence": "0"}
    await ask(client, "bridge.in.acme.main.thing.created.1", b'{"id": "1"}', headers)
    async with tail(client) as reading:
        (seen,) = await everything(reading)
    assert seen.headers == {"ce-subject": "Köln %", "Bridge-Digest": "1-a%20b"}
    assert abs(seen.stored_ms - datetime.now(UTC).timestamp() * 1000) < 60_000


async def test_what_is_no_json_does_not_end_it(client: Client) -> None:
    """Somebody else's message comes without data."""
    await put(client, 1, payload=b"\xff{")
    async with tail(client) as reading:
        (seen,) = await everything(reading)
    assert seen.data is None


async def test_a_restart_of_the_server_costs_nothing(tmp_path: Path) -> None:
    """While it is away `take` raises Away; afterwards the reader goes on with the next event."""
    async with nats_server(tmp_path) as server, connected(server.url) as client:
        await make_stream(client)
        await put(client, 3)
        async with tail(client) as reading:
            assert len(await reading.take()) == 3
            await server.kill()
            with pytest.raises(Away):
                await reading.take()
            await server.start()
            await wait_until(lambda: client.is_connected, what="the client to be back")
            await put(client, 2, "acme.main.thing.created.{}")
            assert [seen.seq for seen in await reading.take()] == [4, 5]
            assert reading.remade == 0


async def test_a_stream_made_anew_is_read_from_its_beginning(client: Client) -> None:
    """A reader that stands further than the new stream reaches does not wait there for ever."""
    await put(client, 5)
    async with tail(client) as reading:
        assert len(await reading.take()) == 5
        assert await reading.take(wait_s=0.01) == []
        await call(client, "STREAM.DELETE.BRIDGE")
        await make_stream(client)
        await put(client, 2)
        found = await reading.take(wait_s=0.01) or await reading.take(wait_s=0.01)
        assert [seen.seq for seen in found] == [1, 2]
        assert reading.remade == 1


async def test_a_stream_that_is_not_there(client: Client) -> None:
    """A sentence, at once, from both ways of asking."""
    await call(client, "STREAM.DELETE.BRIDGE")
    with anyio.fail_after(90):
        with pytest.raises(StreamMissing, match="BRIDGE does not exist yet"):
            await last_sequence(client, stream="BRIDGE", prefix=API)
        async with tail(client) as reading:
            with pytest.raises(StreamMissing, match="BRIDGE does not exist yet"):
                await reading.take()


async def test_a_server_without_jetstream(tmp_path: Path) -> None:
    """It is told apart from one that is slow."""
    async with nats_server(tmp_path, jetstream=False) as server, connected(server.url) as client:
        with pytest.raises(JetStreamOff):
            await last_sequence(client, stream="BRIDGE", prefix=API)
        async with tail(client) as reading:
            with pytest.raises(JetStreamOff):
                await reading.take()


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:01.123456789Z", 1123),
    ],
)
def test_time_stamps(stamp: str, expected: int) -> None:
    """Any number of digits of a second."""
    assert stored_ms(stamp) == expected
