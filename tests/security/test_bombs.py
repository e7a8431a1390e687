"""A gigabyte that comes as a megabyte, and frames of a gigabyte: given up within a bound of this process's memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bridge.core.errors import Malformed, Retry
from bridge.core.facts import GraphqlSession, Request
from bridge.edge.codec import decode
from bridge.edge.http import HttpClient
from bridge.edge.websocket import WebSockets
from bridge.engine.ports import Disconnected
from tests.support.dialects import TRANSPORT
from tests.support.knocking import Desk, door, knocking
from tests.support.web import serving

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
GIB = 1024 * MIB
BOUND = 8 * MIB
"""`max_body_mb` and `ws_max_message_mb`, as they are unless somebody sets them."""
MOST_GROWN = 64 * MIB
"""Of the whole process, which is the hostile server, too. A few times `BOUND`, and a sixteenth of the gigabyte."""


def grown_from() -> int:
    """Forget the most memory this process has ever held; what it holds now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return held("VmRSS")


def held(what: str = "VmHWM") -> int:
    """The most since then."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def bomb(bits: int) -> tuple[bytes, bytes]:
    """How a packed stream of a gigabyte begins, and a megabyte of its middle: nobody ever holds all of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    first = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)


def test_the_measure_sees_a_gigabyte_s_sixteenth() -> None:
    """Memory that is held for a moment counts, and what was held before does not."""
    before = grown_from()
    bytearray(b"x" * (MOST_GROWN + MIB)).count(1)
    assert held() - before > MOST_GROWN
    before = grown_from()
    assert held() - before < MIB


@pytest.mark.parametrize(
    ("encoding", "bits"),
    [("gzip", 31), ("deflate", 15), ("deflate", -15), ("br", 31), ("zstd", 31), ("gzip, gzip", 31), ("x-gzip", 31)],
)
async def test_packed_answers_are_given_up(encoding: str, bits: int) -> None:
    """A gigabyte of blanks in a megabyte, by every name of a packing; also by those that we do not ask for."""
    first, more = bomb(bits)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        await response.write(first)
        for _ in range(1023):
            await response.write(more)
        return response

    async with serving(handler) as port, HttpClient() as client:
        before = grown_from()
        request = Request("GET", f"http://127.0.0.1:{port}/")
        told, answer = "", None
        try:
            answer = await client.send(request, timeout_s=60, max_bytes=BOUND)
        except Retry as error:
            told = str(error)
        assert answer is None or (answer.json is None and len(answer.body) <= BOUND)
        assert answer is not None or re.search("given up|cannot be unpacked|not HTTP", told), told
        assert held() - before < MOST_GROWN


@asynccontextmanager
async def upgraded(answer: bytes, frames: bytes, endless: bytes) -> AsyncIterator[str]:
    """A WebSocket server that says these bytes behind its answer to the upgrade, and the last of them for ever."""
    cut = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
            assert found is not None
            told = base64.b64encode(hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            writer.write(
                b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: "
                + TRANSPORT.encode() + b"\r\nSec-WebSocket-Accept: " + told + b"\r\n" + answer + b"\r\n" + frames
            )  # fmt: skip
            for _ in range(1024):
                writer.write(endless)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            cut.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


GIGANTIC = b"\x81\x7f" + struct.pack("!Q", GIB)
PIECES = b"\x01\x7f" + struct.pack("!Q", MIB) + b" " * MIB
MORE_PIECES = b"\x00\x7f" + struct.pack("!Q", MIB) + b" " * MIB
PACKED = b"\xc1\x7f" + struct.pack("!Q", 4 * MIB)


@pytest.mark.parametrize(
    ("answer", "frames", "endless"),
    [
        (b"", GIGANTIC, b" " * MIB),
        (b"", PIECES, MORE_PIECES),
        (b"", PACKED, bomb(-15)[1]),
        (b"Sec-WebSocket-Extensions: permessage-deflate\r\n", PACKED, bomb(-15)[1]),
    ],
    ids=["one frame", "pieces", "packed", "packed by agreement that was none"],
)
async def test_long_and_packed_frames_end_the_session(answer: bytes, frames: bytes, endless: bytes) -> None:
    """A frame announced as a gigabyte, pieces without end, and packed ones, which were never offered."""
    async with upgraded(answer, frames, endless) as url:
        before = grown_from()
        with pytest.raises((Disconnected, Retry)):
            async with WebSockets().connect(GraphqlSession(url, TRANSPORT, (), connect_timeout_s=30)) as socket:
                await socket.receive()
        assert held() - before < MOST_GROWN


async def test_packed_webhooks_are_not_unpacked() -> None:
    """By any name of a packing, in any spelling; what is announced as a gigabyte is not read either."""
    desk = Desk(bound=MIB)
    async with door(desk) as listener:
        before = grown_from()
        for name in ("gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", " gzip", "x-gzip"):
            async with knocking(listener) as client:
                head = f"POST /hooks/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Encoding: {name}\r\n\r\n"
                assert (await client.ask(head.encode() + bomb(31)[0][:9])).status == 415
        async with knocking(listener) as client:
            head = f"POST /hooks/a HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n"
            assert (await client.ask(head)).status == 413
        assert held() - before < MOST_GROWN
    assert desk.taken == []


DEEP = 100_000
JSON_BOMBS = {
    "lists": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "open lists": b"[" * DEEP,
    "many": b"[" + b"[]," * 2_600_000 + b"[]]",
    "digits": b"[" + b"9" * 4_000_000 + b"]",
    "a negative": b"[-" + b"1" * 4_301 + b"]",
    "half a pair, then depth": b'["\\ud800",' + b"[" * DEEP + b"]" * DEEP + b"]",
}


@pytest.mark.parametrize("data", JSON_BOMBS.values(), ids=JSON_BOMBS.keys())
def test_json_that_is_made_to_hurt_is_refused(data: bytes) -> None:
    """Deep, wide, or numbers of megabytes: within half a second and little memory, without the text in the reason."""
    before, begun = grown_from(), time.process_time()
    with pytest.raises(Malformed) as caught:
        decode(data)
    assert time.process_time() - begun < 0.5
    assert held() - before < MOST_GROWN
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["1e999999", "-1e999999", "1e-999999", "123456789012345678901234567890", "0.1e1000"])
def test_numbers_beyond_all_bounds_take_no_time(text: str) -> None:
    """They are read at once, and never written as something else: what JSON cannot hold is no event."""
    found = decode(f'{{"a": {text}}}'.encode())["a"]
    assert isinstance(found, (int, float))


def test_of_a_key_twice_everybody_reads_the_last() -> None:
    """In whatever way it is read, so that nobody is shown another record than was judged."""
    assert decode(b'{"id": 1, "id": 2}') == {"id": 2}
    assert decode(b'{"id": 1, "x": "\\ud800", "id": 2}')["id"] == 2
