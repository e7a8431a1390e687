"""Sends requests when they are due, over connections that stay open, and takes when each was answered.

No task and no stream for each: the sender has the machine in common with whoever is measured, and what it takes of the
processor they have not.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import anyio

from tests.bench.pacer import pacer

DEADLINE_S = 60.0
"""After the last was due, for those that are still to be answered."""
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_TAKEN = b"HTTP/1.1 202 "


class Sender:
    """`taken`: how long each answer took from the time its request was due (ns), in the order of the answers."""

    def __init__(self, count: int) -> None:
        self.taken: list[int] = []
        self._count = count
        self._free: deque[_Caller] = deque()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._wrong = ""
        self._done = asyncio.Event()

    async def connect(self, port: int, connections: int) -> None:
        """So many connections to this machine's port."""
        for _ in range(connections):
            _, caller = await asyncio.get_running_loop().create_connection(lambda: _Caller(self), "127.0.0.1", port)
            self._free.append(caller)

    def send(self, due: int, request: bytes) -> None:
        """Now, or as soon as a connection has its answer."""
        if self._free:
            self._free.popleft().send(due, request)
        else:
            self._waiting.append((due, request))

    async def finished(self) -> None:
        """Returns when all are answered, and fails if one was answered wrongly."""
        await self._done.wait()
        assert not self._wrong, self._wrong

    def close(self) -> None:
        """Close the connections, which have nothing to send any more."""
        for caller in self._free:
            caller.close()

    def answered(self, caller: _Caller, took: int) -> None:
        """A connection has its answer."""
        self.taken.append(took)
        if self._waiting:
            caller.send(*self._waiting.popleft())
        else:
            self._free.append(caller)
        if len(self.taken) == self._count:
            self._done.set()

    def fail(self, why: str) -> None:
        """What came is no confirmation."""
        self._wrong = self._wrong or why
        self._done.set()


class _Caller(asyncio.Protocol):
    """One connection: a request, its answer, and then the next."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._transport: asyncio.Transport | None = None
        self._got = b""
        self._due: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self._got += data
        head, end, body = self._got.partition(_END)
        if not end:
            return
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._got = b""
        if self._due is None or not head.startswith(_TAKEN):
            self._sender.fail(f"not the answer that was waited for: {head!r}")
            return
        due, self._due = self._due, None
        self._sender.answered(self, now - due)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._sender.fail(f"the connection was lost before its answer: {exc}")

    def send(self, due: int, request: bytes) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def deliver(port: int, requests: Sequence[bytes], *, rate: float, connections: int) -> list[int]:
    """How long each took from the time it was due (ns), at `rate` per second whatever becomes of those before."""
    sender = Sender(len(requests))
    await sender.connect(port, connections)
    waiting = iter(requests)
    with anyio.fail_after(len(requests) / rate + DEADLINE_S):
        async with pacer(rate, len(requests)) as ticks:
            while found := await ticks.receive():
                for tick in found:
                    sender.send(tick, next(waiting))
            await sender.finished()
    sender.close()
    return sender.taken
