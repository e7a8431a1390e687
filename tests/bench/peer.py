"""Servers for live sessions, each a process of its own: `python -m tests.bench.peer COUNT BEAT [CERTIFICATE KEY]`.

Each prints a line of JSON with its `pid` and `port`. BEAT: seconds between its signs of life. What one does is in the
path it is asked for: `/idle` only beats, `/beating/COUNT` stops that after so many, `/flood/COUNT` sends results as
fast as they are taken, `/quiet` sends the time twenty times a second, `/burst/SIZE/COUNT` writes many small frames in
one go (SIZE 0: WebSocket pings). It speaks `graphql-ws`, to whoever listens; at `/engine3` and `/engine4` it holds a
Socket.IO session of that revision of Engine.IO in which nothing happens, and at `/stream` a plain one, which it pings.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

BEAT_S = 4.0
"""Between two signs of life of a server, unless told otherwise; `/silent` and `/beating` have shorter ones."""
SHORT_BEAT_S = 0.3
SLICES = 50
"""Beats are spread over their interval, as those of many vendors are."""
RESULT_BYTES = 600
CHUNK = 65_536
PING_EVERY = 2_000
"""Results between two WebSocket pings of a flood."""
TICK_S = 0.05
PING = 9
"""The opcode."""
LIFE_S = 900
"""Whatever happens to who started it, it ends after so long."""
START_DEADLINE_S = 60.0
FREEZE_S = 10.0

_KA = '{"type":"ka"}'
_OPEN = '0{{"sid":"idle","upgrades":[],"pingInterval":{:.0f},"pingTimeout":60000}}'


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server."""

    pid: int
    port: int

    def freeze(self) -> None:
        """Stop the process; its kernel goes on accepting what is sent. Returns when it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        until = time.monotonic() + FREEZE_S
        # It is no child of this process, so nothing tells but its state.
        while Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "T":
            if time.monotonic() > until:
                raise TimeoutError(f"process {self.pid} does not stop")
            time.sleep(0.001)


@asynccontextmanager
async def peers(
    count: int, certificate: tuple[Path, Path] | None = None, *, beat_s: float = BEAT_S
) -> AsyncIterator[list[Peer]]:
    """So many servers, which are gone when the block is left, frozen or not."""
    command = [sys.executable, "-m", "tests.bench.peer", str(count), str(beat_s), *map(str, certificate or ())]
    found: list[Peer] = []
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            with anyio.fail_after(START_DEADLINE_S):
                while len(found) < count:
                    found.append(Peer(**json.loads(await lines.receive_until(b"\n", 1000))))
            yield found
        finally:
            for peer in found:
                with suppress(ProcessLookupError):
                    os.kill(peer.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                process.kill()


def frame(text: str, opcode: int = 1) -> bytes:
    """A whole message as a server sends it, unmasked (RFC 6455, section 5.2)."""
    data = text.encode()
    if len(data) < 126:
        return bytes([0x80 | opcode, len(data)]) + data
    return bytes([0x80 | opcode, 126]) + len(data).to_bytes(2, "big") + data


def result(id_: str, data: Any) -> str:
    """A result of an operation."""
    return json.dumps({"type": "data", "id": id_, "payload": {"data": data}}, separators=(",", ":"))


_SIGNS = {"idle": frame(_KA), "engine3": b"", "engine4": frame("2"), "stream": frame("", PING)}
"""By path, the sign of life of a session in which nothing happens; of Engine.IO 3 the client's pings are answered."""
_REPLIES: dict[str | bytes, str] = {"2": "3", "40": '40{"sid":"idle"}'}


class _Server:
    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._idle: list[list[tuple[ServerConnection, bytes]]] = [[] for _ in range(SLICES)]
        self._connections = 0

    async def talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        what, *numbers = connection.request.path.partition("?")[0].strip("/").split("/")
        with suppress(ConnectionClosed):
            if what in _SIGNS:
                if what.startswith("engine"):
                    await connection.send(_OPEN.format(self._beat_s * 1000))
                if what == "engine3":
                    await connection.send("40")
                await self._rest(connection, _SIGNS[what])
            else:
                id_ = await _subscribed(connection)
                await getattr(self, f"_{what}")(connection, id_, *map(int, numbers))

    async def beat(self) -> None:
        """Beats of all the idle connections, for ever."""
        at = 0
        while True:
            started = time.monotonic()
            for connection, sign in self._idle[at]:
                connection.transport.write(sign)
            at = (at + 1) % SLICES
            await asyncio.sleep(max(0.0, started + self._beat_s / SLICES - time.monotonic()))

    async def _rest(self, connection: ServerConnection, sign: bytes) -> None:
        mine, me = self._idle[self._connections % SLICES], (connection, sign)
        self._connections += 1
        if sign:
            mine.append(me)
        try:
            async for message in connection:
                if message in _REPLIES:
                    await connection.send(_REPLIES[message])
                elif message[:1] == "{":
                    await _accept(connection, json.loads(message), beating=True)
        finally:
            if sign:
                mine.remove(me)

    async def _beating(self, connection: ServerConnection, _id: str, beats: int = 0) -> None:
        """So many beats, 0 for no end; then nothing more, while pings are answered."""
        done = 0
        while not beats or done < beats:
            await connection.send(_KA)
            done += 1
            await asyncio.sleep(SHORT_BEAT_S)
        await connection.wait_closed()

    async def _quiet(self, connection: ServerConnection, id_: str) -> None:
        while True:
            await connection.send(result(id_, {"ns": time.perf_counter_ns()}))
            await asyncio.sleep(TICK_S)

    async def _burst(self, connection: ServerConnection, id_: str, size: int, count: int) -> None:
        small = frame(_KA[:-1].ljust(size - 1) + "}") if size else frame("", PING)
        connection.transport.write(small * count + frame(result(id_, {"done": count})))
        await connection.wait_closed()

    async def _flood(self, connection: ServerConnection, id_: str, count: int) -> None:
        padding = "x" * (RESULT_BYTES - len(result(id_, {"n": 1_000_000, "padding": ""})))
        slowest = 0.0
        pings: list[asyncio.Task[float]] = []
        buffer = bytearray()
        for n in range(count):
            buffer += frame(result(id_, {"n": n, "padding": padding}))
            if len(buffer) >= CHUNK:
                connection.transport.write(bytes(buffer))
                buffer.clear()
                await connection.drain()
            if n % PING_EVERY == 0:
                pings.append(asyncio.ensure_future(_ping(connection)))
        connection.transport.write(bytes(buffer))
        slowest = max(await asyncio.gather(*pings))
        while True:
            # More than once: an inbox that overruns forgets it.
            await connection.send(result(id_, {"pings": len(pings), "slowest_s": slowest}))
            await asyncio.sleep(0.5)


async def _ping(connection: ServerConnection) -> float:
    return await (await connection.ping())


async def _subscribed(connection: ServerConnection) -> str:
    while True:
        message = json.loads(await connection.recv())
        await _accept(connection, message)
        if message["type"] == "start":
            return str(message["id"])


async def _accept(connection: ServerConnection, message: Any, *, beating: bool = False) -> None:
    if message["type"] == "connection_init":
        await connection.send('{"type":"connection_ack"}')
        if beating:
            # Who beats does so for the first time here.
            await connection.send(_KA)


async def _serve(beat_s: float, tls: ssl.SSLContext | None) -> None:
    server = _Server(beat_s)
    async with serve(
        server.talk,
        "127.0.0.1",
        0,
        ssl=tls,
        backlog=1024,
        select_subprotocol=lambda _, offered: offered[0] if offered else None,
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=60,
        close_timeout=0.2,
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        os.write(1, f'{{"pid": {os.getpid()}, "port": {port}}}\n'.encode())
        await server.beat()


def main(count: int, beat_s: float, *certificate: str) -> None:
    """Fork the servers, so that many of them start fast; the last is this process itself."""
    raise_limit()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    for _ in range(count - 1):
        if os.fork() == 0:
            break
    signal.alarm(LIFE_S)
    anyio.run(_serve, beat_s, tls, backend="asyncio", backend_options={"use_uvloop": True})


def raise_limit() -> None:
    """As many open files as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
