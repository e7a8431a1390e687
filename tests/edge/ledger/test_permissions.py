"""The smallest permission list: the bridge works under it, and without any one entry it does not, and says which."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import pytest

from bridge.core.errors import Away, Unfit
from bridge.core.lease import Claim, Tenant
from bridge.core.record import Json
from bridge.edge.ledger.layout import BOUND, LedgerNames, establish, lease_config, state_config, stream_config
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.permissions import permissions
from bridge.edge.nats.connection import NatsConnection, connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Cursor, Stored
from tests.support.asking import plain_client
from tests.support.emptying import remove_streams
from tests.support.nats_server import NatsServer, nats_server_blocking
from tests.support.sealing import VENDOR, head_at, key, sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

VERIFY = LedgerNames(manage="verify")
CREATE = LedgerNames()
INBOX = "_BRIDGED"
ENTRIES = permissions(VERIFY, INBOX)["publish"]["allow"]
MAKING = [subject for subject in permissions(CREATE, INBOX)["publish"]["allow"] if subject not in ENTRIES]


def user(name: str, allowed: Json) -> Json:
    return {"user": name, "password": "p", "permissions": allowed}


def without(names: LedgerNames, entry: str) -> Json:
    allowed = permissions(names, INBOX)
    return {
        side: {"allow": [subject for subject in rule["allow"] if subject != entry] or ["nothing"]}
        for side, rule in allowed.items()
    }


def accounts() -> str:
    """The bridge's user with exactly the list, and one for each entry who has all but that."""
    users = [{"user": "admin", "password": "p"}, user("bridge", permissions(VERIFY, INBOX))]
    users += [user(f"verify-{n}", without(VERIFY, entry)) for n, entry in enumerate([*ENTRIES, f"{INBOX}.>"])]
    users += [user(f"create-{n}", without(CREATE, entry)) for n, entry in enumerate(MAKING)]
    users.append(user("creator", permissions(CREATE, INBOX)))
    return f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("permissions"), extra=accounts()) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is denied is never answered, and nothing here takes the server long."""
    monkeypatch.setattr("bridge.edge.nats.jetstream.WALKS", 1)
    monkeypatch.setattr("bridge.edge.ledger.ledger.OWN_TIMES", 1)


@pytest.fixture
async def admin(server: NatsServer) -> AsyncIterator[JetStream]:
    async with plain_client(server.url, user="admin", password="p") as nc:
        js = JetStream(nc, deadline_s=30)
        await remove_streams(js, ("KV_bridge-state", "BRIDGE", "KV_bridge-leases"), server.folder)
        yield js


@asynccontextmanager
async def connected(server: NatsServer, name: str) -> AsyncIterator[NatsConnection]:
    url = server.url.replace("://", f"://{name}:p@")
    async with connect(NatsOptions(urls=(url,), inbox_prefix=INBOX)) as connection:
        yield connection


async def exercise(connection: NatsConnection, names: LedgerNames, admin: JetStream, *, deadline_s: float = 2) -> None:
    """Everything that the bridge ever does on the server. `deadline_s`: so long what is denied is waited for."""
    ledger = JetStreamLedger(connection.client, names, deadline_s=deadline_s, patience_s=2 * deadline_s)
    source = "main"
    await ledger.prepare()
    book = await ledger.open(VENDOR, source, {"instance": "test"})
    first, gap = sealed(key("1"), after=1), sealed(key("g", "gap", vendor="bridge"), "opened", {})
    (outcome, _) = await book.append([first, gap])
    if not isinstance(outcome, Stored):
        raise Away("nobody told the outcome")
    await book.commit([sealed(key("2")), sealed(key("3"))], "walk", Cursor({"n": 1}))
    assert await book.stored([key("4", "message")]) == set()
    assert await book.head(key("1")) == head_at(first, outcome.seq)
    # The connection is made anew: what is there is verified, and read again.
    ledger.disconnected()
    ledger.reconnected()
    book = await ledger.open(VENDOR, source, {"instance": "test"})
    assert len(book.memory.heads) == 3
    await admin.call("STREAM.PURGE.BRIDGE", {"filter": "events.>", "seq": outcome.seq + 1})
    assert await book.after(key("1"), head_at(first, outcome.seq)) == 1
    leases = JetStreamLeases(connection.client, names, deadline_s=deadline_s)
    assert await leases.look([source]) == {}
    tenant = Tenant(instance="i", boot="b", host="h", place="p", pid=1, started=0)
    seq = await leases.put(source, Claim(tenant, 0, 10.0), 0)
    assert seq is not None
    assert await leases.drop(source, seq)


async def make(admin: JetStream) -> None:
    for config in (stream_config(VERIFY), state_config(VERIFY), lease_config(VERIFY)):
        await admin.call(f"STREAM.CREATE.{config['name']}", config)


def fits(subject: str, pattern: str) -> bool:
    """Whether the server's permission `pattern` covers `subject`."""
    ours, theirs = subject.split("."), pattern.split(".")
    if theirs[-1] == ">":
        ours, theirs = ours[: len(theirs) - 1], theirs[:-1]
    return len(ours) == len(theirs) and all(one in ("*", other) for one, other in zip(theirs, ours, strict=True))


async def test_the_bridge_works_under_the_list(server: NatsServer, admin: JetStream) -> None:
    """An operator made everything; the bridge only verifies; nothing it does is denied."""
    await make(admin)
    async with connected(server, "bridge") as connection:
        await exercise(connection, VERIFY, admin, deadline_s=30)
        await connection.client.flush()
        assert connection.denied == []


async def test_it_makes_what_is_missing_with_a_few_entries_more(server: NatsServer, admin: JetStream) -> None:
    """With `manage = "create"`: streams, buckets, and the view anew when the stream is another."""
    async with connected(server, "creator") as connection:
        await exercise(connection, CREATE, admin)
        await admin.call("STREAM.DELETE.BRIDGE")
        await admin.call("STREAM.CREATE.BRIDGE", stream_config(CREATE))
        await establish(JetStream(connection.client), CREATE)
        await connection.client.flush()
        assert connection.denied == []


@pytest.mark.parametrize(("number", "entry"), [*enumerate([*ENTRIES, f"{INBOX}.>"])])
async def test_without_any_one_entry_something_breaks(
    server: NatsServer, admin: JetStream, number: int, entry: str
) -> None:
    """Every entry is needed, and the error that says so names the subject."""
    await make(admin)
    async with connected(server, f"verify-{number}") as connection:
        await break_down(connection, VERIFY, admin)
        await wait_until(lambda: connection.denied, what="the server's refusal")
        assert all(fits(denied.subject, entry) for denied in connection.denied)


@pytest.mark.parametrize(("number", "entry"), [*enumerate(MAKING)])
async def test_without_any_one_entry_something_is_not_made(
    server: NatsServer, admin: JetStream, number: int, entry: str
) -> None:
    """The same for what it takes to make streams and buckets, and the view anew."""
    if ".DELETE." in entry:
        # A view that was made from another life of the stream.
        await make(admin)
        await admin.call("STREAM.DELETE.KV_bridge-state")
        config = {**state_config(CREATE), "metadata": {BOUND: "2020-01-01T00:00:00Z"}}
        await admin.call("STREAM.CREATE.KV_bridge-state", config)
    async with connected(server, f"create-{number}") as connection:
        await break_down(connection, CREATE, admin)
        await wait_until(lambda: connection.denied, what="the server's refusal")
        assert {denied.subject for denied in connection.denied} == {entry}


def test_a_view_with_replicas_takes_one_entry_more() -> None:
    """Another leader is asked for only where there can be one, and where the bridge may alter things."""

    def allowed(manage: Literal["create", "verify"], replicas: int) -> set[str]:
        return set(permissions(LedgerNames(manage=manage, replicas=replicas), INBOX)["publish"]["allow"])

    assert allowed("create", 3) - allowed("create", 1) == {"$JS.API.STREAM.LEADER.STEPDOWN.KV_bridge-state"}
    assert allowed("verify", 3) == allowed("verify", 1)


async def break_down(connection: NatsConnection, names: LedgerNames, admin: JetStream) -> None:
    """Do everything, as far as one gets. Only what the bridge calls a condition may stop it."""
    with anyio.fail_after(120):
        try:
            await exercise(connection, names, admin)
        except (Away, Unfit):
            return
