"""What only the real WebSocket edge can meet: TLS, proxies, odd answers to the upgrade, peers that do not finish."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.datastructures import Headers
from websockets.utils import accept_key

from bridge.core.ending import ending_of
from bridge.core.errors import Refused, Retry
from bridge.core.facts import GraphqlSession
from bridge.core.secret import Secret
from bridge.core.session import SocketioSession
from bridge.edge.websocket import WebSockets
from bridge.engine.ports import Disconnected, UpgradeRefused
from tests.support.certificates import Authority
from tests.support.dialects import TRANSPORT, Peer
from tests.support.graphql_server import Conversation, GraphqlServer, graphql_server
from tests.support.waiting import wait_until
from tests.support.web import server_tls, talking

pytestmark = pytest.mark.anyio

TOKEN = "hunter2-hunter2"
PROTOCOL = "Sec-WebSocket-Protocol"
HEADERS: dict[str, str | Secret] = {"Authorization": Secret(TOKEN, "env TOKEN", prefix="Bearer ")}


@cache
def shared() -> WebSockets:
    return WebSockets()


def session(url: str, **more: Any) -> GraphqlSession:
    return GraphqlSession(url, TRANSPORT, (), headers=HEADERS, **more)


async def listening(peer: Peer) -> None:
    await peer.receive()


async def greeting(peer: Peer) -> None:
    await peer.send({"hello": peer.number})
    await peer.receive()


async def failure(sockets: WebSockets, session: GraphqlSession) -> str:
    """The text of the Retry that connecting ends in; neither it nor our frames below it hold the secret."""
    with pytest.raises(Retry) as caught:
        async with sockets.connect(session):
            raise AssertionError("connected")
    error = caught.value
    assert ending_of(error) == "unreachable"
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "?" not in str(error)
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals["__name__"].startswith("bridge."):
            assert TOKEN not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next
    return str(error)


# --- the sub-protocol --------------------------------------------------------------------------------------------


def lower(headers: Headers) -> None:
    del headers[PROTOCOL]
    headers[PROTOCOL.lower()] = TRANSPORT


def none(headers: Headers) -> None:
    del headers[PROTOCOL]


def another(headers: Headers) -> None:
    del headers[PROTOCOL]
    headers[PROTOCOL] = "graphql-ws"


def two(headers: Headers) -> None:
    headers[PROTOCOL] = "graphql-ws"


async def test_exactly_one_sub_protocol_is_offered_and_a_lower_case_answer_is_read() -> None:
    """Scenario 05: proxies write header names as they like."""
    async with graphql_server(greeting, answer=lower) as server:
        async with shared().connect(session(server.url())) as connected:
            assert (await connected.receive())[0] == {"hello": 1}
        assert server.offered == [TRANSPORT]


@pytest.mark.parametrize(
    ("answer", "agreed"), [(none, None), (another, "graphql-ws"), (two, "graphql-transport-ws, graphql-ws")]
)
async def test_another_sub_protocol_or_none_is_a_refusal(answer: Callable[[Headers], None], agreed: str | None) -> None:
    """Scenario 05: none, a wrong one. Speaking on would be speaking another language; no connection stays open."""
    async with graphql_server(listening, answer=answer) as server:
        with pytest.raises(UpgradeRefused) as caught:
            async with shared().connect(session(server.url())):
                raise AssertionError("connected")
        assert (caught.value.status, caught.value.subprotocol) == (101, agreed)
        assert "upgrade" in caught.value.headers
        await wait_until(lambda: server.open == 0)


# --- what is not connected to ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://api.example.com/graphql?access_token=hunter2-hunter2", "use wss"),
        ("wss://user:hunter2-hunter2@api.example.com/", "user name or password"),
        ("https://api.example.com/", "not a URL of the form wss"),
        ("graphql", "not a URL"),
    ],
)
async def test_what_must_not_be_connected_to_is_refused(url: str, words: str) -> None:
    """Repeating would not help: somebody must correct the configuration."""
    with pytest.raises(Refused, match=words) as caught:
        async with shared().connect(session(url)):
            raise AssertionError("connected")
    assert TOKEN not in str(caught.value)


async def test_a_header_that_is_none_is_refused_by_its_origin() -> None:
    """A secret's file that ends in a line break is found by where it came from, not by what it holds."""
    wrong = replace(session("wss://api.example.com/"), headers={"x-api-key": Secret("line\nbreak", "env TOKEN")})
    with pytest.raises(Refused, match=r"header x-api-key \(env TOKEN\)"):
        async with shared().connect(wrong):
            raise AssertionError("connected")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "localhost:3128", "http://"])
async def test_an_unknown_kind_of_proxy_is_refused(proxy: str) -> None:
    """The text names the setting."""
    with pytest.raises(Refused, match="`ws_proxy` is not a URL"):
        async with shared().connect(session("wss://api.example.com/", proxy=proxy)):
            raise AssertionError("connected")


async def test_a_redirect_is_not_followed() -> None:
    """It is a refusal like others; the host it points to hears nothing, least of all the token."""
    async with graphql_server(listening) as other, graphql_server(listening) as server:
        for status in (301, 302, 303, 307, 308):
            server.refusals = [(status, {"Location": other.url()})]
            with pytest.raises(UpgradeRefused) as caught:
                async with shared().connect(session(server.url())):
                    raise AssertionError("connected")
            assert caught.value.status == status
        assert other.requests == 0


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the variables say, we connect to the vendor."""
    for name in ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "socks_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with graphql_server(greeting) as server, shared().connect(session(server.url())) as connected:
        assert (await connected.receive())[0] == {"hello": 1}


async def test_a_configured_proxy_is_used() -> None:
    """By CONNECT; the vendor's token does not go to the proxy itself."""
    asked: list[bytes] = []

    async with graphql_server(greeting) as server, _proxy(asked) as port:
        through = session(server.url(), proxy=f"http://127.0.0.1:{port}")
        async with shared().connect(through) as connected:
            assert (await connected.receive())[0] == {"hello": 1}
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
    assert TOKEN.encode() not in asked[0]


# --- what goes wrong on the way ----------------------------------------------------------------------------------


async def test_a_name_that_nobody_knows() -> None:
    """DNS: the name is in the text, the query string is not."""
    text = await failure(shared(), session("wss://no-such-host.invalid/graphql?tenant=acme"))
    assert text.startswith("no-such-host.invalid/graphql: the name no-such-host.invalid cannot be resolved")


async def test_nobody_listens() -> None:
    """The connection is refused."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    text = await failure(shared(), session(f"ws://127.0.0.1:{port}/graphql"))
    assert f"127.0.0.1:{port}/graphql: 127.0.0.1 refused the connection" in text


async def test_a_proxy_that_refuses_is_named() -> None:
    """It is the proxy that is to be looked at, not the vendor."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with talking(refuse) as port:
        text = await failure(shared(), session("wss://api.example.com/x", proxy=f"http://127.0.0.1:{port}"))
    assert "the proxy 127.0.0.1 answered with HTTP status 407; check `ws_proxy`" in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "cut the connection before it had answered"),
        (b"HTTP/1.1 101 Swit", "cut the connection before it had answered"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer is not a WebSocket's"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the answer is not a WebSocket's"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: wrong\r\n\r\n",
            "the answer is not a WebSocket's",
        ),
        (b"HTTP/1.1 101 S\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "the answer is not a WebSocket's"),
    ],
)
async def test_an_answer_that_is_none(answer: bytes, words: str) -> None:
    """The exception's own text is not quoted: it may hold headers."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with talking(answering) as port:
        assert words in await failure(shared(), session(f"ws://127.0.0.1:{port}/graphql"))


async def test_connecting_has_one_deadline() -> None:
    """A server that accepts the connection and says nothing is given up in time, and not left open."""
    closed = anyio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with talking(mute) as port:
        text = await failure(shared(), session(f"ws://127.0.0.1:{port}/graphql", connect_timeout_s=0.2))
        assert "no WebSocket within 0.2 s" in text
        with anyio.fail_after(120):
            await closed.wait()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_cancelled_connect_leaves_no_socket_open(scheme: str) -> None:
    """Neither in the upgrade nor in the TLS handshake; the server sees the end of the connection."""
    here, gone = anyio.Event(), anyio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        here.set()
        while await reader.read(65_536):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with anyio.create_task_group() as group:
            group.start_soon(_connect, f"{scheme}://127.0.0.1:{port}/graphql")
            with anyio.fail_after(120):
                await here.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(120):
            await gone.wait()
    finally:
        server.close()


async def _connect(url: str) -> None:
    async with shared().connect(session(url, connect_timeout_s=60)):
        raise AssertionError("connected")


# --- TLS ---------------------------------------------------------------------------------------------------------


async def test_tls_by_a_configured_authority(tmp_path: Path) -> None:
    """Trusted once its CA file is configured; otherwise the text says what is missing."""
    authority = Authority(tmp_path)
    tls = server_tls(*authority.issue("server", "127.0.0.1"))
    async with graphql_server(greeting, tls=tls) as server:
        assert "configure the authority's CA file" in await failure(shared(), session(server.url()))
        async with WebSockets(ca_file=str(authority.path)).connect(session(server.url())) as connected:
            assert (await connected.receive())[0] == {"hello": 1}
        assert "for another host name" in await failure(
            WebSockets(ca_file=str(authority.path)), session(server.url(host="localhost"))
        )


async def test_schemes_in_capitals_get_the_same_tls(tmp_path: Path) -> None:
    """The configured authority is asked, for the vendor as for the proxy, however the address is written."""
    authority = Authority(tmp_path)
    tls = server_tls(*authority.issue("server", "127.0.0.1"))
    sockets, asked = WebSockets(ca_file=str(authority.path)), list[bytes]()
    async with graphql_server(greeting, tls=tls) as server, _proxy(asked, tls) as port:
        for scheme in ("WSS", "wsS"):
            url = server.url().replace("wss", scheme, 1)
            async with sockets.connect(session(url)) as connected:
                assert (await connected.receive())[0]["hello"]
            async with sockets.connect(session(url, proxy=f"HTTPS://127.0.0.1:{port}")) as connected:
                assert (await connected.receive())[0]["hello"]
    assert len(asked) == 2


async def test_a_frame_that_has_no_bytes_is_not_sent() -> None:
    """Half of a surrogate pair: tried again later, and the text quotes nothing of it; the connection stays usable."""

    async def echo(peer: Peer) -> None:
        while True:
            await peer.send(await peer.receive())

    async with graphql_server(echo) as server, shared().connect(session(server.url())) as connected:
        with pytest.raises(Retry, match="a frame for the peer is no JSON in UTF-8") as caught:
            await connected.send({"a": "\ud800", "token": Secret(TOKEN)})
        assert caught.value.__context__ is None
        await connected.send({"a": 1})
        assert (await connected.receive())[0] == {"a": 1}


async def test_a_frame_of_nothing_but_brackets_is_named() -> None:
    """It is not decoded: that would hold up every source for seconds."""

    async def brackets(peer: Peer) -> None:
        await peer.send("[" + "{}," * 300_000 + "{}]")
        await peer.receive()

    async with graphql_server(brackets) as server, shared().connect(session(server.url())) as connected:
        frame, size, why = await connected.receive()
    assert (frame, size) == (None, 900_004)
    assert why == "JSON of 300002 lists and objects in 900004 bytes: no record is like that"


async def test_plain_where_tls_was_expected() -> None:
    """The text says what the port should speak."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        text = await failure(shared(), session(f"wss://127.0.0.1:{port}/graphql"))
    finally:
        server.close()
    assert "check that the URL's port speaks wss" in text


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """At the start, and by its name."""
    with pytest.raises(Refused, match=r"CA file .*ca\.pem: .*expected a PEM file"):
        WebSockets(ca_file=str(tmp_path / "ca.pem"))


# --- peers that do not finish ------------------------------------------------------------------------------------


def raw(peer: Peer) -> Conversation:
    assert isinstance(peer, Conversation)
    return peer


async def test_a_peer_that_says_it_closes_and_does_not() -> None:
    """Its code is told within a second or two, though the TCP connection stays open on its side."""

    async def pretend(peer: Peer) -> None:
        raw(peer).raw(b"\x88\x02\x0f\xa1")  # a close frame with the code 4001
        peer.freeze()
        await anyio.sleep_forever()

    async with graphql_server(pretend) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(120), pytest.raises(Disconnected) as caught:
            await connected.receive()
    assert caught.value.code == 4001


@pytest.mark.parametrize("data", [b"\x81\x02\xff\xff", b"\xc1\x00", b"\x83\x00", b"\x00\x00"])
async def test_a_peer_that_breaks_the_protocol_is_a_broken_connection(data: bytes) -> None:
    """No UTF-8, reserved bits, an unknown opcode, a continuation of nothing: our verdict is not the peer's word."""

    async def babble(peer: Peer) -> None:
        raw(peer).raw(data)
        await peer.receive()

    async with graphql_server(babble) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(120), pytest.raises(Disconnected) as caught:
            await connected.receive()
    assert (caught.value.code, caught.value.reason) == (1006, "the peer broke the rules of the protocol")


async def test_frames_that_lie_ready_are_taken_as_they_came() -> None:
    """Texts, bytes and a message in fragments with a ping between them, in one piece of TCP: in order, each whole."""
    burst = b"\x81\x01a\x82\x01b\x01\x01c\x00\x01d\x89\x00\x80\x01e\x81\x02\xc3\xa4"
    burst += b"\x01\x01\xc3\x80\x01\xa4\x81\x00\x81\x01\xff"

    async def say(peer: Peer) -> None:
        raw(peer).raw(burst)
        await peer.receive()

    async with graphql_server(say) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(120):
            assert [await connected.receive_raw() for _ in range(6)] == ["a", b"b", "cde", "ä", "ä", ""]
            with pytest.raises(Disconnected) as caught:
                await connected.receive_raw()
    assert (caught.value.code, caught.value.reason) == (1006, "the peer broke the rules of the protocol")


REST = b"\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 52\r\n\r\n" + b"x" * 52
"""Read as a frame, HTTP announces 84 bytes: it breaks the rules once these have come."""
HTTP = b"HTTP/1.1 400 Bad Request" + REST


@pytest.mark.parametrize("first", [b"", b"\x81\x02{}"])
@pytest.mark.parametrize(
    ("data", "line"),
    [
        (HTTP, "HTTP/1.1 400 Bad Request"),
        (b"HTTP/1.0 503 \xff" + REST, "HTTP/1.0 503 \ufffd"),
        (b"HTTP/1.1 502 " + b"x" * 1000, "HTTP/1.1 502 " + "x" * 79),
        (b"HTTP/1.1 101 Switching Protocols" + REST, ""),
        (b"HTTP/2 400" + REST, ""),
        (b"\xc1\x00" + HTTP, ""),
    ],
)
async def test_a_peer_that_goes_over_to_plain_http(first: bytes, data: bytes, line: str) -> None:
    """Its status line is told beside the verdict, and nothing else: whoever holds the session knows what it means."""

    async def refuse(peer: Peer) -> None:
        if first:
            raw(peer).raw(first)
            await peer.receive()
        raw(peer).raw(data)
        await anyio.sleep_forever()

    async with graphql_server(refuse) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(120):
            if first:
                assert await connected.receive_raw() == "{}"
                await connected.send({})
            with pytest.raises(Disconnected) as caught:
                await connected.receive()
    assert (caught.value.code, caught.value.reason) == (1006, "the peer broke the rules of the protocol")
    assert caught.value.http == line


async def test_plain_http_in_the_same_breath_as_the_upgrade() -> None:
    """As npm engine.io sends it: the answer to the upgrade and the refusal may be read as one."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        accepted = accept_key(key).encode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n" + HTTP
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with shared().connect(SocketioSession(f"ws://127.0.0.1:{port}/")) as connected:
            with anyio.fail_after(120), pytest.raises(Disconnected) as caught:
                await connected.receive_raw()
    finally:
        server.close()
    assert caught.value.http == "HTTP/1.1 400 Bad Request"


async def test_a_peer_that_answers_no_ping_is_dead() -> None:
    """Scenario 17: half-open TCP. It is noticed by interval and time-out, and not before."""

    async def freeze(peer: Peer) -> None:
        peer.freeze()
        await anyio.sleep_forever()

    async with graphql_server(freeze) as server:
        pinged = session(server.url(), ping_interval_s=0.3, ping_timeout_s=0.3)
        async with shared().connect(pinged) as connected:
            began = anyio.current_time()
            with anyio.fail_after(120), pytest.raises(Disconnected) as caught:
                await connected.receive()
            assert anyio.current_time() - began >= 0.6
    assert (caught.value.code, caught.value.reason) == (1006, "no answer to a ping")


async def test_a_quiet_peer_that_answers_pings_is_not_dead() -> None:
    """Nothing but pongs for many intervals; then a frame."""
    said = anyio.Event()

    async def quiet(peer: Peer) -> None:
        await peer.receive()
        await said.wait()
        await peer.send({"n": 1})
        await peer.receive()

    async with graphql_server(quiet) as server:
        pinged = session(server.url(), ping_interval_s=0.05, ping_timeout_s=0.5)
        async with shared().connect(pinged) as connected:
            await connected.send({})
            with anyio.move_on_after(1.5):
                await connected.receive()
            said.set()
            assert (await connected.receive())[0] == {"n": 1}


async def test_a_peer_whose_answers_we_do_not_read_is_not_dead() -> None:
    """It has more to say than is taken for many intervals; then all of it is here, in order."""

    async def talkative(peer: Peer) -> None:
        for number in range(3_000):
            await peer.send({"n": number, "text": "x" * 2_000})
        await peer.receive()

    async with graphql_server(talkative) as server:
        pinged = session(server.url(), ping_interval_s=0.05, ping_timeout_s=0.1)
        async with shared().connect(pinged) as connected:
            wire, began = connected._wire, anyio.current_time()
            await wait_until(lambda: bool(wire.dead) or wire._asked > began + 1, 60)
            for number in range(3_000):
                assert (await connected.receive())[0]["n"] == number


async def test_a_flood_of_pings_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand in one go are taken in slices, each answered, and what comes behind them is not lost."""
    taken: list[int] = []
    library = ClientConnection.data_received

    def watched(wire: ClientConnection, data: bytes) -> None:
        taken.append(len(data))
        library(wire, data)

    monkeypatch.setattr(ClientConnection, "data_received", watched)

    async def flood(peer: Peer) -> None:
        raw(peer).raw(b"\x89\x00" * 100_000)
        await peer.send({"hello": 1})
        await listening(peer)

    async with graphql_server(flood) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(60):
            assert (await connected.receive())[0] == {"hello": 1}
            await connected.send({"still": "there"})
    assert max(taken) <= 8192
    assert sum(taken) > 200_000


async def test_a_peer_that_asks_and_does_not_read_is_given_up() -> None:
    """Our answers wait in memory, and there is no end to them: the session ends while they are few."""

    async def ask(peer: Peer) -> None:
        peer.freeze()
        while True:
            raw(peer).raw((b"\x89\x7d" + b"x" * 125) * 500)
            await anyio.sleep(0.001)

    async with graphql_server(ask) as server, shared().connect(session(server.url())) as connected:
        with anyio.fail_after(60), pytest.raises(Disconnected) as caught:
            await connected.receive()
    assert caught.value.reason == "it does not read our answers"


async def test_a_flood_before_a_reset_is_not_answered_into_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Where the connection is gone nobody hears a pong, and asyncio would log each of a hundred thousand."""

    async def flood(peer: Peer) -> None:
        raw(peer).raw(b"\x89\x00" * 120_000)
        peer.drop()

    with caplog.at_level(logging.WARNING):
        async with graphql_server(flood) as server, shared().connect(session(server.url())) as connected:
            with anyio.fail_after(60), pytest.raises(Disconnected):
                await connected.receive()
    assert len(caplog.records) < 10_000


async def test_without_pings_none_is_sent() -> None:
    """Some servers cannot bear them: then a frozen peer is not noticed here."""

    async def freeze(peer: Peer) -> None:
        peer.freeze()
        await anyio.sleep_forever()

    async with graphql_server(freeze) as server:
        quiet = session(server.url(), ping_interval_s=None, ping_timeout_s=0.01)
        async with shared().connect(quiet) as connected:
            with anyio.move_on_after(0.3) as scope:
                await connected.receive()
            assert scope.cancelled_caught


# --- what leaves no trace ----------------------------------------------------------------------------------------


async def test_nothing_is_logged_not_even_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    """The library would write every header and frame into its log, secrets included."""
    caplog.set_level(logging.DEBUG)
    async with graphql_server(greeting) as server, shared().connect(session(server.url())) as connected:
        await connected.send({"payload": Secret(TOKEN)})
        await connected.receive()
    client = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not [record for record in client if TOKEN in record.getMessage()]


async def test_no_task_file_or_timer_is_left(recwarn: pytest.WarningsRecorder) -> None:
    """Fifty connections that ended in different ways leave as many tasks and open files as there were before."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        if peer.number % 3 == 0:
            peer.drop()
        elif peer.number % 3 == 1:
            await peer.close(1011)

    async with graphql_server(script) as server:
        await _visit(server, 1)
        await wait_until(lambda: server.open == 0)
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        await _visit(server, 50)
        await wait_until(lambda: server.open == 0)
        await wait_until(lambda: len(asyncio.all_tasks()) <= tasks and len(os.listdir("/proc/self/fd")) <= files)
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


async def _visit(server: GraphqlServer, times: int) -> None:
    for n in range(times):
        async with shared().connect(session(server.url(), ping_interval_s=0.05)) as connected:
            await connected.send({"n": n})
            if n % 3:
                with pytest.raises(Disconnected):
                    await connected.receive()


@asynccontextmanager
async def _proxy(asked: list[bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A proxy that understands CONNECT."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, port = asked[-1].split()[1].decode().split(":")
        there, out = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(_pipe, reader, out)
            group.start_soon(_pipe, there, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()
