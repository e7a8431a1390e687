"""What a request may cost: bytes, time, connections; and that whoever takes more costs nobody else anything."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.core.config import IngressSettings
from bridge.edge.ingress import conversation, house
from bridge.edge.ingress.wire import Wire
from bridge.engine.ports import Incoming, Reply
from tests.support.knocking import Desk, door, knocking, post
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


# --- bytes --------------------------------------------------------------------------------------------------------


async def test_a_body_announced_too_long_is_not_read() -> None:
    """413 on the head alone, before one byte of the body has come."""
    desk = Desk(bound=10)
    async with door(desk) as listener, knocking(listener) as client:
        heard = await client.ask(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
        assert (heard.status, heard.headers["connection"]) == (413, "close")
    assert desk.taken == []


async def test_a_body_that_grows_too_long_is_cut_off() -> None:
    """Chunks announce nothing: 413 as soon as they are more than is taken, though they have no end yet."""
    desk = Desk(bound=10)
    async with door(desk) as listener, knocking(listener) as client:
        await client.send(CHUNKED + b"6\r\nabcdef\r\n")
        heard = await client.ask(b"5\r\nghijk\r\n")
        assert (heard.status, heard.headers["connection"]) == (413, "close")
    assert desk.taken == []


async def test_a_body_exactly_as_long_as_allowed_is_taken() -> None:
    """The limit is what may come, whichever way it is told."""
    desk = Desk(bound=10)
    async with door(desk) as listener, knocking(listener) as client:
        assert (await client.ask(post(b"x" * 10))).status == 200
        assert (await client.ask(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n")).status == 200
        assert (await client.ask(post(b"x" * 11))).status == 413


async def test_whoever_sends_on_still_hears_why() -> None:
    """A sender that writes ten megabytes before it reads finds the 413, not a connection reset."""
    async with door(Desk(bound=1000)) as listener, knocking(listener) as client:
        assert (await client.ask(post(b"x" * 10_000_000))).status == 413
        assert await client.ended() == b""


async def test_continue_is_said_only_to_a_body_that_is_wanted() -> None:
    """`100 Continue` once `limit` has agreed; otherwise the refusal, and the body never comes."""
    desk = Desk(bound=10)
    head = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    async with door(desk) as listener:
        async with knocking(listener) as client:
            assert (await client.ask(head % 3)).status == 100
            assert (await client.ask(b"abc")).status == 200
            assert (await client.ask(head % 11)).status == 413
            assert await client.ended() == b""
        desk.bound = Reply(404, "no")
        async with knocking(listener) as client:
            assert (await client.ask(head % 3)).status == 404
            assert await client.ended() == b""
    assert [one.body for one in desk.taken] == [b"abc"]


async def test_bodies_of_all_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one sender holds back another cannot hold: 503; once it is answered there is room again."""
    monkeypatch.setattr(conversation, "MOST_HELD", 1000)
    release = anyio.Event()

    async def wait(_: Incoming) -> Reply:
        await release.wait()
        return Reply(200)

    desk = Desk(reply=wait)
    async with door(desk) as listener, knocking(listener) as one, knocking(listener) as other:
        await one.send(post(b"x" * 600))
        await wait_until(lambda: desk.taken)
        heard = await other.ask(post(b"x" * 600))
        assert (heard.status, heard.headers["retry-after"]) == (503, "5")
        release.set()
        assert (await one.heard()).status == 200
        async with knocking(listener) as third:
            assert (await third.ask(post(b"x" * 600))).status == 200


async def test_one_byte_chunks_do_not_hold_up_others() -> None:
    """A body of twenty thousand chunks is taken, and another is answered meanwhile."""
    desk = Desk(bound=20_000)
    async with door(desk) as listener, knocking(listener) as slow, knocking(listener) as quick:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow.send, CHUNKED + b"1\r\nx\r\n" * 20_000)
            assert (await quick.ask(post())).status == 200
        assert desk.taken[0].body == b"{}"
        assert (await slow.ask(b"0\r\n\r\n")).status == 200
    assert desk.taken[1].body == b"x" * 20_000


async def test_nobody_reads_ahead_of_what_is_answered() -> None:
    """What a client sends on while it waits stays with it: we stop reading, and read again once it has its answer."""
    said: list[str] = []

    class Paused(asyncio.Transport):
        def pause_reading(self) -> None:
            said.append("pause")

        def resume_reading(self) -> None:
            said.append("resume")

    wire = Wire()
    wire.connection_made(Paused())
    for _ in range(9):
        wire.data_received(b"x" * 8192)
    assert said == ["pause"]
    while not said[1:]:
        assert await wire.take()
    assert said == ["pause", "resume"]


# --- time ---------------------------------------------------------------------------------------------------------


async def test_headers_that_trickle_in_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then buys no time: at the deadline the connection ends, with 408."""
    monkeypatch.setattr(conversation, "LINGER_S", 0.2)
    async with door(Desk(), header_timeout_s=0.2, idle_timeout_s=600) as listener, knocking(listener) as client:
        said = await client.trickle(b"GET /a HTTP/1.1\r\nX-A: b\r\n" + b"X-A: b\r\n" * 1000)
        assert said.startswith(b"HTTP/1.1 408 ")
        await wait_until(lambda: listener.counts.connections == 0)


async def test_the_second_requests_headers_may_not_trickle_either() -> None:
    """The deadline begins with a request's first byte, not with the connection."""
    async with door(Desk(), header_timeout_s=0.2, idle_timeout_s=600) as listener, knocking(listener) as client:
        assert (await client.ask(post())).status == 200
        assert (await client.trickle(b"X" * 1000)).startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_says_nothing_is_closed() -> None:
    """Without a word, as there is nobody to answer."""
    async with door(Desk(), header_timeout_s=0.1, idle_timeout_s=600) as listener, knocking(listener) as client:
        assert await client.ended() == b""
        await wait_until(lambda: listener.counts.connections == 0)


async def test_between_requests_there_is_more_time() -> None:
    """A connection that has proved useful is kept for longer than one that has not, and then closed as well."""
    hasty = door(Desk(), header_timeout_s=0.1, idle_timeout_s=600)
    async with hasty as listener, knocking(listener) as client, knocking(listener) as silent:
        assert (await client.ask(post())).status == 200
        assert await silent.ended() == b""
        async with knocking(listener) as later:
            assert await later.ended() == b""
        assert (await client.ask(post())).status == 200
    async with door(Desk(), header_timeout_s=600, idle_timeout_s=0.1) as listener, knocking(listener) as client:
        assert (await client.ask(post())).status == 200
        assert await client.ended() == b""


@pytest.mark.parametrize("head", [CHUNKED, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"])
async def test_a_body_that_trickles_in_is_cut_off(head: bytes) -> None:
    """408 at the deadline, whatever came meanwhile."""
    desk = Desk(bound=100_000)
    async with door(desk, body_timeout_s=0.2, header_timeout_s=600) as listener, knocking(listener) as client:
        await client.send(head)
        assert (await client.trickle(b"1\r\nx\r\n" * 1000)).startswith(b"HTTP/1.1 408 ")
    assert desk.taken == []


async def test_a_client_that_does_not_read_is_given_up() -> None:
    """Answers that nobody takes end the connection, rather than wait in memory."""
    desk = Desk(reply=Reply(200, "x" * 1_000_000))
    async with door(desk, body_timeout_s=0.2, idle_timeout_s=600) as listener:
        host, port = listener.addresses[0].split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(post() * 100)
            await wait_until(lambda: listener.counts.connections == 1 or desk.taken)
            await wait_until(lambda: listener.counts.connections == 0)
    assert len(desk.taken) < 50


async def test_a_client_that_sends_on_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not stop sending after its refusal is cut off all the same."""
    monkeypatch.setattr(conversation, "LINGER_S", 0.2)
    async with door(Desk(bound=10)) as listener, knocking(listener) as client:
        said = await client.trickle(CHUNKED + b"a\r\n0123456789\r\n" * 10_000)
        assert said.startswith(b"HTTP/1.1 413 ")
        await wait_until(lambda: listener.counts.connections == 0)


# --- connections --------------------------------------------------------------------------------------------------


async def test_connections_beyond_the_bound_are_closed_at_once() -> None:
    """They are counted, and told once; those inside go on; a place that becomes free is given away."""
    full = door(Desk(), max_connections=2)
    with capture_logs() as logs:
        async with full as listener, knocking(listener) as first, knocking(listener) as second:
            assert (await first.ask(post())).status == 200
            assert (await second.ask(post())).status == 200
            for _ in range(5):
                async with knocking(listener) as more:
                    assert await more.ended() == b""
            assert (listener.counts.refused, listener.counts.connections) == (5, 2)
            assert (await first.ask(post())).status == 200
            second.drop()
            await wait_until(lambda: listener.counts.connections == 1)
            async with knocking(listener) as third:
                assert (await third.ask(post())).status == 200
    told = [line for line in logs if line["event"] == "ingress.full"]
    assert len(told) == 1
    assert told[0]["log_level"] == "warning"


async def test_what_is_said_over_and_over_is_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same warning again only after its time."""
    shared = house.House(IngressSettings(), Desk())
    with capture_logs() as logs:
        shared.say("a")
        shared.say("a")
        shared.say("b")
        monkeypatch.setattr("bridge.edge.ingress.house.anyio.current_time", lambda: 1e12)
        shared.say("a")
    assert [line["event"] for line in logs] == ["a", "b", "a"]
