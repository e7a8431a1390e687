"""One connection's bytes: in with a bound, out with a bound, and word at once when the other side is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import anyio
import anyio.lowlevel

SLICE = 16_384
"""Bytes handed on at a time, before other connections get their turn."""
MOST_UNREAD = 65_536
"""Bytes that wait for us before we stop reading: the kernel's buffers, and then the peer, hold the rest."""
CLOSE_S = 2.0
"""How long what was sent may take to leave once the connection is being closed."""


class Gone(Exception):
    """The other side is no longer there."""


class Wire(asyncio.Protocol):
    """A connection as asyncio hands it over. Everything here runs on the loop's one thread.

    The end of what the client sends counts as its leaving: webhook senders do not close one half and wait, and
    whoever waits for an answer that nobody will read holds a place that others need.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self._slices: deque[bytes] = deque()
        self._unread = 0
        self._reading = True
        self._ready = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._on_gone: Callable[[], None] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, and TLS if there is any, are up."""
        # uvloop's transports are none of asyncio's classes, but do all that they promise.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._slices.extend(data[start : start + SLICE] for start in range(0, len(data), SLICE))
        self._unread += len(data)
        if self._reading and self._unread > MOST_UNREAD and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()
        self._ready.set()

    def eof_received(self) -> None:
        """The client has sent its last; asyncio closes our half, too."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; gone is gone
        """The connection is no more."""
        self._closed.set()
        self._writable.set()
        self._leave()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable.set()

    def _leave(self) -> None:
        self.gone = True
        self._ready.set()
        if self._on_gone is not None:
            self._on_gone()

    # What we call. Every wait in here is bounded by whoever calls, by a cancel scope.

    async def take(self) -> bytes:
        """The next bytes, at most `SLICE` of them; b"" at the end."""
        # A client that sends without pause must not keep the loop.
        await anyio.lowlevel.checkpoint()
        while not self._slices:
            if self.gone:
                return b""
            self._ready.clear()
            await self._ready.wait()
        data = self._slices.popleft()
        self._unread -= len(data)
        if not self._reading and self._unread <= MOST_UNREAD // 2 and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()
        return data

    def send(self, data: bytes) -> bool:
        """Write. False: the client takes nothing now, and `drained` is to be awaited. Raises Gone if it left."""
        if self.gone or self.transport is None:
            raise Gone
        self.transport.write(data)
        return self._writable.is_set()

    async def drained(self) -> None:
        """Returns when the client reads again, or is gone."""
        await self._writable.wait()

    @contextmanager
    def cancelling(self, scope: anyio.CancelScope) -> Iterator[None]:
        """While the block runs, `scope` is cancelled as soon as the client is gone."""
        if self.gone:
            scope.cancel()
        self._on_gone = scope.cancel
        try:
            yield
        finally:
            self._on_gone = None

    async def finish(self) -> None:
        """Say that nothing more comes, and throw away what still arrives until the client closes.

        Closing at once while the client still sends would have the system reset the connection, and the client lose
        the answer that says why.
        """
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        while await self.take():
            pass

    async def close(self) -> None:
        """Close once everything is sent, and in any case after `CLOSE_S`."""
        if self.transport is None:
            return
        self.transport.close()
        with anyio.move_on_after(CLOSE_S):
            await self._closed.wait()

    def abort(self) -> None:
        """Close now. Returns at once; may be called again."""
        if self.transport is not None:
            self.transport.abort()
