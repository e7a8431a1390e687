"""A platform that pushes packets, in a process of its own: `python -m tests.bench.packets`.

Prints a line of JSON with its `pid` and `port`. At `/socket.io/` it speaks Engine.IO 3; at `/control` it takes orders,
`{"rate": packets a second, "seconds"}`, pushes that on the latest session, and answers with an account of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.bench.peer import Peer, frame
from tests.bench.serving import serving

OBJECTS = 100
TICK_S = 0.005
"""Packets that are due are written together so often."""
LEAD_S = 0.05
MOST_WAITING = 64 * 1024 * 1024
"""Bytes that were not taken: with more the peer gives up pushing, and says so."""
LIFE_S = 1800
"""Whatever happens to who started it, it ends after so long."""


@asynccontextmanager
async def pushing() -> AsyncIterator[Peer]:
    """Such a server, which is gone when the block is left."""
    async with serving("tests.bench.packets") as told:
        yield Peer(**told)


def numbers(first_us: int, rate: float, start: int, end: int) -> Iterator[int]:
    """The `_ts` of packets `start` to `end`: when each is due, in microseconds since the Unix epoch."""
    return (first_us + round(number * 1e6 / rate) for number in range(start, end))


def packet(number: int, ts: int) -> str:
    """What the platform pushes: some 400 bytes."""
    oid, ms = f"66a8f3c0d1e2b4a5967{number % OBJECTS:05}", ts // 1000
    return (
        f'42["object-packet",{{"_msgid":"mXuA{ts}","_oid":"{oid}","_gid":"5fd1a7c0d1e2b4a596701234",'
        f'"event":"object-packet","time":{ms},"data":{{"_ts":{ts},"time":{ms - 3},"topic":"base/state/sensors",'
        f'"online":true,"temperature":{20 + number % 97 / 16},"humidity":{40 + number % 31},"pressure":1013.25,'
        f'"battery":{3.3 + number % 7 / 10:.1f},"_lat":55.75,"_lng":37.61,"speed":{number % 120},"rssi":-71,'
        f'"ignition":false}}}}]'
    )


class _Platform:
    def __init__(self) -> None:
        self._session: ServerConnection | None = None

    async def talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        with suppress(ConnectionClosed):
            if connection.request.path == "/control":
                async for order in connection:
                    await connection.send(json.dumps(await self._push(**json.loads(order))))
                return
            await connection.send('0{"sid":"bench","upgrades":[],"pingInterval":25000,"pingTimeout":60000}')
            await connection.send("40")
            self._session = connection
            async for message in connection:
                if message == "2":
                    await connection.send("3")

    async def _push(self, rate: float, seconds: float) -> dict[str, float]:
        assert self._session is not None
        transport = self._session.transport
        count, sent, waiting, behind = round(rate * seconds), 0, 0, 0.0
        first_us = time.time_ns() // 1000 + round(LEAD_S * 1e6)
        while sent < count:
            due = min(count, int((time.time_ns() / 1000 - first_us) * rate / 1e6) + 1)
            if due > sent:
                every = zip(range(sent, due), numbers(first_us, rate, sent, due), strict=True)
                transport.write(b"".join(frame(packet(number, ts)) for number, ts in every))
                behind = max(behind, (due - sent) / rate)
                sent = due
                waiting = max(waiting, transport.get_write_buffer_size())
                if waiting > MOST_WAITING or transport.is_closing():
                    break
            await asyncio.sleep(TICK_S)
        return {"first_us": first_us, "rate": rate, "sent": sent, "behind_s": behind, "waiting": waiting}


async def _serve() -> None:
    options = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 0.2}
    async with serve(_Platform().talk, "127.0.0.1", 0, **options) as listening:  # type: ignore[arg-type]
        port = next(iter(listening.sockets)).getsockname()[1]
        os.write(1, f'{{"pid": {os.getpid()}, "port": {port}}}\n'.encode())
        await listening.wait_closed()


if __name__ == "__main__":
    signal.alarm(LIFE_S)
    anyio.run(_serve, backend="asyncio", backend_options={"use_uvloop": True})
