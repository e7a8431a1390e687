"""Whatever bytes come in: never a 500, never a hang, and whoever comes next is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.config import IngressSettings
from bridge.edge.ingress.house import House
from bridge.engine.ports import Incoming, Reply
from tests.support.knocking import Desk, door, knocking, post
from tests.support.overheard import overheard
from tests.support.thorough import tries

LIMIT = 500

# --- what may come ------------------------------------------------------------------------------------------------

TOKENS = st.sampled_from(
    [
        *(b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"BREW", b"get", b""),
        *(b" ", b"\t", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b";", b",", b"\x00", b"\xff", b"%", b"%2", b"%41"),
        *(b"/", b"/hooks/a", b"*", b"http://h/a", b"http:///", b"//", b"?", b"#", b"a=b&", b"/%ff", b"/%00"),
        *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1\r\nHost: h\r\n"),
        *(b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"identity", b"gzip", b"Expect: 100-continue"),
        *(b"Connection: ", b"close", b"keep-alive", b"upgrade", b"Upgrade: websocket", b"Content-Encoding: "),
        *(b"0", b"1", b"5", b"-1", b"+5", b"0x5", b"99999999999999999999", b"1000000", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    ]
)
NOISE = st.lists(TOKENS | st.binary(max_size=20), max_size=30).map(b"".join)

VALUES = st.text("ab,;=/%\"' \té\x80", max_size=20).map(str.encode) | st.binary(max_size=20)
FIELDS = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Expect", b"Connection", b"Host", b"Content-Encoding", b"X", b"Cookie"]
)
USUAL = st.sampled_from([b"chunked", b"close", b"3", b"0", b"gzip", b"identity", b"100-continue", b"h", b"3, 3"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something like a request: well-formed where nothing else was drawn."""
    method = draw(st.sampled_from([b"POST", b"GET", b"HEAD", b"OPTIONS", b"M-SEARCH"]))
    target = draw(st.sampled_from([b"/a", b"*", b"http://h/a?b=c"]) | VALUES.map(lambda value: b"/" + value))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"1.2"]))
    fields = draw(st.lists(st.tuples(FIELDS, USUAL | VALUES), max_size=5))
    body = draw(st.binary(max_size=20) | st.just(b"x" * (LIMIT + 1)))
    framing = draw(st.sampled_from(["length", "chunks", "none", "wrong"]))
    if framing == "length":
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif framing == "wrong":
        fields.append((b"Content-Length", b"%d" % (len(body) + draw(st.integers(-3, 3)))))
    elif framing == "chunks":
        fields.append((b"Transfer-Encoding", b"chunked"))
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    head = b"%s %s HTTP/%s\r\nHost: h\r\n" % (method, target, version)
    return head + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + body


STREAMS = st.lists(NOISE | requests() | st.just(post()), max_size=4).map(b"".join)
CUTS = st.lists(st.integers(1, 60), max_size=10)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

# --- in memory, where thousands are quick -------------------------------------------------------------------------


def converse(stream: bytes, cuts: list[int]) -> tuple[bytes, House, Desk]:
    """What one connection that sends `stream`, cut as told, hears."""
    desk = Desk(bound=LIMIT)
    house = House(IngressSettings(), desk)
    return asyncio.run(overheard(house, stream, cuts)), house, desk


def judge(stream: bytes, cuts: list[int]) -> None:
    """No bug was met, nothing is held on to, and however the bytes were cut, they meant the same.

    A body that is refused ends the connection unless all of it was there already; so one may hear more than the other.
    """
    heard, house, desk = converse(stream, cuts)
    assert house.counts.bugs == 0
    assert house.held == 0
    said = STATUS.findall(heard)
    assert not {status for status in said if status.startswith(b"5")} - {b"501", b"505"}
    assert all(len(one.body) <= LIMIT and one.path.startswith(("/", "*")) for one in desk.taken)
    heard_whole, _, desk_whole = converse(stream, [])
    assert all(one == other for one, other in zip(desk.taken, desk_whole.taken, strict=False))
    assert all(one == other for one, other in zip(said, STATUS.findall(heard_whole), strict=False))


def fuzz(examples: int) -> Callable[[], None]:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STREAMS, CUTS)
    def search(stream: bytes, cuts: list[int]) -> None:
        judge(stream, cuts)

    return search


def test_no_bytes_are_a_bug() -> None:
    """Noise, near-requests and requests, in any order and cut anywhere, are refused or answered, the same each time."""
    fuzz(tries(100, 400))()


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_no_bytes_are_a_bug_at_length() -> None:
    """The same, twenty thousand times."""
    fuzz(20_000)()


# --- over a real connection ---------------------------------------------------------------------------------------


@settings(max_examples=tries(20, 60), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STREAMS, min_size=1, max_size=10))
def test_the_server_outlives_whatever_comes(streams: list[bytes]) -> None:
    """Every connection ends within its deadlines, none costs its place, and the next request is answered."""

    async def reply(_: Incoming) -> Reply:
        return Reply(200, "ok")

    async def visit(listener: Any, stream: bytes) -> None:
        async with knocking(listener) as client:
            await client.send(stream)
            heard = await client.ended()
            assert b"HTTP/1.1 500" not in heard

    async def run() -> None:
        desk = Desk(bound=LIMIT, reply=reply)
        async with door(desk, header_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1) as listener:
            async with anyio.create_task_group() as tasks:
                for stream in streams:
                    tasks.start_soon(visit, listener, stream)
            async with knocking(listener) as client:
                assert (await client.ask(post())).status == 200
            assert listener.counts.bugs == 0

    asyncio.run(run())
