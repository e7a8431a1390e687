"""The door for HTTP requests: listens, takes connections, bounds them, and lets them finish when it is closed.

Not aiohttp's server, which the rest of our HTTP is made of: it counts idling and slow headers by one clock, bounds
headers one by one but not their sum (a connection may pin 32 MB), knows a fixed list of methods only, and names itself
and its version in every answer to a request it cannot read. Every task here has a parent, which its tasks have not.
Asyncio's transports carry the bytes, since theirs is the cheap TLS.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from bridge.core.config import IngressSettings
from bridge.edge.ingress import tls
from bridge.edge.ingress.house import Counts, House
from bridge.edge.ingress.sockets import bound, inherited, is_loopback, label
from bridge.edge.ingress.wire import CLOSE_S, Wire
from bridge.engine.ports import Answer

STOP_S = 5.0
"""How long requests that are in flight have once the door is closed."""
BREATH_S = 0.2
"""How long nobody is taken in when the system has no more to give: connections end, and files are freed."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_BROKEN = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP)


class Listener:
    """A door that is open. `addresses`: where really, such as `127.0.0.1:40123`; `counts`: what came."""

    def __init__(
        self, house: House, sockets: Sequence[socket.socket], context: ssl.SSLContext | None, reserve: int = 0
    ) -> None:
        self.addresses: Sequence[str] = tuple(label(one) for one in sockets)
        self.counts: Counts = house.counts
        self._house = house
        self._sockets = sockets
        self._context = context
        self._open: set[socket.socket] = set()
        self._reserve = reserve
        # Shielded: whoever leaves the block because it is cancelled still lets requests finish.
        self._scope = anyio.CancelScope(shield=True)
        self._accepting = anyio.CancelScope()

    async def hold(self) -> None:
        """Take connections until `stop`, and no longer than `STOP_S` after it."""
        with self._scope:
            async with anyio.create_task_group() as connections:
                with self._accepting:
                    async with anyio.create_task_group() as doors:
                        for one in self._sockets:
                            doors.start_soon(self._accept, one, connections)
                for one in self._sockets:
                    one.close()

    def adjust(self, settings: IngressSettings) -> None:
        """Go on by these settings, with certificates read anew; where it listens stays, and nobody is cut off.

        Connections that are up keep the certificate they were shown. Raises IngressMisconfigured, and has changed
        nothing then.
        """
        self._context = tls.context(settings.tls) if settings.tls is not None else None
        self._house.settings = settings

    def stop(self) -> None:
        """Take nobody in any more; who has a request in flight finishes it. Returns at once."""
        self._accepting.cancel()
        self._house.stop()
        self._scope.deadline = anyio.current_time() + STOP_S

    def close(self) -> None:
        """Close what is left: sockets whose task was cancelled before its first step."""
        for one in (*self._sockets, *self._open):
            one.close()

    async def _accept(self, listening: socket.socket, connections: TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, peer = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                if error.errno not in _EXHAUSTED:
                    # The client left before we took it, or what is wrong with its network is told to us.
                    await anyio.lowlevel.checkpoint()
                    continue
                self._house.say(
                    f"{self._house.table}.exhausted",
                    reason=error.strerror,
                    advice="raise the limit of open files (LimitNOFILE), or lower [ingress] max_connections",
                )
                await anyio.sleep(BREATH_S)
                continue
            if len(self._open) >= self._house.settings.max_connections + (self._reserve if _is_near(peer) else 0):
                client.close()
                self.counts.refused += 1
                self._house.say(
                    f"{self._house.table}.full",
                    connections=len(self._open),
                    refused=self.counts.refused,
                    advice="see who holds them open"
                    + (", or raise [ingress] max_connections" if self._house.table == "ingress" else ""),
                )
            else:
                self._open.add(client)
                self.counts.connections = len(self._open)
                connections.start_soon(self._serve, client)
            # Where many wait, `sock_accept` does not.
            await anyio.lowlevel.checkpoint()

    async def _serve(self, client: socket.socket) -> None:
        # Nobody waits for what reads requests before there is one.
        from bridge.edge.ingress.conversation import Conversation

        wire = Wire()
        try:
            if await self._meet(client, wire):
                await Conversation(wire, self._house, _peer(wire), _names(wire)).run()
                await wire.close()
        except Exception as error:  # noqa: BLE001 - a bug that one connection meets must not close the others
            self._house.bug(error)
        finally:
            wire.abort()
            if wire.transport is None:
                client.close()
            self._open.discard(client)
            self.counts.connections = len(self._open)

    async def _meet(self, client: socket.socket, wire: Wire) -> bool:
        """Bring the connection up, TLS included. False: it did not come up, or not in time."""
        loop = asyncio.get_running_loop()
        more: dict[str, float] = {}
        if self._context is not None:
            more["ssl_handshake_timeout"] = self._house.settings.header_timeout_s
            more["ssl_shutdown_timeout"] = CLOSE_S
        try:
            client.setblocking(False)
            # Without TLS there is nothing to wait for.
            await loop.connect_accepted_socket(lambda: wire, client, ssl=self._context, **more)
        except OSError:
            # What TLS complains of, its time-out, and a client that left.
            self.counts.handshakes += 1
            return False
        return True


@asynccontextmanager
async def listening(
    settings: IngressSettings,
    answer: Answer,
    *,
    sockets: Sequence[socket.socket] = (),
    table: str = "ingress",
    reserve: int = 0,
) -> AsyncIterator[Listener]:
    """Answer HTTP requests by `answer` while the block runs.

    `sockets`: already listening ones, inherited from whoever started us, in place of `settings.listen`; they are
    closed at the end, too. `table`: of the configuration, whose door this is. `reserve`: so many connections more are
    taken from this machine, so that others cannot keep its health checks out. Leaving the block takes nobody in any
    more, lets requests in flight finish within `STOP_S`, and has closed every connection when it returns. Needs the
    asyncio backend.

    Raises IngressMisconfigured, CannotListen and ListenForbidden, each a sentence for the operator.
    """
    context = tls.context(settings.tls) if settings.tls is not None else None
    opened = inherited(sockets) if sockets else await bound(settings.listen)
    listener = Listener(House(settings, answer, table), opened, context, reserve)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.hold)
            try:
                yield listener
            finally:
                listener.stop()
    finally:
        listener.close()


def _is_near(peer: object) -> bool:
    """Whether an address, as `accept` tells it, is this machine's own. A Unix socket's is."""
    return not isinstance(peer, tuple) or is_loopback(str(peer[0]).removeprefix("::ffff:"))


def _peer(wire: Wire) -> str:
    where = wire.transport.get_extra_info("peername") if wire.transport is not None else None
    return str(where[0]) if isinstance(where, tuple) else ""


def _names(wire: Wire) -> Sequence[str]:
    return tls.names(wire.transport.get_extra_info("ssl_object") if wire.transport is not None else None)
