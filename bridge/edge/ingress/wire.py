"""One connection's bytes: in with a bound, out with a bound, and word at once when the other side is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import anyio
import anyio.lowlevel

SLICE = 16_384
"""Bytes handed on at a time, before other connections get their turn."""
MOST_UNREAD = 65_536
"""Bytes that wait for us before we stop reading: the kernel's buffers, and then the peer, hold the rest."""
CLOSE_S = 2.0
"""How long what was sent may take to leave once the connection is being closed."""
NEWCOMER_S = 2.0
"""How long a client that was taken in just before we stop may take for its first request, which was on its way."""


_NEVER = float("inf")


class Gone(Exception):
    """The other side is no longer there."""


class Late(Exception):
    """What was waited for did not come in time."""


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
        self._unwanted = False
        self._notice: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._until = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._on_end: Callable[[], None] | None = None

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
        self._wake()

    def eof_received(self) -> None:
        """The client has sent its last; asyncio closes our half, too."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; gone is gone
        """The connection is no more."""
        self._closed.set()
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        self._leave()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable.set()

    def _leave(self) -> None:
        self.gone = True
        self._wake()
        if self._on_end is not None:
            self._on_end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # One clock for whatever is waited for, set anew only where it would ring too late: a wait that ends in time, as
    # nearly all do, costs no timer.

    def _ring_at(self, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self._until = until
        if until < self._timer_at and not self._closed.is_set():
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = until
            self._timer = loop.call_at(until, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self._until == _NEVER:
            return
        if loop.time() < self._until:
            self._ring_at(self._until, loop)
            return
        self._wake()
        if self._on_end is not None:
            self._on_end()

    # What we call. Every wait in here is bounded: by `until`, in seconds of the loop's clock, or by whoever calls.

    async def take(self, until: float = _NEVER) -> bytes:
        """The next bytes, at most `SLICE` of them; b"" at the end, or once `dismiss` was called. Raises Late."""
        loop = asyncio.get_running_loop()
        if self._slices:
            # A client that sends without pause must not keep the loop, nor buy itself time.
            await anyio.lowlevel.checkpoint()
            if loop.time() >= until:
                raise Late
        else:
            await self._wait(until, loop)
        if not self._slices:
            return b""
        data = self._slices.popleft()
        self._unread -= len(data)
        if not self._reading and self._unread <= MOST_UNREAD // 2 and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()
        return data

    async def _wait(self, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self._ring_at(until, loop)
        try:
            while not (self._slices or self.gone or self._unwanted):
                if loop.time() >= until:
                    raise Late
                self._waiter = loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            self._until = _NEVER

    def dismiss(self) -> None:
        """Nothing more is wanted of this client: whoever waits in `take` hears its end."""
        self._unwanted = True
        self._wake()

    def dismiss_soon(self) -> None:
        """The same in a moment, unless `keep` is called before."""
        self.keep()
        self._notice = asyncio.get_running_loop().call_later(NEWCOMER_S, self.dismiss)

    def keep(self) -> None:
        """What it says now is wanted."""
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None

    def send(self, data: bytes) -> bool:
        """Write. False: the client takes nothing now, and `drained` is to be awaited. Raises Gone if it left."""
        if self.gone or self.transport is None:
            raise Gone
        self.transport.write(data)
        return self._writable.is_set()

    async def drained(self) -> None:
        """Returns when the client reads again, or is gone."""
        await self._writable.wait()

    def watch(self, on_end: Callable[[], None], until: float = _NEVER) -> None:
        """Until `unwatch`, `on_end` is called as soon as the client is gone, and at `until`."""
        self._on_end = on_end
        if self.gone:
            on_end()
        self._ring_at(until, asyncio.get_running_loop())

    def unwatch(self) -> None:
        """Undo `watch`."""
        self._on_end = None
        self._until = _NEVER

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
