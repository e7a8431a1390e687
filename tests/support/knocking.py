"""A client that says exactly the bytes it is told, and whoever answers behind the listener."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from bridge.core.config import IngressSettings
from bridge.edge.listener import Listener, listening
from bridge.engine.ports import Incoming, Reply
from tests.support.waiting import PATIENCE_S


@dataclass
class Desk:
    """Implements `bridge.engine.ports.Answer`: takes what `bound` allows, keeps it, and says what `reply` says."""

    bound: int | Reply | Exception = 1000
    reply: Reply | Exception | Callable[[Incoming], Awaitable[Reply]] = field(default_factory=lambda: Reply(200, "ok"))
    taken: list[Incoming] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def limit(self, method: str, path: str) -> int | Reply:
        self.asked.append((method, path))
        if isinstance(self.bound, Exception):
            raise self.bound
        return self.bound

    async def __call__(self, request: Incoming) -> Reply:
        self.taken.append(request)
        if isinstance(self.reply, Reply):
            return self.reply
        if isinstance(self.reply, Exception):
            raise self.reply
        return await self.reply(request)


@dataclass(frozen=True)
class Heard:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Knocker:
    """One connection. Every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes | str) -> None:
        """Write, and wait until it has left; a server that has gone is no error."""
        self.writer.write(data.encode() if isinstance(data, str) else data)
        with suppress(ConnectionError), anyio.fail_after(PATIENCE_S):
            await self.writer.drain()

    async def heard(self, *, bodiless: bool = False) -> Heard:
        """The next answer, informational ones included."""
        with anyio.fail_after(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            assert first.startswith("HTTP/1.1 "), first
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = 0 if bodiless else int(headers.get("content-length", 0))
            return Heard(int(first.split(" ")[1]), headers, await self.reader.readexactly(length))

    async def ask(self, data: bytes | str) -> Heard:
        """Send, and hear."""
        await self.send(data)
        return await self.heard()

    async def ended(self) -> bytes:
        """What still comes until the server closes."""
        with anyio.fail_after(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def trickle(self, data: bytes) -> bytes:
        """Send `data` over and over, byte by byte with pauses, until the server has had enough; what it said."""
        said = b""
        with anyio.fail_after(PATIENCE_S):
            while True:
                for byte in data:
                    await self.send(bytes([byte]))
                    with anyio.move_on_after(0.01):
                        try:
                            more = await self.reader.read(65_536)
                        except ConnectionError:
                            return said
                        if not more:
                            return said
                        said += more

    def drop(self) -> None:
        """Leave."""
        self.writer.transport.abort()


@asynccontextmanager
async def knocking(listener: Listener, tls: ssl.SSLContext | None = None) -> AsyncIterator[Knocker]:
    """A connection to the first address of `listener`."""
    host, _, port = listener.addresses[0].rpartition(":")
    with anyio.fail_after(PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), ssl=tls, server_hostname="localhost" if tls else None
        )
    try:
        yield Knocker(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def door(desk: Desk, **settings: Any) -> AsyncIterator[Listener]:
    """A listener on a free port of this machine."""
    async with listening(IngressSettings(**{"listen": "127.0.0.1:0", **settings}), desk) as listener:
        yield listener


def post(body: bytes | str = b"{}", path: str = "/hooks/a", *headers: str) -> bytes:
    """A whole request."""
    data = body.encode() if isinstance(body, str) else body
    lines = (f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {len(data)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + data
