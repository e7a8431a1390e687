"""What a live session keeps while nothing happens: there may be thousands, and they last for months."""

from __future__ import annotations

import asyncio
import ssl
from itertools import count
from pathlib import Path

import pytest

from bridge.core.facts import GraphqlSession, Operation
from bridge.core.secret import Secret
from bridge.edge.websocket import WebSockets
from bridge.engine.subscriptions import GraphqlFeed
from tests.support.certificates import Authority
from tests.support.dialects import LEGACY, Peer, Speaker
from tests.support.graphql_server import graphql_server
from tests.support.holding import holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def beats(peer: Peer) -> None:
    """Accepts, confirms, sends a result and beats."""
    speaker = Speaker(peer, LEGACY)
    await speaker.accept()
    await speaker.number(await speaker.subscribed(), 1)
    await speaker.beat()
    await speaker.until_gone()


async def test_the_handshake_is_not_kept(tmp_path: Path) -> None:
    """Neither the request with its token, nor the answer's headers, nor the certificate taken apart; all goes on."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "127.0.0.1"))
    async with graphql_server(beats, tls=context) as server:
        session = GraphqlSession(server.url(), LEGACY, (), headers={"Authorization": Secret("hunter2-hunter2")})
        async with WebSockets(ca_file=str(authority.path)).connect(session) as socket:
            wire = socket._wire
            assert wire.request is None
            assert wire.response is not None
            assert not list(wire.response.headers.raw_items())
            assert wire.transport.get_extra_info("peercert") == {}
            await socket.send({"type": "connection_init"})
            assert (await socket.receive())[0] == {"type": "connection_ack"}


async def test_a_session_at_rest_has_one_task_of_its_own() -> None:
    """The watch over its silence. Whoever holds it reads; subscribing and tending are over. A task costs kilobytes."""
    async with graphql_server(beats) as server:
        session = GraphqlSession(server.url(), LEGACY, (Operation("one", "subscription { one }"),), settle_s=0.05)
        feed = GraphqlFeed(session, WebSockets(), count(1))
        async with holding(feed) as hold:
            await hold.wait_settled()
            await wait_until(lambda: feed.statistics.last_beat is not None)

            def own() -> list[str]:
                return [name for task in asyncio.all_tasks() if "_Holding" in (name := task.get_name())]

            await wait_until(lambda: len(own()) <= 1)
            assert [name.rpartition(".")[2] for name in own()] == ["_watch"]
