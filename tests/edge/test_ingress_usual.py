"""Requests that h11 never sees: what is taken without it means the same to it, and what is odd is left to it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.config import IngressSettings
from bridge.edge.ingress import usual
from bridge.edge.ingress.house import House
from bridge.edge.ingress.target import check, read_headers
from bridge.engine.ports import Reply
from tests.support.knocking import Desk, post
from tests.support.overheard import overheard
from tests.support.thorough import tries

HEAD = b"POST /hooks/a?b=c HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nX-A: 1\r\nx-a:\t2 \r\n\r\n"

# --- what is read -------------------------------------------------------------------------------------------------


def by_h11(data: bytes) -> tuple[bytes, bytes, dict[str, str], bytes, bytes]:
    """Method, target, headers, body and what lies behind them, as h11 understands it."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(data)
    head = http.next_event()
    assert isinstance(head, h11.Request)
    headers = read_headers(head.headers)
    check(head.http_version.decode(), headers)
    body = b""
    while isinstance(event := http.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    # Neither half of the connection has come to its end.
    http.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    http.send(h11.EndOfMessage())
    assert (http.our_state, http.their_state) == (h11.DONE, h11.DONE)
    return head.method, head.target, headers, body, http.trailing_data[0]


def test_a_usual_head_is_read() -> None:
    """Target, headers by lower-case name with repeated ones joined, length, and where the body begins."""
    found = usual.read(HEAD + b"{}rest")
    assert found == ("/hooks/a?b=c", {"host": "here", "content-length": "2", "x-a": "1, 2"}, 2, len(HEAD))


ODD = {
    "not whole": HEAD[:-1],
    "another method": HEAD.replace(b"POST", b"GET"),
    "a method in small letters": HEAD.replace(b"POST", b"post"),
    "another version": HEAD.replace(b"1.1", b"1.0"),
    "no path": HEAD.replace(b"/hooks", b"http://h/hooks"),
    "two blanks": HEAD.replace(b"POST ", b"POST  "),
    "a line before it": b"\r\n" + HEAD,
    "no host": HEAD.replace(b"Host: here\r\n", b""),
    "two hosts": HEAD.replace(b"X-A", b"Host"),
    "no length": HEAD.replace(b"Content-Length: 2\r\n", b""),
    "two lengths": HEAD.replace(b"X-A: 1", b"Content-Length: 2"),
    "a list of lengths": HEAD.replace(b": 2\r", b": 2, 2\r"),
    "a signed length": HEAD.replace(b": 2\r", b": +2\r"),
    "a length that is none": HEAD.replace(b": 2\r", b": 0x2\r"),
    "digits of another script": HEAD.replace(b": 2\r", ": \u0662\r".encode()),
    "a huge length": HEAD.replace(b": 2\r", b": 9999999999\r"),
    "chunks": HEAD.replace(b"X-A: 1", b"Transfer-Encoding: chunked"),
    "chunks, spelled oddly": HEAD.replace(b"X-A: 1", b"tRANSFER-eNCODING:chunked"),
    "an expectation": HEAD.replace(b"X-A: 1", b"Expect: 100-continue"),
    "an upgrade": HEAD.replace(b"X-A: 1", b"Upgrade: websocket"),
    "the last request": HEAD.replace(b"X-A: 1", b"Connection: close"),
    "the last, among others": HEAD.replace(b"X-A: 1", b"Connection: keep-alive, close"),
    "a header twice": HEAD.replace(b"X-A: 1\r\nx-a:\t2 ", b"Connection: keep-alive\r\nConnection: close"),
    "a blank before the colon": HEAD.replace(b"X-A:", b"X-A :"),
    "a line that goes on": HEAD.replace(b"X-A: 1\r\n", b"X-A: 1\r\n more\r\n"),
    "no colon": HEAD.replace(b"X-A: 1", b"X-A 1"),
    "no name": HEAD.replace(b"X-A: 1", b": 1"),
    "a name with a blank": HEAD.replace(b"X-A", b"X A"),
    "a tab within a value": HEAD.replace(b"X-A: 1", b"X-A: 1\t1"),
    "a control character": HEAD.replace(b"X-A: 1", b"X-A: \x00"),
    "one that prints nothing": HEAD.replace(b"X-A: 1", b"X-A: \x7f"),
    "a bare line feed": HEAD.replace(b"1\r\n", b"1\n"),
    "a bare carriage return": HEAD.replace(b"X-A: 1", b"X-A: 1\rX-B: 1"),
    "a line feed in the target": HEAD.replace(b"?b", b"?\nb"),
    "a null": HEAD.replace(b"X-A: 1", b"X-A: \x00"),
    "not ASCII": HEAD.replace(b"X-A: 1", b"X-A: \xc3\xa9"),
    "too many headers": HEAD.replace(b"X-A: 1\r\n", b"X-A: 1\r\n" * 100),
    "a long head": HEAD.replace(b"X-A: 1", b"X-A: " + b"1" * 8_192),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_odd_is_left_to_h11(data: bytes) -> None:
    """Whatever two readers might read differently, and whatever changes how the connection goes on."""
    assert data not in (HEAD, HEAD + b"{}")
    assert usual.read(data + b"{}") is None


PIECES = st.lists(
    st.sampled_from(
        [
            *(b"X: y", b"Host: h", b"HOST:h", b"Content-Length: 3", b"content-length:3", b"Content-Length: 03"),
            *(b"Connection: keep-alive", b"Connection: close", b"Transfer-Encoding: chunked", b"Expect: 100-continue"),
            *(
                b"\r\n",
                b"\r\n",
                b"\r\n",
                b"\n",
                b"\r",
                b" ",
                b"\t",
                b":",
                b",",
                b"\x00",
                b"\x7f",
                b"\xe9",
                b"3",
                b"0",
                b"a",
            ),
        ]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=tries(60, 300), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(PIECES, PIECES, st.binary(max_size=8))
def test_what_is_taken_h11_would_take_and_understand_the_same(line: bytes, fields: bytes, body: bytes) -> None:
    """Whatever bytes are inserted into a usual request: a request that is read here is the same one to h11."""
    for target in (b"/", b"/" + line.replace(b"\r\n", b"")):
        for middle in (fields, b"Host: h\r\nContent-Length: 3\r\n" + fields):
            data = b"POST " + target + b" HTTP/1.1\r\n" + middle + b"\r\n\r\n" + body + b"abc"
            found = usual.read(data)
            if found is not None:
                rest = data[found.begins :]
                method, asked, headers, whole, behind = by_h11(data)
                assert (method, asked) == (b"POST", found.target.encode())
                assert (headers, whole, behind) == (found.headers, rest[: found.length], rest[found.length :])


# --- what is said -------------------------------------------------------------------------------------------------


def test_a_reply_is_said_as_h11_says_it() -> None:
    """The same bytes, whatever it holds."""
    for reply in (
        Reply(202),
        Reply(429, "too many", {"Retry-After": "5"}),
        Reply(503, "é", {"Content-Length": "9", "Connection": "upgrade"}),
        Reply(204, "", {"Allow": "POST"}),
        Reply(299),
    ):
        for last in (False, True):
            headers, body = usual.fields(reply, last=last)
            http = h11.Connection(h11.SERVER)
            http.receive_data(HEAD + b"{}")
            while http.their_state is not h11.DONE:
                http.next_event()
            head = h11.Response(
                status_code=reply.status, headers=list(headers.items()), reason=usual.phrase(reply.status).encode()
            )
            said = http.send(head) + (http.send(h11.Data(data=body)) if body else b"") + http.send(h11.EndOfMessage())
            date = re.compile(rb"date: [^\r]+")
            assert date.sub(b"", usual.said(reply, last=last)) == date.sub(b"", said)


def test_the_date_is_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once a second, and no later than that."""
    for second, said in ((1_000_000_000.9, "01:46:40"), (1_000_000_001.0, "01:46:41"), (1_000_000_000.0, "01:46:40")):
        monkeypatch.setattr("bridge.edge.ingress.usual.time.time", lambda second=second: second)
        assert f"date: Sun, 09 Sep 2001 {said} GMT\r\n".encode() in usual.said(Reply(202), last=False)


@pytest.mark.parametrize(
    "reply",
    [Reply(200, "", {"X": "a\r\nb"}), Reply(200, "", {"X\r\nY": "a"}), Reply(200, "", {"X": "é"}), Reply(100)],
    ids=["value", "name", "not ASCII", "no last word"],
)
def test_what_http_cannot_say_is_a_bug_and_no_second_header(reply: Reply) -> None:
    """500, whatever was to be said."""

    async def stream(_: object) -> None: ...

    for one in (reply, replace(reply, status=200, headers={}, stream=stream)):
        house = House(IngressSettings(), Desk(reply=one))
        heard = asyncio.run(overheard(house, post()))
        assert heard.startswith(b"HTTP/1.1 500 ")
        assert house.counts.bugs == 1


# --- how the connection goes on -----------------------------------------------------------------------------------


def test_usual_and_odd_requests_take_turns() -> None:
    """Each kind is answered in its order on one connection, and bodies go where they belong, however the bytes come."""
    odd = b"POST /odd HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    stream = post(b"first") + odd + post(b"") + post(b"third") + odd
    for cuts in ([], [1], [200], [70, 1, 1], [len(post(b"first")) - 2], [len(post(b"first")) + 3]):
        desk = Desk()
        house = House(IngressSettings(), desk)
        heard = asyncio.run(overheard(house, stream, cuts))
        assert [(one.path, one.body) for one in desk.taken] == [
            *(("/hooks/a", b"first"), ("/odd", b"abc"), ("/hooks/a", b""), ("/hooks/a", b"third"), ("/odd", b"abc"))
        ]
        assert heard.count(b"HTTP/1.1 200 ") == 5
        assert house.held == 0


def test_a_refused_body_is_passed_over_or_ends_the_connection() -> None:
    """If all of it is there the next request is answered; if not, nobody can tell where that would begin."""
    desk = Desk(bound=3)
    assert asyncio.run(overheard(House(IngressSettings(), desk), post(b"long") + post(b"ok"))).count(b"HTTP/1.1 ") == 2
    assert [one.body for one in desk.taken] == [b"ok"]
    half = post(b"long")[:-1]
    heard = asyncio.run(overheard(House(IngressSettings(), Desk(bound=3)), half))
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in heard
