"""A TCP proxy on loopback that misbehaves: refuses, delays, trickles, cuts, half-closes, swallows, also one way only.

`async with proxy(server.port) as way:` then connect to `way.port`. Faults are counted, so that a test can prove that
they happened.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from tests.support.nats_server import free_port


@dataclass(eq=False)
class _Link:
    client: SocketStream
    server: SocketStream
    ended: bool = False
    """Whether the client was told that nothing more comes."""


@dataclass
class Proxy:
    """Between clients and the loopback port `target_port`, which may change at any time."""

    target_port: int
    port: int = field(default_factory=free_port)
    connections: int = 0
    cuts: int = 0
    refusals: int = 0
    swallowed: int = 0
    delayed: int = 0
    trickled: int = 0
    """Pieces that were held up because all came in pieces."""
    torn: int = 0
    """Connections reset by `cut_after`."""
    half_closed: int = 0
    """Connections whose clients were told that the server's side has ended."""
    held: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    """Chunks swallowed, by whether they were on their way up, to the server."""
    _delay_s: float = 0.0
    _trickle: tuple[int, float] | None = None
    _cut_after: int | None = None
    _open: dict[bool, anyio.Event] = field(default_factory=lambda: {True: anyio.Event(), False: anyio.Event()})
    _links: set[_Link] = field(default_factory=set)
    _tasks: TaskGroup | None = None
    _listening: anyio.CancelScope | None = None
    _closed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        """Where NATS clients connect to."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def links(self) -> int:
        """Connections open now."""
        return len(self._links)

    async def refuse(self) -> None:
        """Nobody listens any more: new connections are refused. Existing ones stay."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
            self.refusals += 1
            with anyio.fail_after(90):
                await self._closed.wait()

    async def accept(self) -> None:
        """Listen again, on the same port."""
        assert self._tasks is not None
        if self._listening is None:
            self._listening = await self._tasks.start(self._listen)

    def delay(self, seconds: float) -> None:
        """Every chunk waits so long, in both directions. 0 ends it."""
        self._delay_s = seconds

    def blackhole(self) -> None:
        """Connections stay open, new ones are accepted, and nothing gets through."""
        self._open = {True: anyio.Event(), False: anyio.Event()}

    def partition(self, *, upwards: bool) -> None:
        """Nothing gets through one way, up to the server or down from it; the other way is open."""
        self._open[upwards] = anyio.Event()

    def trickle(self, size: int, pause_s: float) -> None:
        """Everything comes in pieces of `size` bytes, with a pause before each, in both directions."""
        self._trickle = (size, pause_s)

    def heal(self) -> None:
        """Everything passes again, also what was held back."""
        self._delay_s = 0.0
        self._trickle = None
        self._cut_after = None
        for way in self._open.values():
            way.set()

    def cut(self) -> None:
        """Reset (RST) all connections, in both directions."""
        for link in list(self._links):
            self._reset(link)

    def cut_after(self, size: int) -> None:
        """Reset the connection once `size` more bytes have come from the client."""
        self._cut_after = size

    async def half_close(self) -> None:
        """Tell the clients that the server's side has ended (FIN), and go on taking what they send."""
        for link in list(self._links):
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                link.ended = True
                await link.client.send_eof()
                self.half_closed += 1

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[anyio.CancelScope]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port, reuse_port=False)
        self._closed = anyio.Event()
        with anyio.CancelScope() as scope:
            async with listener:
                task_status.started(scope)
                await self._serve(listener)
        self._closed.set()

    async def _serve(self, listener: anyio.abc.Listener[SocketStream] | SocketListener) -> None:
        # Links run in the outer group: they outlive the listener.
        await listener.serve(self._connect, self._tasks)

    async def _connect(self, client: SocketStream) -> None:
        self.connections += 1
        async with client:
            if not any(way.is_set() for way in self._open.values()):
                await self._open[True].wait()
            try:
                server = await anyio.connect_tcp("127.0.0.1", self.target_port)
            except OSError:
                return
            link = _Link(client, server)
            self._links.add(link)
            try:
                async with server, anyio.create_task_group() as pumps:
                    pumps.start_soon(self._pump, link, client, server, True)
                    pumps.start_soon(self._pump, link, server, client, False)
            finally:
                self._links.discard(link)

    async def _pump(self, link: _Link, source: SocketStream, sink: SocketStream, upwards: bool) -> None:
        try:
            while True:
                chunk = await source.receive()
                if not self._open[upwards].is_set():
                    self.swallowed += 1
                    self.held[upwards] += 1
                    await self._open[upwards].wait()
                if self._delay_s:
                    self.delayed += 1
                    await anyio.sleep(self._delay_s)
                if upwards and self._cut_after is not None:
                    if len(chunk) >= self._cut_after:
                        await sink.send(chunk[: self._cut_after])
                        self._cut_after = None
                        self.torn += 1
                        self._reset(link)
                        return
                    self._cut_after -= len(chunk)
                if upwards or not link.ended:
                    await self._pass(link, chunk, sink, upwards)
        except anyio.EndOfStream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._reset(link)

    async def _pass(self, link: _Link, chunk: bytes, sink: SocketStream, upwards: bool) -> None:
        while self._trickle is not None and chunk and (upwards or not link.ended):
            size, pause_s = self._trickle
            self.trickled += 1
            await anyio.sleep(pause_s)
            if upwards or not link.ended:
                await sink.send(chunk[:size])
            chunk = chunk[size:]
        if chunk and (upwards or not link.ended):
            await sink.send(chunk)

    def _reset(self, link: _Link) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        self.cuts += 1
        for stream in (link.client, link.server):
            raw = stream.extra(SocketAttribute.raw_socket)
            with contextlib.suppress(OSError):
                # Linger for no time: the peer gets a reset instead of an orderly end.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.shutdown(socket.SHUT_RD)
            assert self._tasks is not None
            self._tasks.start_soon(anyio.aclose_forcefully, stream)


@contextlib.asynccontextmanager
async def proxy(target_port: int) -> AsyncIterator[Proxy]:
    """A proxy that listens and lets everything pass, until told otherwise."""
    way = Proxy(target_port)
    way.heal()
    async with anyio.create_task_group() as tasks:
        way._tasks = tasks
        await way.accept()
        try:
            yield way
        finally:
            tasks.cancel_scope.cancel()
