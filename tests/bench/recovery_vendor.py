"""A platform that pushes events and keeps a journal: `python -m tests.bench.recovery_vendor COUNT CERTIFICATE KEY`.

A process of its own. Prints a line of JSON with its `pid` and its COUNT `ports`, at each of which it serves over TLS.
At `/socket.io/` it speaks Engine.IO 3, at `/api/v1/events` it shows the journal, and every store is empty. `POST
/control` with `{"rate"}` has it issue so many events a second from now on, each when it is due whoever listens; the
answer, as that of a `GET`, says how many there were and who has connected. An event's id is its number and when it was
due, so that the stream alone tells what is missing, what is there twice, and how late each one is.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
import time
from bisect import bisect_left, bisect_right
from contextlib import suppress

import anyio
from aiohttp import WSMsgType, web

from tests.bench.peer import raise_limit

TICK_S = 0.005
"""Events that are due are issued together so often."""
OBJECTS = 50
LIFE_S = 900
"""Whatever happens to who started it, it ends after so long."""
OPEN = '0{"sid":"bench","upgrades":[],"pingInterval":25000,"pingTimeout":60000}'


def name(number: int, due_us: int) -> str:
    """The id of an event: `due_us` in microseconds since the Unix epoch."""
    return f"n{number}-{due_us}"


def told(id_: str) -> tuple[int, float]:
    """Number of an event, and when it was due in seconds since the Unix epoch."""
    number, _, due_us = id_.removeprefix("n").partition("-")
    return int(number), int(due_us) / 1e6


class Platform:
    """What was issued, and who listens."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.requests = 0
        self._connects: list[tuple[float, int]] = []
        """When, and at which port."""
        self._journal: list[dict[str, object]] = []
        self._times: list[int] = []
        self._sockets: set[web.WebSocketResponse] = set()

    async def session(self, request: web.Request) -> web.WebSocketResponse:
        """A session of Engine.IO 3: opened, connected, and the client's pings answered."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        await socket.send_str(OPEN)
        await socket.send_str("40")
        self._connects.append((time.time(), request.url.port or 0))
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and message.data == "2":
                    await socket.send_str("3")
        finally:
            self._sockets.discard(socket)
        return socket

    async def journal(self, request: web.Request) -> web.Response:
        """Events of a time, both ends included, in the order in which they were issued."""
        self.requests += 1
        asked = {key: int(value) for key, value in request.query.items() if value.isdecimal()}
        low = bisect_left(self._times, asked.get("from", 0))
        high = bisect_right(self._times, asked.get("to", sys.maxsize))
        low += asked.get("offset", 0)
        return web.json_response(self._journal[low : min(high, low + asked.get("limit", 10_000))])

    async def store(self, _: web.Request) -> web.Response:
        """Nothing is in it."""
        self.requests += 1
        return web.json_response([])

    async def control(self, request: web.Request) -> web.Response:
        """See the module."""
        if request.method == "POST":
            self.rate = float((await request.json())["rate"])
        account = {"issued": len(self._journal), "connects": self._connects, "requests": self.requests}
        return web.json_response(account)

    async def issue(self) -> None:
        """Issues what is due, for ever."""
        rate, base, issued = 0.0, 0.0, 0
        while True:
            if rate != self.rate:
                rate, base, issued = self.rate, time.time(), 0
            due = int((time.time() - base) * rate)
            for index in range(issued, due):
                event = self._event(len(self._journal), round((base + index / rate) * 1e6))
                self._journal.append(event)
                self._times.append(round((base + index / rate) * 1e3))
                text = f"42{json.dumps([event['event'], event], separators=(',', ':'))}"
                for socket in [*self._sockets]:
                    # Who has just been killed is told no more.
                    with suppress(ConnectionError):
                        await socket.send_str(text)
            issued = max(issued, due)
            await asyncio.sleep(TICK_S)

    @staticmethod
    def _event(number: int, due_us: int) -> dict[str, object]:
        oid = f"66a8f3c0d1e2b4a5967{number % OBJECTS:05}"
        return {
            "_msgid": name(number, due_us), "_oid": oid, "_gid": "5fd1a7c0d1e2b4a596701234", "event": "object-alarm",
            "time": due_us // 1000, "data": {"text": f"Limit {number % 17} exceeded", "level": number % 5},
        }  # fmt: skip


async def _serve(count: str, certificate: str, key: str) -> None:
    platform, app = Platform(), web.Application()
    app.router.add_get("/socket.io/", platform.session)
    app.router.add_get("/api/v1/events", platform.journal)
    app.router.add_route("*", "/control", platform.control)
    app.router.add_get("/{rest:.*}", platform.store)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for _ in range(int(count)):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=1024).start()
    ports = [address[1] for address in runner.addresses]
    os.write(1, f'{{"pid": {os.getpid()}, "ports": {ports}}}\n'.encode())
    await platform.issue()


if __name__ == "__main__":
    raise_limit()
    signal.alarm(LIFE_S)
    anyio.run(_serve, sys.argv[1], sys.argv[2], sys.argv[3], backend="asyncio", backend_options={"use_uvloop": True})
