"""The vendor of every kind of source, in a process of its own: `python -m tests.bench.throughput_vendor`.

Prints a line of JSON with its `pid` and `port`. Who listens at `/NAME/graphql` or `/NAME/socket.io/`, or reads
`/NAME/api/v1/objects`, is known by that name; at `/control` it takes orders, lines of JSON, and answers each with an
account: `push` to a session, `stock` the rows that are read, `asked` when a name began to read, `post` webhooks.
Times are perf_counter_ns.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.bench.peer import Peer
from tests.bench.report import percentile
from tests.bench.serving import serving
from tests.bench.throughput_frames import DIGITS, Live, first_ms, frames, rows
from tests.support.live_webhooks import Delivery, signed

LEAD_NS = 50_000_000
STUCK_S = 60.0
"""A session that takes nothing for so long, or does not come, is the end of the vendor."""
CONNECTIONS = 32
"""What a sender of webhooks keeps open: a connection is not used while its answer is waited for."""
LIFE_S = 900
"""Whatever happens to who started it, it ends after so long."""


@asynccontextmanager
async def vending() -> AsyncIterator[Peer]:
    """Such a vendor, which is gone when the block is left."""
    async with serving("tests.bench.throughput_vendor") as told:
        yield Peer(**told)


class _Vendor:
    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], tuple[ServerConnection, str]] = {}
        self._came = asyncio.Event()
        self._rows: list[bytes] = []
        self._first_ms = 0
        self._asked: dict[str, int] = {}

    def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """REST; None where a WebSocket is wanted."""
        parts = urlsplit(request.path)
        name, *path = parts.path[1:].split("/")
        if path[:2] != ["api", "v1"]:
            return None
        body = b"[]"
        if path[2:] == ["objects"]:
            self._asked.setdefault(name, time.perf_counter_ns())
            body = self._page({key: int(values[0]) for key, values in parse_qs(parts.query).items()})
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
        return Response(200, "OK", headers, body)

    def _page(self, asked: dict[str, int]) -> bytes:
        """The rows from `from` to `to` (creation in ms, both included), `limit` of them from `offset` on."""
        low = max(0, asked.get("from", 0) - self._first_ms)
        high = max(low, min(len(self._rows), asked.get("to", sys.maxsize) - self._first_ms + 1))
        start = low + asked.get("offset", 0)
        return b"[" + b",".join(self._rows[start : min(high, start + asked.get("limit", 1000))]) + b"]"

    async def talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name, *path = urlsplit(connection.request.path).path[1:].split("/")
        with suppress(ConnectionClosed):
            if name == "control":
                async for order in connection:
                    asked = json.loads(order)
                    account = getattr(self, f"_{asked.pop('do')}")(**asked)
                    await connection.send(json.dumps(await account if asyncio.iscoroutine(account) else account))
            elif path[0] == "graphql":
                await self._graphql(connection, name)
            else:
                await connection.send('0{"sid":"bench","upgrades":[],"pingInterval":25000,"pingTimeout":60000}')
                await connection.send("40")
                self._hold(name, "socketio", connection)
                async for message in connection:
                    if message == "2":
                        await connection.send("3")

    async def _graphql(self, connection: ServerConnection, name: str) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "connection_init":
                await connection.send('{"type":"connection_ack"}')
            elif message["type"] == "ping":
                await connection.send('{"type":"pong"}')
            elif message["type"] == "subscribe":
                self._hold(name, "graphql", connection, message["id"])

    async def _session(self, name: str, kind: str) -> tuple[ServerConnection, str]:
        key = (name, "graphql" if kind == "graphql" else "socketio")
        async with asyncio.timeout(STUCK_S):
            while key not in self._sessions:
                self._came.clear()
                await self._came.wait()
        return self._sessions[key]

    def _hold(self, name: str, kind: str, connection: ServerConnection, id_: str = "") -> None:
        self._sessions[name, kind] = (connection, id_)
        self._came.set()

    async def _push(self, name: str, kind: Live, base: int, count: int, rate: float) -> dict[str, Any]:
        """So many events, at a rate by the clock whatever the session does; rate 0: as fast as they are taken.

        Nothing else is done meanwhile: a turn of an event loop between two events would be the vendor's delay.
        """
        connection, id_ = await self._session(name, kind)
        made = frames(kind, id_, base, count)
        fd = connection.transport.get_extra_info("socket").fileno()
        start, late = time.perf_counter_ns() + LEAD_NS, [0]
        if not rate:
            _sleep_until(start)
            _write(fd, b"".join(made))
        else:
            late, sent = [], 0
            while sent < count:
                now = time.perf_counter_ns()
                due = min(count, int((now - start) * rate / 1e9) + 1)
                if due <= sent:
                    _sleep_until(start + round(sent * 1e9 / rate))
                    continue
                _write(fd, b"".join(made[sent:due]))
                late += [now - start - round(number * 1e9 / rate) for number in range(sent, due)]
                sent = due
        ended = time.perf_counter_ns()
        return {"start_ns": start, "sent_ns": ended, "sent": count, "rate": rate, "late_ms": percentile(late, 99) / 1e6}

    def _stock(self, base: int, count: int) -> dict[str, Any]:
        self._rows, self._first_ms = rows(base, count), first_ms(base)
        return {"sent": count}

    def _asked_at(self, name: str) -> dict[str, Any]:
        return {"start_ns": self._asked.get(name, 0)}

    async def _post(self, port: int, base: int, count: int) -> dict[str, Any]:
        """So many webhooks, each confirmed; a connection takes the next when its answer is there."""
        waiting = [_request(base + number) for number in range(count)]
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
        start = time.perf_counter_ns()
        async with asyncio.timeout(STUCK_S):
            await asyncio.gather(*(_deliver(reader, writer, waiting) for reader, writer in opened))
        ended = time.perf_counter_ns()
        for _, writer in opened:
            writer.close()
        return {"start_ns": start, "sent_ns": ended, "sent": count}


async def _deliver(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[bytes]) -> None:
    while waiting:
        writer.write(waiting.pop())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 202 "):
            raise RuntimeError(f"a webhook was answered {head!r}")
        if b"content-length:" in head:
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))


def _request(number: int) -> bytes:
    delivery = Delivery(f"{number:0{DIGITS}}", json.dumps({"type": "payment", "amount": number}).encode())
    headers = {"host": "bench", "content-length": str(len(delivery.body)), **signed(delivery)}
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"POST /hooks/shop HTTP/1.1\r\n{lines}\r\n".encode() + delivery.body


def _sleep_until(at_ns: int) -> None:
    while (left := at_ns - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


def _write(fd: int, data: bytes) -> None:
    """All of it, past the event loop, whose own buffer is empty."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            if not select.select([], [fd], [], STUCK_S)[1]:
                raise RuntimeError(f"a session took nothing for {STUCK_S:g} s") from None


async def _serve() -> None:
    vendor = _Vendor()
    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 0.2}
    at = serve(
        vendor.talk, "127.0.0.1", 0, process_request=vendor.answer,
        select_subprotocol=lambda _, offered: offered[0] if offered else None, **options,
    )  # fmt: skip
    async with at as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        os.write(1, f'{{"pid": {os.getpid()}, "port": {port}}}\n'.encode())
        await listening.wait_closed()


if __name__ == "__main__":
    signal.alarm(LIFE_S)
    anyio.run(_serve, backend="asyncio")
