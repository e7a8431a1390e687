"""Many packets at once through one session: from a real socket through the adapter into the telemetry's stream."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

import bridge.engine.live
from adapters.platform import Adapter, Settings
from bridge.adapter import Request, Response, Secret
from bridge.cli.sessions import Sessions
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.edge.websocket import WebSockets
from bridge.engine.inbox import Inbox
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import World
from tests.support.dialects import Peer
from tests.support.engineio_peer import Engine
from tests.support.graphql_server import graphql_server
from tests.support.nats_server import nats_server
from tests.support.sim_vendor import wall
from tests.support.stream import stream_reader
from tests.support.waiting import wait_until

ROUND = 1_000
"""Of so many packets the last asks to be acknowledged."""
UNSTORED = 6_000
"""So many packets are under way at most."""
BOUND = 10_000
FIRST_US = 1_722_338_333_562_289
OIDS = [f"66a8f3c0d1e2b4a59670{n:04}" for n in range(10)]

pytestmark = pytest.mark.anyio


class Empty:
    """A platform whose stores and journal hold nothing. An `Http`."""

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        await anyio.lowlevel.checkpoint()
        return Response(200, {}, b"[]", [])


class Watched(Inbox):
    """Remembers how full the fullest of them ever was."""

    fullest = 0

    def __call__(self, *offered: Any) -> None:
        """See `Inbox`."""
        super().__call__(*offered)
        Watched.fullest = max(Watched.fullest, self.statistics().frames)


def packet(number: int) -> tuple[str, dict[str, Any]]:
    """Its object, and what it says."""
    ts = FIRST_US + number * 50
    return OIDS[number % len(OIDS)], {"_ts": ts, "time": ts // 1000, "online": True, "temperature": 20 + number / 16}


async def burst(engine: Engine, packets: int, unstored: int, listens: anyio.Event) -> None:
    """Push all of them once somebody listens, as fast as they are taken, and only so many ahead of the ledger."""
    await engine.welcome()
    await listens.wait()
    async with anyio.create_task_group() as group:
        group.start_soon(engine.serve)
        for number in range(packets):
            oid, data = packet(number)
            event = {"_msgid": f"m{number}", "_oid": oid, "event": "object-packet", "time": data["time"], "data": data}
            last = number % ROUND == ROUND - 1
            await engine.event("object-packet", event, ack=number if last else None)
            if last:
                stored = number + 1 - (unstored - ROUND)
                await wait_until(lambda stored=stored: len(engine.acks) * ROUND >= stored, 60)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("packets", "unstored", "bound"),
    [
        pytest.param(2_000, UNSTORED, BOUND, id="as acknowledged"),
        pytest.param(2_000, 10**9, 150, id="ahead of what the inbox holds"),
        pytest.param(12_000, UNSTORED, BOUND, id="many", marks=pytest.mark.chaos),
    ],
)
async def test_a_burst_of_packets_is_stored_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packets: int, unstored: int, bound: int
) -> None:
    """All of them lie in the telemetry's stream, each once and as it was pushed, in the order they came.

    The inbox stays within its bound, also where the platform does not wait for us.
    """
    engines: list[Engine] = []
    listens = anyio.Event()

    async def script(peer: Peer) -> None:
        engines.append(Engine(peer, 3))
        await burst(engines[-1], packets, unstored, listens)

    Watched.fullest = 0
    monkeypatch.setattr(bridge.engine.live, "Inbox", Watched)
    monkeypatch.setattr("bridge.engine.inbox.FRAMES", bound)
    async with (
        nats_server(tmp_path) as server,
        graphql_server(script) as platform,
        connect(NatsOptions(urls=(server.url,))) as connection,
    ):
        ledger = JetStreamLedger(connection.client, deadline_s=30, patience_s=30)
        await ledger.prepare()
        adapter = Adapter(
            Settings(
                name="plant",
                adapter="platform",
                base_url=platform.url("").replace("ws", "http", 1),
                auth="issued",
                token=Secret("a token made by hand", "the test"),
                packets=False,
                ws_settle_s=0.05,
            )
        )
        world = World(
            ledger=ledger,
            http=Empty(),
            quotas=Quotas(),
            encode=encode,
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={"instance": "test"},
        )
        runner = Runner(Sessions(WebSockets(), Random(0).random).source(adapter), world)
        async with anyio.create_task_group() as group:
            group.start_soon(runner.run)
            await wait_until(lambda: runner.status.state is State.LIVE, 20, "the source to be live")
            listens.set()
            await wait_until(lambda: bool(engines) and len(engines[0].acks) == packets // ROUND, 120, "every packet")
            group.cancel_scope.cancel()
        async with stream_reader(server.url) as reader:
            found = await reader.telemetry()
    assert [engine.acks for engine in engines] == [list(range(ROUND - 1, packets, ROUND))]
    assert [(event.tokens[3], event.change) for event in found] == [("packet", "occurred")] * packets
    said = [(event.data["after"]["object_id"], event.data["after"]["ts"], event.data["after"]) for event in found]
    assert [(oid, ts) for oid, ts, _ in said] == [(packet(n)[0], packet(n)[1]["_ts"]) for n in range(packets)]
    assert said[-1][2]["values"]["temperature"] == 20 + (packets - 1) / 16
    assert 0 < Watched.fullest <= bound
    assert runner.status.inbox is not None
    assert runner.status.inbox.overruns == 0
