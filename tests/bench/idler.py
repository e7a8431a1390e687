"""Many idle connections: `python -m tests.bench.idler KIND PORT CA COUNTS SECONDS REST BEAT PING`.

A process of its own. COUNTS, such as 500,2000: how many there are when it looks for SECONDS at a time; before the last
time it lets REST pass. BEAT: seconds between the server's signs of life; PING: after so much silence ours. Each time
it prints a line of JSON: what the process holds more for each connection (bytes), the share of a processor it uses
once nothing but beats and pings is going on, handshakes a second, and how many beats each got.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from websockets.asyncio.client import connect

from bridge.cli.sessions import machine
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.session import EngineioRevision, SocketioSession, StreamSession
from bridge.edge.codec import decode
from bridge.edge.websocket import WebSockets
from bridge.engine.inbox import Inbox
from bridge.engine.socketio import SocketioFeed
from bridge.engine.stream import StreamFeed
from bridge.engine.subscriptions import GraphqlFeed
from bridge.engine.vigil import SessionStatistics
from tests.bench.peer import raise_limit

FURTHER = 400
"""Subscriptions that a socket has beside its first, where they are what is weighed."""
CALM_S = 3.0
"""After the last connection, before anything is looked at."""
AT_ONCE = 50
PATIENCE_S = 120.0
"""To connect: a machine with other things to do makes them wait, and that is not what is measured."""
WARM_UP = 20
"""Connections that are there before anything is measured."""
DEADLINE_S = 420.0
_PAGE = os.sysconf("SC_PAGE_SIZE")

Hold = Callable[[TaskStatus[None]], Awaitable[None]]


class _Mute(asyncio.Protocol):
    """As little as can be held: the upgrade asked for by hand, and what comes counted by the piece."""

    def __init__(self, tally: SessionStatistics, ready: asyncio.Future[None]) -> None:
        self._tally = tally
        self._ready = ready

    def connection_made(self, transport: Any) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /idle HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._tally.frames += 1
        if not self._ready.done():
            self._ready.set_result(None)


def _kinds(port: int, ca: str, tally: SessionStatistics, beat_s: float, ping_s: float) -> dict[str, Callable[[], Hold]]:
    url = f"wss://127.0.0.1:{port}/idle"
    sockets = WebSockets(ca_file=ca)
    context = ssl.create_default_context(cafile=ca)
    numbers = count(1)
    names = ["changes", *(f"changes{number}" for number in range(FURTHER))]
    operations = [Operation(name, "subscription { change { id } }") for name in names]
    session = GraphqlSession(
        url,
        "graphql-ws",
        operations[:1],
        connect_timeout_s=PATIENCE_S,
        ack_timeout_s=PATIENCE_S,
        settle_s=0.1,
        ping_interval_s=ping_s,
    )

    def graphql(follows: GraphqlSession) -> Callable[[], Hold]:
        def kind() -> Hold:
            async def hold(task_status: TaskStatus[None]) -> None:
                feed = GraphqlFeed(follows, sockets, numbers, statistics=tally)
                await feed.hold(Inbox(), task_status=task_status)

            return hold

        return kind

    def socketio(revision: EngineioRevision) -> Callable[[], Hold]:
        where = f"wss://127.0.0.1:{port}/engine{revision}?EIO={revision}&transport=websocket"
        follows = SocketioSession(
            where, revision, connect_timeout_s=PATIENCE_S, accept_timeout_s=PATIENCE_S, settle_s=0.1
        )

        def kind() -> Hold:
            async def hold(task_status: TaskStatus[None]) -> None:
                await SocketioFeed(follows, sockets, machine, statistics=tally).hold(Inbox(), task_status=task_status)

            return hold

        return kind

    def stream_kind() -> Hold:
        follows = StreamSession(
            f"wss://127.0.0.1:{port}/stream", connect_timeout_s=PATIENCE_S, settle_s=0.1, ping_interval_s=ping_s
        )

        async def hold(task_status: TaskStatus[None]) -> None:
            await StreamFeed(follows, sockets, decode, statistics=tally).hold(Inbox(), task_status=task_status)

        return hold

    def socket_kind() -> Hold:
        async def hold(task_status: TaskStatus[None]) -> None:
            async with sockets.connect(session) as socket:
                task_status.started()
                while True:
                    await socket.receive()
                    tally.frames += 1

        return hold

    def bare(**options: Any) -> Callable[[], Hold]:
        def kind() -> Hold:
            async def hold(task_status: TaskStatus[None]) -> None:
                async with connect(url, ssl=context, open_timeout=PATIENCE_S, **options) as connection:
                    task_status.started()
                    async for _ in connection:
                        tally.frames += 1

            return hold

        return kind

    def mute() -> Hold:
        async def hold(task_status: TaskStatus[None]) -> None:
            loop = asyncio.get_running_loop()
            ready = loop.create_future()
            transport, _ = await loop.create_connection(
                lambda: _Mute(tally, ready), "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
            )
            await ready
            task_status.started()
            _kept.append(transport)

        return hold

    return {
        "session": graphql(session),
        "subscriptions": graphql(replace(session, operations=operations)),
        "engine3": socketio(3),
        "engine4": socketio(4),
        "stream": stream_kind,
        "socket": socket_kind,
        "bare": bare(),
        "lean": bare(compression=None, ping_interval=beat_s),
        "tls": mute,
    }


_kept: list[Any] = []


async def main(
    kind: str,
    port: int,
    ca: str,
    counts: Sequence[int],
    seconds: float,
    rest_s: float,
    beat_s: float,
    ping_s: float,
) -> None:
    """Connect, rest, look, and print what was seen; then more of them."""
    raise_limit()
    tally = SessionStatistics()
    make = _kinds(port, ca, tally, beat_s, ping_s)[kind]

    async def some(number: int, group: TaskGroup) -> None:
        left = iter(range(number))

        async def one_after_another() -> None:
            for _ in left:
                await group.start(_held, make())

        async with anyio.create_task_group() as several:
            for _ in range(AT_ONCE):
                several.start_soon(one_after_another)

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            await some(WARM_UP, group)
            gc.collect()
            before, there = resident(), 0
            for wanted in counts:
                start = time.perf_counter()
                await some(wanted - there, group)
                connected_s = time.perf_counter() - start
                await anyio.sleep(rest_s if wanted == counts[-1] else CALM_S)
                gc.collect()
                after = resident()
                seen, cpu, start = tally.frames, time.process_time(), time.perf_counter()
                await anyio.sleep(seconds)
                used, passed = time.process_time() - cpu, time.perf_counter() - start
                found = {
                    "count": wanted,
                    "bytes": (after - before) / wanted,
                    "cpu": used / passed,
                    "handshakes": (wanted - there) / connected_s,
                    "beats": (tally.frames - seen) / (wanted + WARM_UP),
                }
                there = wanted
                os.write(1, (json.dumps(found) + "\n").encode())
            # Leaving thousands politely is not what is measured.
            os._exit(0)


async def _held(hold: Hold, *, task_status: TaskStatus[None]) -> None:
    await hold(task_status)


def resident() -> int:
    """Bytes of memory that this process occupies."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE


if __name__ == "__main__":
    anyio.run(
        main,
        sys.argv[1],
        int(sys.argv[2]),
        sys.argv[3],
        [int(count) for count in sys.argv[4].split(",")],
        float(sys.argv[5]),
        float(sys.argv[6]),
        float(sys.argv[7]),
        float(sys.argv[8]),
        backend="asyncio",
        backend_options={"use_uvloop": True},
    )
