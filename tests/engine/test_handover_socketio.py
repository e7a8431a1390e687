"""Make before break with Socket.IO sessions, whose server ends each with its token."""

from __future__ import annotations

import anyio
import pytest

from bridge.adapter import Token
from bridge.core.session import EngineioRevision, SocketioSession
from bridge.engine.handover import Handover
from bridge.engine.socketio import SocketioFeed
from tests.engine.test_handover import Vendor
from tests.support.dialects import Peer
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine, machine
from tests.support.holding import Taken, holding
from tests.support.memory_socket import memory_sockets


@pytest.mark.parametrize("revision", [3, 4])
def test_nothing_is_missed_while_tokens_expire_every_five_seconds(revision: EngineioRevision) -> None:
    """A session with the new token listens before the old one is left; each event reaches one of them at least."""
    vendor = Vendor(5.0, margin_s=2.5)
    taken = Taken()
    listening: dict[str, Engine] = {}

    async def script(peer: Peer) -> None:
        name = peer.headers["cookie"].removeprefix("sid=")
        engine = Engine(peer, revision)
        with anyio.move_on_after(vendor.ends[name] - anyio.current_time()):
            await engine.welcome(0.5, 0.5)
            listening[name] = engine
            try:
                async with anyio.create_task_group() as group:
                    if revision == 4:
                        group.start_soon(engine.ping, 1_000, 0.5)
                    await engine.serve()
                    group.cancel_scope.cancel()
            finally:
                del listening[name]
            return
        await peer.send("41")

    async def main() -> None:
        async with memory_sockets(script) as sockets:

            def feed(token: Token) -> SocketioFeed:
                url = f"wss://iot.example.com/socket.io/?EIO={revision}&transport=websocket"
                headers = {"Cookie": f"sid={token.value.bare()}"}
                return SocketioFeed(SocketioSession(url, revision, headers=headers, settle_s=0.5), sockets, machine)

            async with holding(Handover(feed, vendor.keeper), taken) as hold:
                await hold.wait_settled()
                for n in range(1_000):
                    for engine in list(listening.values()):
                        await engine.event("tick", n)
                    await anyio.sleep(0.05)
                assert not hold.over.is_set(), hold.error
                assert sockets.open <= 2
                assert len(sockets.peers) > 15

    on_virtual_clock(main)
    assert {frame["args"][0] for frame in taken.frames} == set(range(1_000))
    assert taken.reasons == []
