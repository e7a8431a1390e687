"""WebSockets in memory, for the virtual clock: a twin of the edge that keeps the same contract, and scripted peers."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from bridge.core.errors import Malformed
from bridge.core.session import Upgrade
from bridge.edge.codec import decode
from bridge.edge.outgoing import revealed
from bridge.engine.ports import Disconnected, UpgradeRefused
from tests.support.dialects import Json, PeerGone
from tests.support.graphql_server import Script

CLOSE_S = 1.0
BUFFERS = 65_536
"""Bytes on the way to a peer that does not read before sending has to wait."""
MIB = 1024 * 1024


class Line:
    """One direction: frames in flight, and how it ended."""

    def __init__(self) -> None:
        self.frames: deque[str | bytes] = deque()
        self.end: tuple[int, str] | None = None
        self.size = 0
        self._changed = anyio.Event()

    def put(self, frame: str | bytes) -> None:
        """Send a frame."""
        self.frames.append(frame)
        self.size += len(frame)
        self.stir()

    def take(self) -> str | bytes:
        """Receive a frame that is there."""
        frame = self.frames.popleft()
        self.size -= len(frame)
        self.stir()
        return frame

    def finish(self, code: int, reason: str = "") -> None:
        """Nothing more will come. The first reason counts."""
        self.end = self.end or (code, reason)
        self.stir()

    def stir(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = anyio.Event()

    async def change(self) -> None:
        """Wait until something was put, taken or ended."""
        await self._changed.wait()


class MemoryPeer:
    """The server's end; implements `Peer`."""

    def __init__(self, number: int, session: Upgrade) -> None:
        self.number = number
        self.headers = {name.lower(): str(revealed(value)) for name, value in session.headers.items()}
        self.received: list[Json] = []
        self.frozen = False
        self.to_client, self.to_server = Line(), Line()

    async def receive(self) -> Json:
        """See `Peer`."""
        frame = json.loads(await self._next())
        self.received.append(frame)
        return frame

    async def receive_text(self) -> str:
        """See `Peer`."""
        self.received.append(text := await self._next())
        return text

    async def _next(self) -> str:
        line = self.to_server
        while self.frozen or not line.frames:
            if line.end is not None and not self.frozen:
                raise PeerGone(line.end[0])
            await line.change()
        frame = line.take()
        assert isinstance(frame, str)
        return frame

    async def send(self, frame: Json) -> None:
        """See `Peer`."""
        await anyio.lowlevel.checkpoint()
        if self.to_server.end is not None or self.to_client.end is not None:
            raise PeerGone((self.to_server.end or self.to_client.end or (1006,))[0])
        self.to_client.put(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def close(self, code: int, reason: str = "") -> None:
        """See `Peer`."""
        await anyio.lowlevel.checkpoint()
        self.to_client.finish(code, reason)

    def drop(self) -> None:
        """See `Peer`."""
        self.to_client.frames.clear()
        self.to_client.finish(1006)
        self.to_server.finish(1006)

    def freeze(self) -> None:
        """See `Peer`."""
        self.frozen = True


class MemorySocket:
    """Implements `Socket`."""

    def __init__(self, peer: MemoryPeer, session: Upgrade) -> None:
        self._peer = peer
        self._session = session
        self._heard_at = anyio.current_time()
        self._closed = False

    async def send(self, frame: Json) -> None:
        """See `Socket`."""
        await self.send_text(json.dumps(revealed(frame)))

    async def send_text(self, text: str, json_: Json = None) -> None:
        """See `Socket`."""
        await anyio.lowlevel.checkpoint()
        there, back = self._peer.to_server, self._peer.to_client
        text += "" if json_ is None else json.dumps(revealed(json_))
        while self._peer.frozen and there.size + len(text) > BUFFERS and back.end is None:
            await there.change()
        if back.end is not None:
            raise Disconnected(*back.end)
        there.put(text)

    def say(self, text: str) -> bool:
        """See `Socket`."""
        there, back = self._peer.to_server, self._peer.to_client
        if back.end is not None or (self._peer.frozen and there.size + len(text) > BUFFERS):
            return False
        there.put(text)
        return True

    async def receive(self) -> tuple[Json, int, str]:
        """See `Socket`."""
        frame = await self.receive_raw()
        data = frame.encode() if isinstance(frame, str) else frame
        if isinstance(frame, bytes):
            return None, len(data), "a binary frame"
        try:
            return decode(data), len(data), ""
        except Malformed as error:
            return None, len(data), str(error)

    async def receive_raw(self) -> str | bytes:
        """See `Socket`."""
        await anyio.lowlevel.checkpoint()
        line, session = self._peer.to_client, self._session
        while not line.frames:
            if line.end is not None:
                raise Disconnected(*line.end)
            with anyio.move_on_after(self._patience()):
                await line.change()
                continue
            if not self._peer.frozen:
                # It has answered our ping.
                self._heard_at = anyio.current_time()
            else:
                line.finish(1006, "no answer to a ping")
        self._heard_at = anyio.current_time()
        frame = line.take()
        data = frame.encode() if isinstance(frame, str) else frame
        if len(data) > session.max_message_mb * MIB:
            line.finish(1009)
            line.frames.clear()
            self._peer.to_server.finish(1009)
            raise Disconnected(1009)
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `Socket`."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            if self._peer.frozen and self._peer.to_client.end is None:
                await anyio.sleep(CLOSE_S)
            self._peer.to_server.finish(code, reason)
            self._peer.to_client.finish(1006)

    def _patience(self) -> float | None:
        interval_s, timeout_s = self._session.ping_interval_s, self._session.ping_timeout_s
        if interval_s is None or timeout_s is None:
            return None
        return self._heard_at + interval_s + timeout_s - anyio.current_time()


class MemorySockets:
    """Implements `Sockets`. `refusals`: what the next attempts end in, each an error or None for a connection."""

    def __init__(self, group: TaskGroup, script: Script) -> None:
        self._group = group
        self._script = script
        self.refusals: list[Exception | None] = []
        self.peers: list[MemoryPeer] = []
        self.sessions: list[Upgrade] = []
        self.attempts: list[float] = []
        self.open = 0
        self.latency_s = 0.0

    @asynccontextmanager
    async def connect(self, session: Upgrade) -> AsyncIterator[MemorySocket]:
        """See `Sockets`."""
        self.attempts.append(anyio.current_time())
        self.sessions.append(session)
        await anyio.sleep(self.latency_s)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        peer = MemoryPeer(len(self.peers) + 1, session)
        self.peers.append(peer)
        self._group.start_soon(self._serve, peer)
        socket = MemorySocket(peer, session)
        self.open += 1
        try:
            yield socket
        finally:
            await socket.close()
            self.open -= 1

    async def _serve(self, peer: MemoryPeer) -> None:
        with suppress(PeerGone):
            await self._script(peer)
            peer.to_client.finish(1000)


@asynccontextmanager
async def memory_sockets(script: Script) -> AsyncIterator[MemorySockets]:
    """Sockets whose peers follow the script, until the block is left."""
    async with anyio.create_task_group() as group:
        yield MemorySockets(group, script)
        group.cancel_scope.cancel()


def refused(status: int, headers: dict[str, str] | None = None, subprotocol: str | None = None) -> UpgradeRefused:
    """The refusal of an upgrade request."""
    return UpgradeRefused(status, headers or {}, subprotocol)
