"""Two processes take webhooks for one source, over a real server: the stream's expectations keep both right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from nats.aio.client import Client

from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from tests.support.hook_rig import Instance, order, settings, signed
from tests.support.hook_storm import Told, deliveries, judge, rage
from tests.support.nats_server import NatsServer, nats_server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


async def joined(stack: AsyncExitStack, url: str) -> tuple[JetStreamLedger, Client]:
    """A process's own connection and ledger."""
    made: list[JetStreamLedger] = []
    connection = await stack.enter_async_context(
        connect(
            NatsOptions(urls=(url,), reconnect_wait_s=0.2),
            on_disconnect=lambda: made[0].disconnected(),
            on_reconnect=lambda: made[0].reconnected(),
        )
    )
    made.append(JetStreamLedger(connection.client, LedgerNames(), deadline_s=10))
    await made[0].wait_ready()
    return made[0], connection.client


async def told(client: Client) -> list[Told]:
    """Every event of the source, in stream order."""
    js, found, seq = JetStream(client, deadline_s=30), list[Told](), 0
    while (message := await js.get("BRIDGE", {"next_by_subj": "events.webhook.>", "seq": seq + 1})) is not None:
        seq = message.seq
        _, _, _, entity, change, id_ = message.subject.split(".")
        found.append(Told(entity, change, id_, message.headers.get("Bridge-Version")))
    return found


async def test_a_storm_over_two_processes(server: NatsServer) -> None:
    """Shuffled, repeated, spread over both: each notice once, of each order only newer states, the newest at last."""
    random = Random(7)
    async with AsyncExitStack() as stack:
        ledgers = [await joined(stack, server.url) for _ in range(2)]
        instances = [Instance(ledger, settings(), owner=f"n{n}") for n, (ledger, _) in enumerate(ledgers)]
        what = deliveries(400, random)
        async with instances[0].running(), instances[1].running():
            await rage(instances, what, random, at_once=16)
            # Who comes later knows what both have stored.
            third = Instance((await joined(stack, server.url))[0], settings(), owner="n3")
            async with third.running():
                for id_, body in what[:20]:
                    assert (await third(signed(id_, body))).status == 202
                assert (await third(signed("msg_last", order("o0", 10_000)))).status == 202
            assert (await instances[0](signed("msg_last", order("o0", 10_000)))).status == 202
        judge([*what, ("msg_last", order("o0", 10_000))], await told(ledgers[0][1]))
