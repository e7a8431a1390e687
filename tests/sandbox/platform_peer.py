"""A small client of the played platform's sockets: Engine.IO packets written by hand, on the library `websockets`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bridge.sandbox.platform import PlatformSandbox
from tests.sandbox.sockets import DEADLINE_S, Wire, wire
from tests.support.waiting import wait_until

REVISION_3 = "/socket.io/?EIO=3&transport=websocket"
REVISION_4 = "/socket.io/?EIO=4&transport=websocket"
STREAM = "/events/stream"
ALL = [REVISION_3, REVISION_4, STREAM]


@asynccontextmanager
async def knocking(sandbox: PlatformSandbox, path: str, **headers: str) -> AsyncIterator[Wire]:
    """A socket whose upgrade was confirmed, and no more. Without other headers it shows the issued token."""
    shown = headers or {"Authorization": f"Bearer {sandbox.issued_token}"}
    async with wire(sandbox.ws_url + path, None, **shown) as link:
        yield link


@asynccontextmanager
async def listening(sandbox: PlatformSandbox, path: str, **headers: str) -> AsyncIterator[Wire]:
    """A socket that events reach."""
    before = sandbox.live.counters().get("subscriptions", 0)
    async with knocking(sandbox, path, **headers) as link:
        if path != STREAM:
            await opened(link, path)
        await wait_until(lambda: sandbox.live.counters().get("subscriptions", 0) > before, 150, "the connection")
        yield link


async def opened(link: Wire, path: str) -> dict[str, Any]:
    """Go through the opening of Socket.IO; what the open packet said."""
    packet = str(await link.raw())
    assert packet[0] == "0"
    if path == REVISION_4:
        await link.say("40")
        while (frame := await link.raw()) == "2":  # where pings come every moment, one may be first
            await link.say("3")
        assert str(frame)[:8] == '40{"sid"'
    else:
        assert await link.raw() == "40"
    found: dict[str, Any] = json.loads(packet[1:])
    return found


async def event(link: Wire, path: str) -> Any:
    """The next event's record; pings of the server are answered."""
    while (frame := str(await link.raw())) == "2":
        await link.say("3")
    if path == STREAM:
        return json.loads(frame)
    assert frame[:2] == "42", frame
    name, record = json.loads(frame[frame.index("[") :])
    assert record.get("event", name) == name
    return record


async def msgids(link: Wire, path: str, n: int) -> list[str]:
    """Those of the next n events."""
    return [(await event(link, path))["_msgid"] for _ in range(n)]


def happened(sandbox: PlatformSandbox, n: int, kind: str = "custom") -> list[str]:
    """Make things happen; the `_msgid`s of the event records."""
    before = len(sandbox.world.journal)
    sandbox.make_change(n, kind)
    return [record["_msgid"] for record in sandbox.world.journal[before:]]


async def raw_bytes(sandbox: PlatformSandbox, path: str, token: str, enough: bytes) -> bytes:
    """What comes after a confirmed upgrade, as bytes, until it holds `enough`."""
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as plain:
        await plain.send(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        found = b""
        with anyio.fail_after(DEADLINE_S):
            while enough not in found:
                found += await plain.receive()
    head, _, rest = found.partition(b"\r\n\r\n")
    assert b" 101 " in head
    return rest
