"""The way out to a server, where the event loop has a word of its own for a socket that broke."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from nats.protocol.parser import AWAITING_MSG_PAYLOAD

from bridge.edge.nats.client import SteadyClient
from bridge.edge.nats.options import NatsOptions
from bridge.edge.nats.transport import Reader, Transport
from bridge.edge.nats.wire import PLAIN_ACK


class _Closed:
    def write(self, payload: bytes) -> None:
        raise RuntimeError(f"unable to write {len(payload)} bytes; the handler is closed")


def test_what_breaks_unnoticed_breaks_like_any_connection() -> None:
    """Who writes at once to a socket that is closed already meets an OSError, as everybody here expects."""
    transport = Transport()
    transport._io_writer = _Closed()  # type: ignore[assignment]
    with pytest.raises(ConnectionResetError, match="handler is closed"):
        transport.write(b"PING")


@pytest.mark.anyio
async def test_what_is_taken_as_it_comes_wakes_nobody() -> None:
    """Bytes pass the skimmer first, unless others that came before them have not been read: these come first."""
    seen: list[bytes] = []

    def skim(data: bytes) -> bytes:
        seen.append(data)
        return data.removeprefix(b"ack")

    reader = Reader(skim, limit=64)
    reader.feed_data(b"ack")
    reader.feed_data(b"ackPING")
    reader.feed_data(b"ack")
    assert seen == [b"ack", b"ackPING"]
    assert await reader.read(4) == b"PING"
    reader.feed_data(b"ack")
    assert await reader.read(32) == b"ackack"
    reader.feed_data(b"ackPONG")
    assert seen == [b"ack", b"ackPING", b"ackPONG"]
    assert await reader.read(32) == b"PONG"


def test_only_what_is_whole_and_next_is_taken() -> None:
    """Usual messages are taken from the beginning of what comes; the parser gets all else, and what it has begun."""
    client = SteadyClient(NatsOptions(urls=("nats://127.0.0.1:4222",)))
    taken: list[tuple[bytes, ...]] = []
    inbox: Any = SimpleNamespace(_id=7)
    client.take(inbox, rb"_INBOX\.me\.(\d+)", PLAIN_ACK, lambda found: taken.append(found.groups()))
    ack = b'MSG _INBOX.me.1 7 22\r\n{"stream":"X","seq":5}\r\n'
    away = b'MSG _INBOX.me.2 7 40\r\n{"stream":"X","domain":"hub", "seq": 6}\r\n'
    refused = b'MSG _INBOX.me.3 7 44\r\n{"error":{"code":503},"stream":"X","seq":0}\r\n'
    for rest in (b"", b"PING\r\n", refused, ack[:-1], away, ack.replace(b" 7 ", b" 8 "), b"-ERR 'x'\r\n" + ack):
        taken.clear()
        assert client._skim(ack + ack.replace(b".1 ", b".12 ") + rest) == rest
        assert taken == [(b"1", b"5"), (b"12", b"5")]
    taken.clear()
    client._ps.buf.extend(b"MSG")
    assert client._skim(ack) == ack
    client._ps.reset()
    client._ps.state = AWAITING_MSG_PAYLOAD
    assert client._skim(ack) == ack
    assert not taken
