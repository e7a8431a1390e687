"""Requests that come in: what is read, what is refused, and what is answered."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.engine.ports import Incoming, Reply
from tests.support.knocking import Desk, door, knocking, post
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The daemon runs on uvloop where there is one, and elsewhere on asyncio."""
    return "asyncio", {"use_uvloop": request.param}


# --- what is read -------------------------------------------------------------------------------------------------


async def test_a_request_arrives_whole() -> None:
    """Method, decoded path, query, headers by lower-case name, body, and where it came from."""
    desk = Desk(reply=Reply(202, "taken", {"X-Id": "7"}))
    async with door(desk) as listener, knocking(listener) as client:
        heard = await client.ask(
            b"POST /hooks/caf%C3%A9%2Fx?a=1&a=2&b=%20+c HTTP/1.1\r\nHost: here\r\nX-Two: 1\r\nx-two: 2\r\n"
            b"X-Utf8: caf\xc3\xa9\r\nX-Latin: caf\xe9\r\nContent-Length: 5\r\n\r\n\x00\xff{}\n"
        )
    assert (heard.status, heard.body, heard.headers["x-id"]) == (202, b"taken", "7")
    assert heard.headers["content-type"] == "text/plain; charset=utf-8"
    assert "server" not in heard.headers
    assert heard.headers["date"].endswith("GMT")
    assert desk.taken == [
        Incoming(
            "POST",
            "/hooks/café/x",
            {"host": "here", "x-two": "1, 2", "x-utf8": "café", "x-latin": "café", "content-length": "5"},
            b"\x00\xff{}\n",
            query={"a": "1", "b": "  c"},
            peer="127.0.0.1",
        )
    ]
    assert desk.asked == [("POST", "/hooks/café/x")]


async def test_one_connection_carries_many_requests() -> None:
    """Also those sent before the first was answered: each is answered, in the order they came."""

    async def reply(request: Incoming) -> Reply:
        return Reply(200, request.body.decode())

    async with door(Desk(reply=reply)) as listener, knocking(listener) as client:
        await client.send(b"".join(post(str(number)) for number in range(50)))
        assert [(await client.heard()).body for _ in range(50)] == [str(number).encode() for number in range(50)]
        assert (await client.ask(post("last"))).body == b"last"
        assert listener.counts.requests == 51
        assert listener.counts.connections == 1


async def test_chunks_are_one_body() -> None:
    """However they are cut, with extensions and trailers."""
    desk = Desk()
    async with door(desk) as listener, knocking(listener) as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"2", b"\r", b"\nab\r\n1;x=y\r\nc\r\n", b"0\r\nX-Sum: 1\r\n\r\n"):
            await client.send(piece)
        assert (await client.heard()).status == 200
        assert (await client.ask(post())).status == 200
    assert desk.taken[0].body == b"abc"


async def test_a_large_body_arrives() -> None:
    """A body of many reads is the same bytes at the other end."""
    body = bytes(range(256)) * 8192
    desk = Desk(bound=len(body))
    async with door(desk) as listener, knocking(listener) as client:
        assert (await client.ask(post(body))).status == 200
    assert desk.taken[0].body == body


async def test_http_1_0_is_answered_and_closed() -> None:
    """HTTP/1.0, without a Host, gets its answer with a length, and the connection ends."""
    async with door(Desk()) as listener, knocking(listener) as client:
        heard = await client.ask(b"POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        assert (heard.status, heard.body, heard.headers["connection"]) == (200, b"ok", "close")
        assert await client.ended() == b""


async def test_close_is_honoured() -> None:
    """Who asks for the connection to be closed sees it closed."""
    async with door(Desk()) as listener, knocking(listener) as client:
        assert (await client.ask(post(b"{}", "/a", "Connection: close"))).headers["connection"] == "close"
        assert await client.ended() == b""


async def test_absolute_targets_and_the_asterisk() -> None:
    """Targets as proxies send them, and OPTIONS *."""
    desk = Desk()
    async with door(desk) as listener, knocking(listener) as client:
        for target in ("http://other:80/x%41?q=1", "https://other", "HTTP://other?q=2"):
            assert (await client.ask(f"GET {target} HTTP/1.1\r\nHost: other\r\n\r\n")).status == 200
        assert (await client.ask("OPTIONS * HTTP/1.1\r\nHost: other\r\n\r\n")).status == 200
    assert [(one.path, dict(one.query)) for one in desk.taken] == [
        ("/xA", {"q": "1"}),
        ("/", {}),
        ("/", {"q": "2"}),
        ("*", {}),
    ]


async def test_paths_are_decoded_once() -> None:
    """`%252e` is the text `%2e`, and dots stay what they are: nobody behind us opens files by them."""
    desk = Desk()
    async with door(desk) as listener, knocking(listener) as client:
        await client.ask(b"GET /%252e%252e/../%2e%2e HTTP/1.1\r\nHost: h\r\n\r\n")
    assert desk.taken[0].path == "/%2e%2e/../.."


async def test_unknown_methods_are_the_answers_to_judge() -> None:
    """Whatever is a token reaches `limit`, which says what it makes of it."""
    desk = Desk(bound=Reply(405, "POST only", {"Allow": "POST"}))
    async with door(desk) as listener, knocking(listener) as client:
        heard = await client.ask(b"FROBNICATE /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (heard.status, heard.headers["allow"]) == (405, "POST")
        assert (await client.ask(b"PROPFIND /a HTTP/1.1\r\nHost: h\r\n\r\n")).status == 405  # and goes on
    assert desk.asked == [("FROBNICATE", "/a"), ("PROPFIND", "/a")]
    assert desk.taken == []


async def test_head_has_no_body() -> None:
    """HEAD gets the length the body would have, and the connection goes on."""
    async with door(Desk(reply=Reply(200, "abc"))) as listener, knocking(listener) as client:
        await client.send(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.heard(bodiless=True)).headers["content-length"] == "3"
        assert (await client.ask(post())).body == b"abc"


async def test_no_content_is_none() -> None:
    """204 has neither body nor length, and the connection goes on."""
    async with door(Desk(reply=Reply(204, "ignored"))) as listener, knocking(listener) as client:
        assert "content-length" not in (await client.ask(post())).headers
        assert (await client.ask(post())).status == 204


async def test_an_upgrade_is_not_offered() -> None:
    """Who asks for another protocol is answered in this one."""
    async with door(Desk()) as listener, knocking(listener) as client:
        upgrade = post(b"{}", "/a", "Connection: upgrade", "Upgrade: websocket")
        assert (await client.ask(upgrade)).status == 200
        assert (await client.ask(post())).status == 200


# --- what is refused ----------------------------------------------------------------------------------------------

HOST = b"Host: h\r\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS where there is none
        (b"GET /a HTTP/1.1 more\r\n" + HOST + b"\r\n", 400),
        (b"GET  /a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET ftp://h/a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /% HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /%0d%0a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a?b=%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a?" + b"&".join(b"a=%d" % number for number in range(101)) + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Expect: tea\r\nContent-Length: 2\r\n\r\n{}", 417),
        (b"GET /a HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 40_000, 431),
        (b"GET /a HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(100)) + b"\r\n", 431),
    ],
)
async def test_what_is_no_request_is_refused(raw: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """With the fitting number, without showing what was sent, without a word in the log; then the connection ends."""
    caplog.set_level(logging.DEBUG)
    desk = Desk()
    with capture_logs() as logs:
        async with door(desk) as listener:
            async with knocking(listener) as client:
                heard = await client.ask(raw)
                assert heard.status == status
                assert heard.headers["connection"] == "close"
                assert "server" not in heard.headers
                assert await client.ended() == b""
            async with knocking(listener) as client:
                assert (await client.ask(post())).status == 200
    assert desk.taken == [desk.taken[-1]]
    assert logs == []
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_smuggled_request_is_never_seen() -> None:
    """Where a length and chunks contradict one another, what follows is not read as a request."""
    desk = Desk()
    async with door(desk) as listener, knocking(listener) as client:
        inner = b"POST /smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
        head = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await client.ask(head + b"0\r\n\r\n" + inner)).status == 400
        assert await client.ended() == b""
    assert desk.asked == []


async def test_compressed_bodies_are_not_taken() -> None:
    """Not unpacked, not read: 415, which says what would be taken. `identity` is no compression."""
    desk = Desk()
    async with door(desk) as listener, knocking(listener) as client:
        heard = await client.ask(post(b"\x1f\x8b", "/a", "Content-Encoding: gzip"))
        assert (heard.status, heard.headers["accept-encoding"]) == (415, "identity")
        assert (await client.ask(post(b"{}", "/a", "Content-Encoding: Identity"))).status == 200
    assert [one.body for one in desk.taken] == [b"{}"]


# --- who answers --------------------------------------------------------------------------------------------------


async def test_an_answer_that_takes_too_long_is_cancelled() -> None:
    """503 with Retry-After soon after the deadline; whoever was answering is cancelled; the connection goes on."""
    cancelled: list[bool] = []

    async def never(_: Incoming) -> Reply:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)
        raise AssertionError

    desk = Desk(reply=never)
    async with door(desk, answer_timeout_s=0.1) as listener, knocking(listener) as client:
        heard = await client.ask(post())
        assert (heard.status, heard.headers["retry-after"]) == (503, "5")
        assert cancelled == [True]
        desk.reply = Reply(200)
        assert (await client.ask(post())).status == 200


async def test_whoever_answers_may_say_that_it_took_too_long() -> None:
    """Who gives up at the deadline itself has its own reply sent, since only that one is counted and logged."""

    async def late(_: Incoming) -> Reply:
        with anyio.move_on_after(0.1):
            await anyio.sleep_forever()
        return Reply(503, "not stored")

    async with door(Desk(reply=late), answer_timeout_s=0.1) as listener, knocking(listener) as client:
        heard = await client.ask(post())
    assert (heard.status, heard.body) == (503, b"not stored")


@pytest.mark.parametrize("politely", [False, True], ids=["reset", "closed"])
async def test_a_client_that_leaves_cancels_its_answer(politely: bool) -> None:
    """However it leaves, nobody goes on working for it, and its place is free."""
    cancelled: list[bool] = []

    async def never(_: Incoming) -> Reply:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)
        raise AssertionError

    desk = Desk(reply=never)
    async with door(desk, answer_timeout_s=600) as listener, knocking(listener) as client:
        await client.send(post())
        await wait_until(lambda: desk.taken)
        client.writer.close() if politely else client.drop()
        await wait_until(lambda: cancelled)
        await wait_until(lambda: listener.counts.connections == 0)


@pytest.mark.parametrize("where", ["limit", "answer", "reply", "header", "group"])
async def test_a_bug_behind_a_path_is_told_once(where: str) -> None:
    """500 without details; one log line with the trace and without the request; others are answered as ever."""
    error: Exception = ValueError("hunter2")
    desk = Desk()
    if where == "limit":
        desk.bound = error
    elif where == "answer":
        desk.reply = error
    elif where == "group":
        desk.reply = ExceptionGroup("both", [error])
    else:
        desk.reply = Reply(1000) if where == "reply" else Reply(200, "", {"X": "a\r\nhunter2"})
    with capture_logs() as logs:
        async with door(desk) as listener:
            for _ in range(2):
                async with knocking(listener) as client:
                    heard = await client.ask(post(b"hunter2"))
                    assert (heard.status, b"hunter2" in heard.body) == (500, False)
            desk.bound, desk.reply = 1000, Reply(200)
            async with knocking(listener) as client:
                assert (await client.ask(post())).status == 200
            assert listener.counts.bugs == 2
    assert [line["event"] for line in logs] == ["ingress.bug"]
    assert "hunter2" not in str(logs)
    assert "conversation.py" in logs[0]["trace"]
