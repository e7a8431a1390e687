"""The list of permissions with alerts: they work under it, and without any one entry of theirs something does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bridge.core.errors import Away, Unfit
from bridge.core.record import Key
from bridge.edge.ledger.consumers import consumer_config
from bridge.edge.ledger.layout import LedgerNames, state_config, stream_config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.permissions import permissions
from bridge.edge.ledger.post import JetStreamPost
from bridge.edge.ledger.trail import JetStreamTrails
from bridge.edge.nats.connection import NatsConnection, connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from tests.support.asking import plain_client
from tests.support.emptying import remove_streams
from tests.support.nats_server import NatsServer, nats_server_blocking
from tests.support.sealing import sealed
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

VERIFY, CREATE = LedgerNames(manage="verify"), LedgerNames()
INBOX = "_BRIDGED"
PAIRS = [("ops", "env OPS")]


def more(names: LedgerNames) -> list[str]:
    """What alerts add."""
    plain = permissions(names, INBOX)
    with_alerts = permissions(names, INBOX, alerts=PAIRS)
    assert with_alerts["subscribe"]["allow"] == [f"{INBOX}.>", "live.>"]
    return [subject for subject in with_alerts["publish"]["allow"] if subject not in plain["publish"]["allow"]]


ENTRIES = more(VERIFY)
MAKING = [subject for subject in more(CREATE) if subject not in ENTRIES]


def without(names: LedgerNames, entry: str) -> dict[str, Any]:
    allowed = permissions(names, INBOX, alerts=PAIRS)
    return {side: {"allow": [one for one in rule["allow"] if one != entry]} for side, rule in allowed.items()}


def accounts() -> str:
    users: list[dict[str, Any]] = [{"user": "admin", "password": "p"}]
    lists = {"verify": without(VERIFY, ""), "create": without(CREATE, "")}
    lists |= {f"verify-{n}": without(VERIFY, entry) for n, entry in enumerate([*ENTRIES, "live.>"])}
    lists |= {f"create-{n}": without(CREATE, entry) for n, entry in enumerate(MAKING)}
    users += [{"user": name, "password": "p", "permissions": allowed} for name, allowed in lists.items()]
    return f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server_blocking(tmp_path_factory.mktemp("permissions"), extra=accounts()) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is denied is never answered, and nothing here takes the server long."""
    monkeypatch.setattr("bridge.edge.nats.jetstream.WALKS", 1)
    monkeypatch.setattr("bridge.edge.ledger.post.DEADLINE_S", 1.0)
    monkeypatch.setattr("bridge.edge.nats.pull.SILENCE_S", 1.0)


@pytest.fixture
async def admin(server: NatsServer) -> AsyncIterator[JetStream]:
    async with plain_client(server.url, user="admin", password="p") as nc:
        js = JetStream(nc, deadline_s=30)
        await remove_streams(js, ("KV_bridge-state", "BRIDGE"), server.folder)
        for config in (stream_config(VERIFY), state_config(VERIFY)):
            await js.call(f"STREAM.CREATE.{config['name']}", config)
        yield js


@asynccontextmanager
async def connected(server: NatsServer, user: str) -> AsyncIterator[NatsConnection]:
    url = server.url.replace("://", f"://{user}:p@")
    async with connect(NatsOptions(urls=(url,), inbox_prefix=INBOX)) as connection:
        yield connection


async def exercise(connection: NatsConnection, names: LedgerNames, admin: JetStream, *, deadline_s: float = 2) -> None:
    """Everything that alerts do on the server. What is not allowed raises Away, Unfit, or is in `denied`."""
    post, trails = JetStreamPost(connection.client, names), JetStreamTrails(connection.client, names)
    config = consumer_config(*(PAIRS[0] if names.manage == "verify" else ("gone", "x")))
    body = {"stream_name": "BRIDGE", "config": config}
    await admin.call(f"CONSUMER.CREATE.BRIDGE.{config['name']}.{config['filter_subject']}", body)
    if names.manage == "create":
        assert len(await post.retain(PAIRS)) == 1
        assert "bridged-alert-gone-x" not in (await admin.call("CONSUMER.NAMES.BRIDGE"))["consumers"]
    async with post.deliveries(*PAIRS[0]) as deliveries, trails.begin(["events.bridge.>"], None) as trail:
        book = await JetStreamLedger(connection.client, names, deadline_s=deadline_s).open("bridge", "alerts", {})
        await book.commit([sealed(Key("bridge", "ops", "alert", "1"), "occurred", {})], "decisions", None)
        assert len(await trail.take(wait_s=10)) == 1
        delivery = await deliveries.next(wait_s=10)
        assert delivery is not None
        await delivery.ack()
        await connection.client.flush()

        async def told() -> bool:
            return bool(connection.denied) or await deliveries.waiting() == 0

        await wait_until(told, what="it to be acknowledged")


@pytest.mark.parametrize("names", [VERIFY, CREATE], ids=["verify", "create"])
async def test_alerts_work_under_the_list(server: NatsServer, admin: JetStream, names: LedgerNames) -> None:
    """Whether an operator made the consumers or we do: nothing is denied."""
    async with connected(server, names.manage) as connection:
        await exercise(connection, names, admin, deadline_s=30)
        await connection.client.flush()
        assert connection.denied == []


@pytest.mark.parametrize(
    ("names", "number"),
    [
        *((VERIFY, number) for number in range(len(ENTRIES) + 1)),
        *((CREATE, number) for number in range(len(MAKING))),
    ],
    ids=[*ENTRIES, "live.>", *MAKING],
)
async def test_each_entry_is_needed(server: NatsServer, admin: JetStream, names: LedgerNames, number: int) -> None:
    """Without it the server denies exactly that, and we know which subject it was."""
    async with connected(server, f"{names.manage}-{number}") as connection:
        with suppress(Away, Unfit, AssertionError):
            await exercise(connection, names, admin)
        await wait_until(lambda: connection.denied, what="the server to deny it")
        entry = ([*ENTRIES, "live.>"] if names is VERIFY else MAKING)[number]
        kind = entry.removesuffix(">").removesuffix("*")
        assert all(one.subject.startswith(kind) for one in connection.denied), connection.denied
