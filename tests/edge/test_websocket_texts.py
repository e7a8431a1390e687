"""Texts that are taken in without the library: whatever a peer sends, it comes to what the library makes of it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from bridge.edge.websocket_wire import Wire

LIMITS = (6_000, 12_000)
"""Bytes of a message at most: below and above what of a text that is not all here waits with us."""
TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def write_eof(self) -> None: ...
    def can_write_eof(self) -> bool:
        return True

    def abort(self) -> None: ...
    def close(self) -> None: ...


def frame(opcode: int, data: bytes, *, fin: bool = True, odd: int = 0, masked: bool = False) -> bytes:
    size = len(data)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 0x10000 else b"\x7f" + size.to_bytes(8, "big")
    return bytes([opcode | odd | fin << 7, length[0] | masked << 7]) + length[1:] + data


def conversation(random: Random, most: int) -> list[bytes]:
    """Mostly texts; now and then all else there is, and seldom what is against the rules."""
    frames: list[bytes] = []
    while len(frames) < 40:
        data = random.randbytes(random.choice([0, 1, 2, 3, 60, 125, 126, 127, 400, 400]))
        kind = random.random()
        if kind < 0.7:
            frames.append(frame(TEXT, data))
        elif kind < 0.8:
            frames.append(frame(random.choice([PING, PONG]), data[:125]))
        elif kind < 0.86:
            frames.append(frame(BINARY, data))
        elif kind < 0.92:
            frames += [frame(TEXT, b"a", fin=False), frame(PING, b"between"), frame(CONTINUED, data)]
        elif kind < 0.97:
            # Wherever it is cut, what follows looks like frames.
            frames.append(frame(TEXT, (frame(TEXT, b"a") * most)[: most - random.choice([0, 0, 1_000, 2_000])]))
        else:
            wrong = [
                frame(TEXT, b"\x81" * random.choice([most + 1, 70_000])),
                frame(TEXT, data, odd=0x40),
                frame(TEXT, data[:20], masked=True),
                frame(TEXT, b"a", fin=False) + frame(TEXT, data),
                frame(CONTINUED, data),
                frame(CLOSE, b"\x03\xe8enough") + frame(TEXT, b"late"),
                frame(3, data),
            ]
            frames.append(random.choice(wrong))
    return frames


def heard(make: type[ClientConnection], parts: list[bytes], most: int) -> tuple[Any, ...]:
    """What a connection of this class has, once these have come in one by one and the peer is gone."""
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1:1/"), max_size=most)
    transport = Transport()
    connection = make(protocol, max_queue=16, ping_interval=None, close_timeout=1)
    if isinstance(connection, Wire):
        connection.most = most
    connection.connection_made(transport)
    request = protocol.connect()
    protocol.send_request(request)
    protocol.data_to_send()
    accept = accept_key(request.headers["Sec-WebSocket-Key"])
    answer = f"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    for part in [answer.encode(), *parts]:
        connection.data_received(part)
    connection.eof_received()
    told = [(one.opcode, bytes(one.data), one.fin) for one in connection.recv_messages.frames.queue]
    connection.connection_lost(None)
    # Our own frames are masked, by chance: their length says which they are.
    return told, protocol.state, protocol.close_rcvd, protocol.close_sent, len(transport.written)


def cut(frames: list[bytes], random: Random) -> list[bytes]:
    """The same in pieces, as a socket may give it: some frames together, now and then not to the end of the last."""
    parts = []
    while frames:
        count = random.randrange(1, 9)
        data, frames = b"".join(frames[:count]), frames[count:]
        while data:
            size = random.choice([1, 2, 3, 100, 1_000, 8_000, 8_000, 8_000, 8_000])
            parts.append(data[:size])
            data = data[size:]
    return parts


@pytest.mark.parametrize("seed", range(4))
def test_what_is_heard_is_what_the_library_hears(seed: int) -> None:
    """The same messages in the same order, the same answers, the same end; however the bytes are cut."""

    async def scene() -> None:
        for number in range(20):
            random = Random(f"{seed} {number}")
            most = LIMITS[number % 2]
            parts = cut(conversation(random, most), random)
            assert heard(Wire, parts, most) == heard(ClientConnection, parts, most)

    asyncio.run(scene())


def test_texts_are_taken_in_by_a_frame_each() -> None:
    """Not by the library, which would have them in its own hands: of these it is given nothing but the last."""
    given: list[bytes] = []

    async def scene() -> tuple[Any, ...]:
        class Watched(Wire):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                receive = self.protocol.receive_data

                def noted(data: bytes | bytearray) -> None:
                    given.append(bytes(data))
                    receive(data)

                self.protocol.receive_data = noted  # type: ignore[method-assign]

        texts = b"".join(frame(TEXT, b"%d" % number) for number in range(5)) + frame(TEXT, b"x" * 300)
        return heard(Watched, [texts[:9], texts[9:40], texts[40:] + frame(PING, b"p") + frame(TEXT, b"end")], 1_000)

    told = asyncio.run(scene())[0]
    assert [data for _, data, _ in told] == [b"0", b"1", b"2", b"3", b"4", b"x" * 300, b"end"]
    assert given[1:] == [frame(PING, b"p")]
