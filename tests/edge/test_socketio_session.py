"""Socket.IO and stream sessions over real sockets, with real clocks: short heartbeats, a frozen server, leaving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import anyio
import pytest

from bridge.core.errors import Retry
from bridge.core.session import EngineioRevision, SocketioSession, StreamSession
from bridge.edge.codec import decode
from bridge.edge.websocket import WebSockets
from bridge.engine.socketio import SocketioFeed
from bridge.engine.stream import StreamFeed
from tests.support.dialects import Peer
from tests.support.engineio_peer import Engine, machine
from tests.support.graphql_server import GraphqlServer, graphql_server
from tests.support.holding import holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("revision", [3, 4])


@cache
def sockets() -> WebSockets:
    return WebSockets()


def feed(server: GraphqlServer, revision: EngineioRevision, **more: Any) -> SocketioFeed:
    url = server.url(f"/socket.io/?EIO={revision}&transport=websocket")
    return SocketioFeed(SocketioSession(url, revision, settle_s=0.05, **more), sockets(), machine)


def script(revision: EngineioRevision, engines: list[Engine], **beat: float) -> Callable[[Peer], Any]:
    async def talk(peer: Peer) -> None:
        engines.append(engine := Engine(peer, revision))
        await engine.live(**beat)

    return talk


@both
async def test_heartbeats_at_short_intervals_keep_a_session(revision: EngineioRevision) -> None:
    """Thirty of them, and events and acknowledgements in between."""
    engines: list[Engine] = []
    async with graphql_server(script(revision, engines, interval_s=0.05, timeout_s=30.0)) as server:
        live = feed(server, revision)
        async with holding(live) as hold:
            await hold.wait_settled()
            for n in range(50):
                await engines[0].event("tick", n, ack=n)
            await wait_until(lambda: len(hold.taken.frames) == 50)
            assert engines[0].acks == []
            for stored in hold.taken.stored:
                assert stored is not None
                stored()
            await wait_until(lambda: len(engines[0].acks) == 50)
            await wait_until(lambda: len(engines[0].pings) >= 30)
            assert engines[0].acks == list(range(50))
            assert [frame["args"] for frame in hold.taken.frames] == [[n] for n in range(50)]
            assert not hold.over.is_set()
            if revision == 3:
                assert live.statistics.round_trip_s is not None
                assert 0 < live.statistics.round_trip_s < 30
            assert await hold.leave() < 5
            await wait_until(lambda: engines[0].others[-1:] == ["41"])


@both
async def test_a_frozen_server_is_noticed_and_left(revision: EngineioRevision) -> None:
    """It stops reading and answering, and the connection stays open; not before its deadline, and soon after."""
    engines: list[Engine] = []

    async def talk(peer: Peer) -> None:
        engines.append(engine := Engine(peer, revision))
        await engine.welcome(0.2, 0.4)
        peer.freeze()
        await anyio.sleep_forever()

    async with graphql_server(talk) as server:
        began = time.monotonic()
        async with holding(feed(server, revision)) as hold:
            error = await hold.ended(60)
            assert type(error) is Retry
            assert "no answer to our ping within 0.4 s" in str(error) or "no ping of the server's" in str(error)
            assert 0.6 <= time.monotonic() - began < 30


@both
async def test_a_session_at_rest_has_one_task_of_its_own(revision: EngineioRevision) -> None:
    """The heartbeat. Whoever holds it reads; accepting and acknowledging are over. A task costs kilobytes."""
    engines: list[Engine] = []
    async with graphql_server(script(revision, engines)) as server, holding(feed(server, revision)) as hold:
        await hold.wait_settled()

        def own() -> list[str]:
            return [name for task in asyncio.all_tasks() if "_Holding" in (name := task.get_name())]

        await wait_until(lambda: len(own()) <= 1)
        assert [name.rpartition(".")[2] for name in own()] == ["_keep_beating"]


async def test_nothing_is_acknowledged_once_leaving_has_begun() -> None:
    """Not even what is stored in the same instant."""
    engines: list[Engine] = []
    async with graphql_server(script(3, engines)) as server, holding(feed(server, 3)) as hold:
        await hold.wait_settled()
        await engines[0].event("tick", ack=1)
        await wait_until(lambda: hold.taken.stored)
        hold.scope.cancel()
        (stored,) = hold.taken.stored
        assert stored is not None
        stored()
        await wait_until(hold.over.is_set)
        await wait_until(lambda: server.open == 0)
        assert engines[0].acks == []


async def test_a_stream_is_read_over_a_real_socket() -> None:
    """Messages as they were sent; then it is left with 1000."""

    async def talk(peer: Peer) -> None:
        for n in range(100):
            await peer.send({"_msgid": str(n)})
        await peer.receive_text()

    async with graphql_server(talk) as server:
        session = StreamSession(server.url("/events/stream"), settle_s=0.05)
        async with holding(StreamFeed(session, sockets(), decode)) as hold:
            await hold.wait_settled()
            await wait_until(lambda: len(hold.taken.frames) == 100)
            assert hold.taken.frames == [{"_msgid": str(n)} for n in range(100)]
            assert await hold.leave() < 5
            await wait_until(lambda: server.open == 0)
