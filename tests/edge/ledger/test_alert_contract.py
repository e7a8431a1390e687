"""What trails and places of alerts promise: the same sentences for the real ones, on a real server, and their twins."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.core.errors import Away
from bridge.core.event import Event
from bridge.core.record import Json, Key
from bridge.edge.ledger.consumers import (
    ConsumerDiffers,
    ConsumerMissing,
    consumer_config,
    consumer_name,
)
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.post import JetStreamDeliveries, JetStreamPost
from bridge.edge.ledger.trail import JetStreamTrails
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.alert_ports import Deliveries, Delivery, Passing, Post, Trail, Trails
from bridge.engine.ports import Ledger
from tests.support.emptying import remove_streams
from tests.support.memory_ledger import MemoryLedger
from tests.support.memory_post import MemoryPost, MemoryTrails
from tests.support.nats_server import NatsServer, nats_server_blocking
from tests.support.sealing import sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PATIENCE_S = 30.0
STREAMS = ("KV_bridge-state", "BRIDGE")
TEXT: dict[str, Json] = {"title": "it happened", "body": "here", "severity": "warning", "count": 3, "held": 2}


class Side(abc.ABC):
    """A ledger with its trails and places, and what a test may do behind their back."""

    ledger: Ledger
    trails: Trails
    post: Post

    async def put(self, *events: Event) -> list[int]:
        """Store these, one after the other; where they lie."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                try:
                    await self.ledger.wait_ready()
                    book = await self.ledger.open("acme", "main", {})
                    break
                except Away:
                    await anyio.sleep(0.05)
        return [(await book.commit([event], "w", None)).seqs[0] for event in events]

    @abc.abstractmethod
    async def lose_end(self, last_seq: int) -> None:
        """The stream loses what lies behind `last_seq`."""

    @abc.abstractmethod
    async def forget(self, alert: str, channel: str) -> None:
        """Somebody removes a place."""


class Twin(Side):
    def __init__(self) -> None:
        self.ledger = self.memory = MemoryLedger()
        self.places = MemoryPost(self.memory)
        self.trails, self.post = MemoryTrails(self.memory), self.places

    async def lose_end(self, last_seq: int) -> None:
        self.memory.lose_tail(last_seq)

    async def forget(self, alert: str, channel: str) -> None:
        del self.places.places[alert, channel]


class Real(Side):
    def __init__(self, client: Any, folder: Path, names: LedgerNames) -> None:
        self.client, self.folder = client, folder
        self.ledger = self.real = JetStreamLedger(client, names)
        self.trails, self.post = JetStreamTrails(client, names), JetStreamPost(client, names)
        self.js = JetStream(client)

    async def lose_end(self, last_seq: int) -> None:
        """Made anew, with as many messages as it is to have."""
        config = (await self.js.stream("BRIDGE"))["config"]
        await remove_streams(self.js, STREAMS, self.folder)
        await self.js.call("STREAM.CREATE.BRIDGE", config)
        for n in range(last_seq):
            await self.client.request(f"bridge.in.new.main.thing.created.n{n}", b"{}", timeout=PATIENCE_S)

    async def forget(self, alert: str, channel: str) -> None:
        await self.js.call(f"CONSUMER.DELETE.BRIDGE.{consumer_name(alert, channel)}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("alerts")) as running:
        yield running


@asynccontextmanager
async def real(server: NatsServer, **names: Any) -> AsyncIterator[Real]:
    sides: list[Real] = []

    def lost() -> None:
        for side in sides:
            side.real.disconnected()
            side.post.disconnected()  # type: ignore[attr-defined]

    def back() -> None:
        for side in sides:
            side.real.reconnected()

    options = NatsOptions(urls=(server.url,), reconnect_wait_s=0.1)
    async with connect(options, on_disconnect=lost, on_reconnect=back) as connection:
        sides.append(Real(connection.client, server.folder, LedgerNames(**names)))
        yield sides[0]


@pytest.fixture(params=["real", "twin"])
async def side(request: pytest.FixtureRequest, server: NatsServer) -> AsyncIterator[Side]:
    if request.param == "twin":
        yield Twin()
        return
    async with real(server) as found:
        await remove_streams(found.js, STREAMS, server.folder)
        await found.real.prepare()
        yield found


def thing(id_: str, change: str = "created", **more: Json) -> Event:
    return sealed(Key("acme", "main", "thing", id_), change, {"id": id_, **more})


def alert(id_: str, name: str = "ops") -> Event:
    return sealed(Key("bridge", name, "alert", id_), "occurred", TEXT)


async def ids(trail: Trail, count: int) -> list[str]:
    """Of so many events."""
    found: list[str] = []
    with anyio.fail_after(PATIENCE_S):
        while len(found) < count:
            found += [event.id for passing in await trail.take(wait_s=1) if (event := passing.event())]
    return found


async def told(deliveries: Deliveries) -> Delivery:
    """The next alert, which must come."""
    found = await deliveries.next(wait_s=PATIENCE_S)
    assert found is not None
    return found


async def none_waits(deliveries: Deliveries) -> bool:
    return await deliveries.waiting() == 0


# --- trails ---


async def test_a_trail_shows_each_event_once_in_order(side: Side) -> None:
    """What lies behind the place it begins at, and what comes while it is read."""
    seqs = await side.put(thing("a"), thing("b"), thing("c"))
    async with side.trails.begin(["events.acme.>"], seqs[0]) as trail:
        assert await ids(trail, 2) == ["b", "c"]
        assert trail.seq == seqs[2]
        await side.put(thing("d"))
        assert await ids(trail, 1) == ["d"]
        assert list(await trail.take(wait_s=0)) == []


async def test_a_trail_without_a_place_begins_at_the_end(side: Side) -> None:
    """Old events are not news."""
    await side.put(thing("a"))
    async with side.trails.begin(["events.>"], None) as trail:
        assert trail.seq == trail.end
        await side.put(thing("b"))
        assert await ids(trail, 1) == ["b"]


async def test_a_trail_passes_over_what_nobody_asked_for(side: Side) -> None:
    """Several filters are read as one: all of what they select comes."""
    await side.put(thing("z"))
    async with side.trails.begin(["events.acme.main.thing.created.a", "events.bridge.*.alert.>"], 0) as trail:
        await side.put(thing("a"), alert("b"))
        with anyio.fail_after(PATIENCE_S):
            found: list[Passing] = []
            while not any(passing.subject.startswith("events.bridge.") for passing in found):
                found += await trail.take(wait_s=1)
    assert {"events.acme.main.thing.created.a", "events.bridge.ops.alert.occurred.b"} <= {one.subject for one in found}


async def test_a_trail_that_the_stream_no_longer_reaches_goes_on_at_its_end(side: Side) -> None:
    """It says so, and what comes then is read."""
    await side.put(*(thing(f"n{n}") for n in range(10)))
    async with side.trails.begin(["events.>"], None) as trail:
        await side.lose_end(4)
        with anyio.fail_after(PATIENCE_S):
            while not trail.lost:
                assert list(await trail.take(wait_s=1)) == []
        assert trail.seq == 4
        trail.lost = ""
        await side.put(thing("x"))
        assert await ids(trail, 1) == ["x"]


async def test_a_place_beyond_the_end_is_lost_at_once(side: Side) -> None:
    """A cursor that knows more than the stream holds is of another stream, or of a former life of it."""
    (seq,) = await side.put(thing("a"))
    async with side.trails.begin(["events.>"], seq + 100) as trail:
        assert trail.lost
        assert trail.seq == trail.end == seq


# --- places ---


async def test_what_is_acknowledged_does_not_come_again(side: Side) -> None:
    """In order, one at a time, each with its text; what came before the place was made does not come."""
    await side.put(alert("old"))
    async with side.post.deliveries("ops", "hook") as deliveries:
        await side.put(alert("a"), alert("b"), alert("c", name="other"))
        first = await told(deliveries)
        assert (first.alert.title, first.alert.count, first.alert.held, first.tries) == ("it happened", 3, 2, 1)
        assert await deliveries.waiting() == 2
        await first.ack()
        second = await told(deliveries)
        assert second.alert.id != first.alert.id
        await second.ack()
        await wait_until(lambda: none_waits(deliveries), what="the server to have heard of it")
        assert await deliveries.next(wait_s=0.1) is None


async def test_what_is_not_acknowledged_comes_again(side: Side) -> None:
    """By the same id; nothing overtakes it, also while it waits."""
    async with side.post.deliveries("ops", "hook") as deliveries:
        await side.put(alert("a"), alert("b"))
        first = await told(deliveries)
        await first.nak(0.5)
        assert await deliveries.next(wait_s=0.1) is None
        again = await told(deliveries)
        assert (again.alert.id, again.tries) == (first.alert.id, 2)
        await again.ack()
        assert (await told(deliveries)).alert.id != first.alert.id


async def test_it_comes_again_to_whoever_works_then(side: Side) -> None:
    """A courier that died leaves its alert to the next, after some seconds; channels do not wait for each other."""
    async with side.post.deliveries("ops", "a") as deliveries:
        await side.put(alert("x"))
        id_ = (await told(deliveries)).alert.id
    async with side.post.deliveries("ops", "b"):
        pass
    async with side.post.deliveries("ops", "a") as deliveries:
        again = await told(deliveries)
        assert (again.alert.id, again.tries) == (id_, 2)


async def test_places_that_are_not_kept_are_removed(side: Side) -> None:
    """And begin anew with what comes then, should they return."""
    for channel in ("a", "b"):
        async with side.post.deliveries("ops", channel):
            pass
    await side.put(alert("x"))
    assert len(await side.post.retain([("ops", "a")])) == 1
    assert list(await side.post.retain([("ops", "a")])) == []
    async with side.post.deliveries("ops", "a") as deliveries:
        assert await deliveries.waiting() == 1
    async with side.post.deliveries("ops", "b") as deliveries:
        assert await deliveries.waiting() == 0


async def test_a_place_that_somebody_removed_is_made_anew(side: Side) -> None:
    """What comes then is told."""
    async with side.post.deliveries("ops", "a") as deliveries:
        await side.forget("ops", "a")
        with anyio.fail_after(PATIENCE_S):
            while True:
                try:
                    assert await deliveries.next(wait_s=0.2) is None
                    break
                except Away:
                    await anyio.sleep(0.05)
        (seq,) = await side.put(alert("x"))
        assert seq
        assert (await told(deliveries)).alert.title == "it happened"


# --- the real one alone ---


@pytest.fixture
async def only_real(server: NatsServer) -> AsyncIterator[Real]:
    async with real(server) as found:
        await remove_streams(found.js, STREAMS, server.folder)
        await found.real.prepare()
        yield found


async def test_one_that_vanished_goes_on_behind_what_was_told(only_real: Real) -> None:
    """What was not acknowledged when somebody removed the place is told all the same."""
    async with only_real.post.deliveries("ops", "a") as deliveries:
        await only_real.put(alert("x"), alert("y"), alert("z"))
        first = await told(deliveries)
        await first.ack()
        second = await told(deliveries)
        await only_real.forget("ops", "a")
        with pytest.raises(Away):
            await deliveries.next(wait_s=PATIENCE_S)
    # As a courier does it: with a new hold on the place.
    async with only_real.post.deliveries("ops", "a") as deliveries:
        assert (await told(deliveries)).alert.id == second.alert.id != first.alert.id
        assert await deliveries.waiting() == 2


async def test_a_wait_ends_with_the_connection(only_real: Real, server: NatsServer) -> None:
    """Whoever waits for an alert when the connection breaks learns it at once, and gets what comes after it."""
    async with only_real.post.deliveries("ops", "a") as deliveries:
        outcome: list[Exception | Delivery | None] = []

        async def wait() -> None:
            try:
                outcome.append(await deliveries.next(wait_s=PATIENCE_S))
            except Away as error:
                outcome.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(PATIENCE_S / 2):
                await server.restart()
                await wait_until(lambda: outcome, what="the wait to end")
        assert isinstance(outcome[0], Away)
        await only_real.real.wait_ready()
        await only_real.put(alert("x"))
        await (await told(deliveries)).ack()


async def test_a_missing_consumer_is_said_where_it_may_not_be_made(only_real: Real) -> None:
    """With `manage = "verify"` it is named, and nothing is made or removed; one made by hand does."""
    verifying = JetStreamPost(only_real.client, LedgerNames(manage="verify"))
    with pytest.raises(ConsumerMissing, match="bridged-alert-ops-a of stream BRIDGE is missing"):
        async with verifying.deliveries("ops", "a"):
            pass
    config = {**consumer_config("ops", "a")}
    body = {"stream_name": "BRIDGE", "config": config}
    await only_real.js.call(f"CONSUMER.CREATE.BRIDGE.{config['name']}.{config['filter_subject']}", body)
    async with verifying.deliveries("ops", "a") as deliveries:
        assert await deliveries.waiting() == 0
    assert list(await verifying.retain([])) == []


async def test_a_consumer_that_is_not_what_it_must_be(only_real: Real) -> None:
    """It is put right where that is ours to do, and goes on where it was; otherwise every setting is named."""
    config = {**consumer_config("ops", "a"), "ack_wait": 60_000_000_000, "max_ack_pending": 7}
    body = {"stream_name": "BRIDGE", "config": config}
    await only_real.js.call(f"CONSUMER.CREATE.BRIDGE.{config['name']}.{config['filter_subject']}", body)
    await only_real.put(alert("x"))
    verifying = JetStreamPost(only_real.client, LedgerNames(manage="verify"))
    with pytest.raises(ConsumerDiffers, match="ack_wait is 60000000000, must be 5000000000"):
        async with verifying.deliveries("ops", "a"):
            pass
    async with only_real.post.deliveries("ops", "a") as deliveries:
        assert (await told(deliveries)).tries == 1
    found = await only_real.js.call("CONSUMER.INFO.BRIDGE.bridged-alert-ops-a")
    assert (found["config"]["ack_wait"], found["config"]["max_ack_pending"]) == (5_000_000_000, 1)


def test_names_of_consumers() -> None:
    """Every pair has a name of its own, which says what it is and can stand in a subject."""
    assert consumer_name("ops", "env OPS") == "bridged-alert-ops-env=20OPS"
    pairs = [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("a=2Db", "c"), ("", "x"), ("x" * 150, "y" * 150), ("ü", "*.>")]
    names = {consumer_name(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert all(len(name) <= 200 and not set(name) & set(".*> /\\") for name in names)


async def test_one_that_knows_more_than_the_stream_is_made_anew(only_real: Real) -> None:
    """The stream was put back to an earlier state, and its consumers were not: what comes then is told."""
    async with only_real.post.deliveries("ops", "a") as deliveries:
        await only_real.put(alert("x"))
        await (await told(deliveries)).ack()
    kept = await only_real.js.call("CONSUMER.INFO.BRIDGE.bridged-alert-ops-a")

    async def beyond(self: Any) -> Any:
        info = await look(self)
        if info is not None and info["created"] == kept["created"]:
            info["delivered"]["stream_seq"] = 10**6
        return info

    look = JetStreamDeliveries._look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JetStreamDeliveries, "_look", beyond)
        async with only_real.post.deliveries("ops", "a") as deliveries:
            await only_real.put(alert("y"))
            await (await told(deliveries)).ack()
    now = await only_real.js.call("CONSUMER.INFO.BRIDGE.bridged-alert-ops-a")
    assert now["created"] != kept["created"]
