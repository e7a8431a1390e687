"""Replies whose body comes in pieces: written as they come, bounded, and over when either side has had enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bridge.engine.ports import Incoming, Reply, Write
from tests.support.knocking import Desk, Knocker, door, knocking
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.anyio

GET = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


class Source:
    """A stream that is fed by hand, and notes how it ended."""

    def __init__(self, script: Callable[[Write], Awaitable[None]] | None = None) -> None:
        self.script = script
        self.began = anyio.Event()
        self.ended = ""
        self.written = 0

    async def answer(self, _: Incoming) -> Reply:
        return Reply(200, headers={"Content-Type": "text/event-stream"}, stream=self.stream)

    async def stream(self, write: Write) -> None:
        self.began.set()
        try:
            if self.script is not None:
                await self.script(write)
                self.ended = "returned"
                return
            while True:
                await write(b"x" * 8192)
                self.written += 8192
                await anyio.lowlevel.checkpoint()
        finally:
            self.ended = self.ended or "cut off"


async def heard(client: Knocker, enough: bytes) -> bytes:
    """What comes, until it ends so."""
    with anyio.fail_after(PATIENCE_S):
        return await client.reader.readuntil(enough)


async def test_pieces_are_sent_as_they_come() -> None:
    """In chunks, the first before the second is there; and the connection goes on for the next request."""
    more = anyio.Event()

    async def script(write: Write) -> None:
        await write(b"one")
        await write(b"")
        await more.wait()
        await write(b"two!")

    source = Source(script)
    async with door(Desk(bound=0, reply=source.answer)) as listener, knocking(listener) as client:
        await client.send(GET)
        head = await heard(client, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding: chunked\r\n" in head.lower()
        assert b"content-type: text/event-stream\r\n" in head.lower()
        assert b"content-length" not in head.lower()
        assert await heard(client, b"one\r\n") == b"3\r\none\r\n"
        more.set()
        assert await heard(client, b"0\r\n\r\n") == b"4\r\ntwo!\r\n0\r\n\r\n"
        assert source.ended == "returned"
        await client.send(GET)
        assert (await heard(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_leaves_ends_it() -> None:
    """At once, though nothing was being written; and its place is free again."""

    async def script(write: Write) -> None:
        await write(b"one")
        await anyio.sleep_forever()

    source = Source(script)
    async with door(Desk(bound=0, reply=source.answer)) as listener:
        async with knocking(listener) as client:
            await client.send(GET)
            await heard(client, b"one\r\n")
        await wait_until(lambda: source.ended == "cut off", what="the stream to end")
        await wait_until(lambda: listener.counts.connections == 0, what="the place to be free")
    assert listener.counts.bugs == 0


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    """After the time that a body may take; only little waits for it meanwhile, however much there is to send."""
    source = Source()
    desk = Desk(bound=0, reply=source.answer)
    async with door(desk, body_timeout_s=0.3) as listener, knocking(listener) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await wait_until(lambda: source.ended == "cut off", what="the stream to be cut off")
        await wait_until(lambda: listener.counts.connections == 0, what="the place to be free")
        assert 0 < source.written < 16 * 1024 * 1024
    assert listener.counts.bugs == 0


async def test_closing_the_door_ends_it_in_order() -> None:
    """With the last chunk, so that the reader knows that it was not cut off; nobody waits for it."""

    async def script(write: Write) -> None:
        await write(b"one")
        await anyio.sleep_forever()

    source = Source(script)
    began = anyio.current_time()
    async with door(Desk(bound=0, reply=source.answer)) as listener, knocking(listener) as client:
        await client.send(GET)
        await heard(client, b"one\r\n")
        listener.stop()
        assert await heard(client, b"0\r\n\r\n") == b"0\r\n\r\n"
        with anyio.fail_after(PATIENCE_S):
            assert await client.reader.read() == b""
    assert source.ended == "cut off"
    assert anyio.current_time() - began < PATIENCE_S


async def test_a_bug_in_it_is_one_connections_matter() -> None:
    """The body is cut off without its end, which tells the reader; it is noted, and the others go on."""

    async def script(write: Write) -> None:
        await write(b"one")
        raise ZeroDivisionError

    source = Source(script)
    async with door(Desk(bound=0, reply=source.answer)) as listener:
        async with knocking(listener) as client:
            await client.send(GET)
            await heard(client, b"one\r\n")
            with anyio.fail_after(PATIENCE_S):
                rest = await client.reader.read()
            assert b"0\r\n\r\n" not in rest
        assert listener.counts.bugs == 1
        async with knocking(listener) as client:
            await client.send(GET)
            await heard(client, b"one\r\n")


async def test_http_1_0_reads_until_the_end() -> None:
    """Without chunks, which it does not know; closed when it is over."""

    async def script(write: Write) -> None:
        await write(b"one")
        await write(b"two")

    async with (
        door(Desk(bound=0, reply=Source(script).answer)) as listener,
        knocking(listener) as client,
    ):
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        with anyio.fail_after(PATIENCE_S):
            said = await client.reader.read()
        assert b"chunked" not in said
        assert said.endswith(b"\r\n\r\nonetwo")


async def test_head_gets_the_head() -> None:
    """And no stream is begun for it."""
    source = Source()
    async with door(Desk(bound=0, reply=source.answer)) as listener, knocking(listener) as client:
        await client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await heard(client, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert not source.began.is_set()


async def test_a_body_may_be_bytes() -> None:
    """As they are, under the type that the reply names."""
    body = bytes(range(256))
    desk = Desk(bound=0, reply=Reply(200, body, {"Content-Type": "image/png"}))
    async with door(desk) as listener, knocking(listener) as client:
        said = await client.ask(GET)
        assert (said.body, said.headers["content-type"]) == (body, "image/png")
