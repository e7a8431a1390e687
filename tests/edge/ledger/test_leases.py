"""What every bucket of leases promises: the same sentences for the real one, on a real nats-server, and for its twin.

And what only the real one can show: the bucket as any KV client sees it, and what befalls it on the server.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import nats
import pytest

from bridge.core.errors import Away
from bridge.core.lease import Seen
from bridge.core.vitals import Reserves, Tempo, Vitals
from bridge.edge.ledger.layout import LayoutDiffers, LayoutMissing, LedgerNames, lease_config
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.edge.nats.connection import NatsConnection, connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.edge.process import monotonic
from bridge.engine.ports import Leases
from bridge.engine.tenancy import LeaseOffice
from tests.support.emptying import remove_streams
from tests.support.memory_leases import MemoryLeases, claim, tenant
from tests.support.nats_server import NatsServer, nats_server, nats_server_blocking
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

NAMES = LedgerNames()
BUCKET = NAMES.lease_stream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("leases")) as running:
        yield running


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[NatsConnection, JetStreamLeases]]:
    """A connection as the daemon has it, and the bucket over it."""
    buckets: list[JetStreamLeases] = []
    async with connect(NatsOptions(urls=(url,)), on_disconnect=lambda: buckets[0].disconnected()) as connection:
        # A guard, never a measure: where nobody listens, that is heard at once.
        buckets.append(JetStreamLeases(connection.client, deadline_s=30))
        yield connection, buckets[0]


@pytest.fixture(params=["real-asyncio", pytest.param("twin-asyncio", marks=pytest.mark.chaos), "twin-trio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anyio_backend(kind: str) -> str:
    return kind.partition("-")[2]


@pytest.fixture
async def leases(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Leases]:
    if kind.startswith("twin"):
        yield MemoryLeases()
        return
    server: NatsServer = request.getfixturevalue("server")
    async with connected(server.url) as (connection, bucket):
        await remove(connection, server)
        yield bucket


async def remove(connection: NatsConnection, server: NatsServer) -> None:
    """No bucket, and no files of a former one: as on a server the bridge has never seen."""
    await remove_streams(JetStream(connection.client, deadline_s=30), (BUCKET,), server.folder)


async def seen(leases: Leases, source: str = "acme") -> Seen:
    return (await leases.look([source])).get(source, Seen())


def office(leases: Leases, instance: str, lease_s: float = 1.0) -> LeaseOffice:
    return LeaseOffice(
        leases,
        tenant(instance),
        lease_s=lease_s,
        wall=lambda: 1,
        roll=Random(1).random,
        alive=lambda _: True,
        clock=monotonic,
    )


async def test_a_free_lease_is_claimed_and_seen_by_all(leases: Leases) -> None:
    """What was claimed is what everybody sees under the source's name; other names stay free."""
    assert await seen(leases) == Seen()
    mine = claim("a", lease_s=30.0)
    seq = await leases.put("acme", mine, 0)
    assert seq
    assert await seen(leases) == Seen(seq, True, mine)
    assert await seen(leases, "other") == Seen()


async def test_a_claim_is_refused_to_who_has_not_seen_the_last(leases: Leases) -> None:
    """Neither a newcomer nor a former holder can write over a claim they do not know."""
    first = await leases.put("acme", claim("a", lease_s=30.0), 0)
    assert first is not None
    for wrong in (0, first - 1, first + 1):
        assert await leases.put("acme", claim("b"), wrong) is None
        assert not await leases.drop("acme", wrong)
    second = await leases.put("acme", claim("b", lease_s=30.0), first)
    assert second is not None
    assert await leases.put("acme", claim("a"), first) is None
    assert await seen(leases) == Seen(second, True, claim("b", lease_s=30.0))


async def test_renewing_keeps_it_alive(leases: Leases) -> None:
    """Each renewal gives the lease its whole time again: it outlives a longer one that nobody renews."""
    mine = claim("a", lease_s=8.0)
    # Its end is the clock.
    assert await leases.put("other", claim("b", lease_s=10.0), 0)
    seq = await leases.put("acme", mine, 0)

    async def outlived() -> bool:
        nonlocal seq
        assert seq is not None
        seq = await leases.put("acme", mine, seq)
        found = await leases.look(["acme", "other"])
        assert found["acme"].held
        return not found.get("other", Seen()).held

    await wait_until(outlived, what="the other lease to run out")


async def test_what_a_renewal_measured_comes_back(leases: Leases) -> None:
    """It is read as it was written, and a claim is the same claim with it, with other numbers, and without."""
    mine = claim("a", lease_s=30.0)
    first = Vitals(at_ms=1_767_225_600_000, live=True, frames=1234, round_trip_ms=3.1, last_beat_ms=1_767_225_596_000)
    second = Vitals(at_ms=1_767_225_603_000, sessions=2, odd=3, unreadable=4, filtered=5, acks=6)
    seq: int | None = 0
    quota = Reserves(limit=50, period_s=900.0, ours=40.0, reserve=10, left=38, resets_ms=1_767_225_999_000, walks=2)
    walks = (Tempo("projects", 300.0, 900.0, 2.5, 1_767_225_666_000, 3, 9), Tempo("täsks", 5.0, 5.0))
    polled = Vitals(at_ms=1_767_225_609_000, polled=True, walks=walks, quota=quota)
    for measured in (None, first, second, polled, None):
        seq = await leases.put("acme", dataclasses.replace(mine, session=measured), seq or 0)
        assert seq
        found = await seen(leases)
        assert found == Seen(seq, True, mine)
        assert found.claim is not None
        assert found.claim.session == measured


async def test_what_nobody_renews_runs_out(leases: Leases) -> None:
    """After its time the server removes it, not before, and it can be claimed again."""
    start = anyio.current_time()
    seq = await leases.put("acme", claim("a", lease_s=1.0), 0)
    assert seq

    async def free() -> bool:
        return not (await seen(leases)).held

    await wait_until(free, 60, "the server to remove it")
    assert anyio.current_time() - start >= 1.0
    found = await seen(leases)
    assert not found.held
    assert await leases.put("acme", claim("a"), seq) is None
    assert await leases.put("acme", claim("b", lease_s=30.0), found.seq)
    assert (await seen(leases)).claim == claim("b", lease_s=30.0)


async def test_what_is_given_back_is_free_at_once(leases: Leases) -> None:
    """A released lease is seen to be free by the next look, and can be taken; once only it can be given back."""
    seq = await leases.put("acme", claim("a", lease_s=30.0), 0)
    assert seq
    assert await leases.drop("acme", seq)
    found = await seen(leases)
    assert (found.held, found.claim) == (False, None)
    assert found.seq > seq
    assert not await leases.drop("acme", seq)
    assert await leases.put("acme", claim("b", lease_s=30.0), found.seq)


async def test_of_many_claimants_exactly_one_wins(leases: Leases) -> None:
    """Twenty who saw the same free lease claim it at once, many times over: one has it, and knows it."""
    after = 0
    for _ in range(10):
        won: list[tuple[str, int]] = []

        async def try_it(instance: str, after: int, won: list[tuple[str, int]]) -> None:
            seq = await leases.put("acme", claim(instance, lease_s=30.0), after)
            if seq is not None:
                won.append((instance, seq))

        async with anyio.create_task_group() as group:
            for n in range(20):
                group.start_soon(try_it, f"i{n}", after, won)
        assert len(won) == 1
        (instance, seq), found = won[0], await seen(leases)
        assert found == Seen(seq, True, claim(instance, lease_s=30.0))
        assert await leases.drop("acme", seq)
        after = (await seen(leases)).seq


async def test_names_of_any_kind_are_apart(leases: Leases) -> None:
    """One look tells of all that are asked for, whatever they are called, and of no others."""
    names = ["a.b", "*", ">", "Müller GmbH", "x" * 200, "", "A", "a"]
    for n, name in enumerate(names):
        assert await leases.put(name, claim(f"i{n}", lease_s=30.0), 0)
    found = await leases.look([*names, "absent"])
    assert {name: seen.claim and seen.claim.tenant.instance for name, seen in found.items()} == {
        name: f"i{n}" for n, name in enumerate(names)
    }
    assert await leases.look([]) == {}


async def test_a_dead_ones_lease_is_taken_over_in_time(leases: Leases) -> None:
    """A contender gets it within the lease and a second."""
    start = anyio.current_time()
    assert await leases.put("acme", claim("dead", lease_s=1.0), 0)
    with anyio.fail_after(90):
        await office(leases, "b").take("acme", lambda _: None)
    assert anyio.current_time() - start >= 0.9


async def test_a_released_lease_is_taken_over_at_once(leases: Leases) -> None:
    """Who stands by has it within half a second."""
    seq = await leases.put("acme", claim("a", lease_s=600.0), 0)
    assert seq
    waits: list[str] = []
    async with anyio.create_task_group() as group:

        async def contend() -> None:
            await office(leases, "b", 600.0).take("acme", waits.append)

        group.start_soon(contend)
        await wait_until(lambda: waits, 60, "the contender to stand by")
        released = anyio.current_time()
        assert await leases.drop("acme", seq)
    # Half a second of its own, and much for a machine that is busy: the lease itself would last ten minutes.
    assert anyio.current_time() - released < 300
    assert waits[0] == "instance a (process 1 on h)"


# --- the real one alone ---


@pytest.fixture
def only_real(kind: str) -> None:
    """A test of the real bucket."""


real = pytest.mark.parametrize("kind", ["real-asyncio"])


@pytest.fixture
async def bucket(kind: str, server: NatsServer) -> AsyncIterator[tuple[NatsConnection, JetStreamLeases]]:
    async with connected(server.url) as (connection, bucket):
        await remove(connection, server)
        yield connection, bucket


Side = tuple[NatsConnection, JetStreamLeases]


@real
async def test_a_kv_client_reads_it(bucket: Side, server: NatsServer) -> None:
    """Plain nats-py finds who holds what, and nothing where it was given back."""
    seq = await bucket[1].put("Müller", claim("a", lease_s=30.0), 0) if await bucket[1].look(["x"]) == {} else None
    assert seq is not None
    client = await nats.connect(server.url)
    try:
        kv = await client.jetstream().key_value(NAMES.lease_bucket)
        assert json.loads((await kv.get("M=C3=BCller")).value or b"")["instance"] == "a"
        assert await kv.keys() == ["M=C3=BCller"]
        assert await bucket[1].drop("Müller", seq)
        with pytest.raises(nats.js.errors.KeyNotFoundError):
            await kv.get("M=C3=BCller")
    finally:
        await client.close()


@real
async def test_taken_over_by_observation_where_the_server_removes_nothing(bucket: Side) -> None:
    """A claim without a time to live, unchanged for the lease it names, is taken; one that is renewed is not."""
    connection, leases = bucket
    await leases.prepare()
    body = json.dumps(claim("dead", lease_s=1.0).to_json()).encode()
    start = anyio.current_time()
    await connection.client.publish(NAMES.lease_subject("acme"), body)
    await wait_until(lambda: seen(leases), 60)
    with anyio.fail_after(90):
        await office(leases, "b").take("acme", lambda _: None)
    assert anyio.current_time() - start >= 1.0
    found = await seen(leases)
    assert found.claim is not None
    assert found.claim.tenant.instance == "b"


@real
@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"instance": "x"}'])
async def test_what_somebody_else_wrote_is_outwaited(bucket: Side, body: bytes) -> None:
    """A value that is no claim counts as held, until it has been there for our own lease."""
    connection, leases = bucket
    await leases.prepare()
    await connection.client.publish(NAMES.lease_subject("acme"), body)

    async def there() -> bool:
        return (await seen(leases)).held

    await wait_until(there, 60)
    assert (await seen(leases)).claim is None
    waits: list[str] = []
    with anyio.fail_after(90):
        await office(leases, "b").take("acme", waits.append)
    assert waits[0] == "somebody whose claim cannot be read"


@real
async def test_a_bucket_that_is_removed_is_made_anew(bucket: Side, server: NatsServer) -> None:
    """Without the bucket NATS counts as away; the next look makes it again."""
    connection, leases = bucket
    seq = await leases.put("acme", claim("a"), 0) if not await leases.look(["acme"]) else None
    assert seq
    await remove(connection, server)
    with pytest.raises(Away):
        await leases.put("acme", claim("a"), seq)
    assert await leases.look(["acme"]) == {}
    await remove(connection, server)
    with pytest.raises(Away):
        await leases.look(["acme"])
    assert await leases.look(["acme"]) == {}


@real
async def test_a_bucket_that_differs_is_left_alone(bucket: Side) -> None:
    """Without per-message TTL nothing would ever run out: an operator is told, and nothing is altered."""
    connection, leases = bucket
    js = JetStream(connection.client)
    lacking = {key: value for key, value in lease_config(NAMES).items() if "ttl" not in key}
    await js.call(f"STREAM.CREATE.{BUCKET}", lacking)
    with pytest.raises(LayoutDiffers, match="KV_bridge-leases: allow_msg_ttl is False, must be True"):
        await leases.look(["acme"])
    assert not (await js.stream(BUCKET))["config"].get("allow_msg_ttl")


@real
async def test_verify_makes_nothing(bucket: Side) -> None:
    """With `manage = "verify"` a missing bucket is an error that names it."""
    strict = JetStreamLeases(bucket[0].client, LedgerNames(manage="verify"))
    with pytest.raises(LayoutMissing, match="stream KV_bridge-leases is missing"):
        await strict.look(["acme"])


@real
async def test_a_lost_connection_is_heard_at_once(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Who waits for an answer when the connection breaks does not wait for the deadline; leases outlive the server."""
    async with (
        nats_server(tmp_path_factory.mktemp("restarted")) as server,
        connected(server.url) as (connection, leases),
    ):
        await leases.prepare()
        seq = await leases.put("acme", claim("a", lease_s=60.0), 0)
        assert seq
        await server.restart()
        await wait_until(lambda: connection.epoch > 1 and connection.connected, 60, "the connection to come back")
        assert await seen(leases) == Seen(seq, True, claim("a", lease_s=60.0))
        assert await leases.put("acme", claim("a", lease_s=60.0), seq)
        await server.kill()
        await wait_until(lambda: not connection.connected, 60, "the connection to break")
        with anyio.fail_after(90), pytest.raises(Away):
            await leases.put("acme", claim("a"), seq)
        with anyio.fail_after(90), pytest.raises(Away):
            await leases.look(["acme"])
