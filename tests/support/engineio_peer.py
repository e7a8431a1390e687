"""The server's side of Engine.IO, revisions 3 and 4, for scripts: honest by default, and dishonest as it is told."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio

from bridge.core.session import EngineioRevision, SocketioSession
from bridge.core.wire.engineio import Engineio
from bridge.edge.socketio_codec import SocketioCodec
from bridge.engine.socketio import SocketioFeed
from tests.support.dialects import Peer, PeerGone
from tests.support.graphql_server import Script
from tests.support.memory_socket import MemorySockets, memory_sockets

INTERVAL_S, TIMEOUT_S = 25.0, 60.0
"""What the platform documents."""

_ACK = re.compile(r"43(?:/[^,]*,)?([0-9]+)\[\]")


class Engine:
    """Speaks Engine.IO with one Socket.IO namespace to one peer."""

    def __init__(self, peer: Peer, revision: EngineioRevision, namespace: str = "/") -> None:
        self.peer = peer
        self.revision = revision
        self.pings: list[float] = []
        """When the client's pings came (revision 3), or its answers to ours (revision 4)."""
        self.acks: list[int] = []
        self.others: list[str] = []
        """What else the client has sent."""
        self.answer_after_s: float | None = 0.0
        """Of pings; None: never."""
        self._where = "" if namespace == "/" else f"{namespace},"

    async def open(self, interval_s: float = INTERVAL_S, timeout_s: float = TIMEOUT_S, **more: Any) -> None:
        """Send the open packet as the platform documents it; `more` goes into it."""
        beat = {"pingInterval": round(interval_s * 1000), "pingTimeout": round(timeout_s * 1000)}
        await self.peer.send("0" + json.dumps({**more, **beat}))

    async def connect(self) -> None:
        """Connect the namespace: in revision 3 unasked, unless it is another than `/`."""
        if self.revision == 3:
            await self.peer.send("40")
            if self._where:
                self.others.append(await self.peer.receive_text())
                await self.peer.send("40" + self._where)
        else:
            self.others.append(await self.peer.receive_text())
            await self.peer.send(f'40{self._where}{{"sid":"s-1"}}')

    async def welcome(self, interval_s: float = INTERVAL_S, timeout_s: float = TIMEOUT_S) -> None:
        """Open and connect."""
        await self.open(interval_s, timeout_s, sid="e-1", upgrades=[])
        await self.connect()

    async def event(self, name: str, *args: Any, ack: int | None = None) -> None:
        """One event."""
        number = "" if ack is None else str(ack)
        await self.peer.send(f"42{self._where}{number}{json.dumps([name, *args])}")

    async def serve(self) -> int:
        """Read, and answer pings, until the client leaves; returns its close code."""
        try:
            while True:
                text = await self.peer.receive_text()
                if text == "2":
                    self.pings.append(anyio.current_time())
                    if self.answer_after_s is not None:
                        await anyio.sleep(self.answer_after_s)
                        await self.peer.send("3")
                elif text == "3":
                    self.pings.append(anyio.current_time())
                elif (ack := _ACK.fullmatch(text)) is not None:
                    self.acks.append(int(ack[1]))
                else:
                    self.others.append(text)
        except PeerGone as gone:
            return gone.code

    async def ping(self, times: int, every_s: float = INTERVAL_S) -> None:
        """Revision 4: ask so many times, or until the client has left."""
        with suppress(PeerGone):
            for _ in range(times):
                await anyio.sleep(every_s)
                await self.peer.send("2")

    async def live(self, interval_s: float = INTERVAL_S, timeout_s: float = TIMEOUT_S) -> int:
        """Welcome and do what a server should until the client leaves; returns its close code."""
        await self.welcome(interval_s, timeout_s)
        if self.revision == 3:
            return await self.serve()
        async with anyio.create_task_group() as group:
            group.start_soon(self.ping, 100_000, interval_s)
            code = await self.serve()
            group.cancel_scope.cancel()
        return code


_codec = SocketioCodec()


def machine(session: SocketioSession) -> Engineio:
    """The real machine with the real codec."""
    return Engineio(session, _codec)


class Stage:
    """Peers that follow a script, and feeds to them."""

    def __init__(self, sockets: MemorySockets, revision: EngineioRevision, engines: list[Engine]) -> None:
        self.sockets = sockets
        self.engines = engines
        url = f"wss://iot.example.com/socket.io/?EIO={revision}&transport=websocket"
        self.session = SocketioSession(url, revision, settle_s=2.0)

    def feed(self, **more: Any) -> SocketioFeed:
        """One attempt."""
        return SocketioFeed(replace(self.session, **more), self.sockets, machine)

    @property
    def engine(self) -> Engine:
        """The server's side of the last connection."""
        return self.engines[-1]


@asynccontextmanager
async def stage(revision: EngineioRevision, talk: Any, namespace: str = "/") -> AsyncIterator[Stage]:
    """A stage whose peers do what `talk(engine)` says."""
    engines: list[Engine] = []

    async def script(peer: Peer) -> None:
        engines.append(engine := Engine(peer, revision, namespace))
        await talk(engine)

    honest: Script = script
    async with memory_sockets(honest) as sockets:
        yield Stage(sockets, revision, engines)
