"""The contract of `Sockets`: the real edge against a real server, and its twin in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import anyio
import pytest
from websockets.datastructures import Headers

from bridge.core.facts import GraphqlSession
from bridge.core.secret import Secret
from bridge.core.session import SocketioSession, StreamSession
from bridge.edge.websocket import WebSockets
from bridge.engine.ports import Disconnected, Sockets, UpgradeRefused
from tests.support.dialects import TRANSPORT, Peer, PeerGone
from tests.support.graphql_server import Script, graphql_server
from tests.support.memory_socket import memory_sockets, refused
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TOKEN = "hunter2-hunter2"
SESSION = GraphqlSession(
    "ws://127.0.0.1/graphql",
    TRANSPORT,
    (),
    headers={"Authorization": Secret(TOKEN, "env TOKEN", prefix="Bearer "), "X-Plain": "1"},
)

World = Callable[..., AbstractAsyncContextManager[tuple[Sockets, GraphqlSession]]]


@cache
def shared() -> WebSockets:
    """One for all, as in the daemon: to load the system's authorities takes longer than most of these tests."""
    return WebSockets()


@asynccontextmanager
async def real(script: Script, refusal: tuple[int, dict[str, str]] | None = None) -> AsyncIterator[Any]:
    async with graphql_server(script) as server:
        server.refusals = [] if refusal is None else [refusal]
        yield shared(), replace(SESSION, url=server.url())


@asynccontextmanager
async def twin(script: Script, refusal: tuple[int, dict[str, str]] | None = None) -> AsyncIterator[Any]:
    async with memory_sockets(script) as sockets:
        sockets.refusals = [] if refusal is None else [refused(*refusal)]
        yield sockets, SESSION


@pytest.fixture(params=[real, twin], ids=["edge", "twin"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param
    return made


def saying(*frames: Any, then: Callable[[Peer], Awaitable[None]] | None = None) -> Script:
    """Send these frames, then do that; by default wait until the client leaves."""

    async def script(peer: Peer) -> None:
        for frame in frames:
            await peer.send(frame)
        await (then(peer) if then is not None else peer.receive())

    return script


async def test_what_one_sends_the_other_receives_in_order(world: World) -> None:
    """Both ways, and nothing is lost or joined."""

    async def echo(peer: Peer) -> None:
        while True:
            await peer.send(await peer.receive())

    async with world(echo) as (sockets, session), sockets.connect(session) as socket:
        for n in range(100):
            await socket.send({"n": n, "text": "ü"})
        got = [await socket.receive() for _ in range(100)]
    assert [frame for frame, _, _ in got] == [{"n": n, "text": "ü"} for n in range(100)]
    assert {problem for _, _, problem in got} == {""}


async def test_secrets_are_revealed_on_the_wire_only(world: World) -> None:
    """In the headers of the upgrade, with their prefix, and anywhere in a frame."""
    seen: list[Any] = []

    async def script(peer: Peer) -> None:
        seen.extend([peer.headers["authorization"], peer.headers["x-plain"], await peer.receive()])
        await peer.send("{}")

    async with world(script) as (sockets, session), sockets.connect(session) as socket:
        frame = {"payload": [{"deep": Secret(TOKEN)}]}
        await socket.send(frame)
        await socket.receive()
        assert TOKEN not in repr(frame)
    assert seen == [f"Bearer {TOKEN}", "1", {"payload": [{"deep": TOKEN}]}]


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ('{"a": [1, "ü"]}', ({"a": [1, "ü"]}, 16, "")),
        ("null", (None, 4, "")),
        ("[]", ([], 2, "")),
        (b'{"a": 1}', (None, 8, "a binary frame")),
        ("<html>", (None, 6, "HTML page")),
        ('{"a": ', (None, 6, "truncated JSON: it breaks off after 6 bytes")),
        ("", (None, 0, "empty body")),
    ],
)
async def test_what_is_not_json_text_is_named(world: World, sent: Any, got: Any) -> None:
    """With its size in bytes; what to make of it is the protocol's to say."""
    async with world(saying(sent)) as (sockets, session), sockets.connect(session) as socket:
        assert await socket.receive() == got


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1011, 1012, 4401, 4999])
async def test_a_close_is_told_by_its_code(world: World, code: int) -> None:
    """Once everything that came before it was received, and every time from then on; nothing can be sent any more."""

    async def leave(peer: Peer) -> None:
        await peer.close(code, "" if code == 1005 else "so long")

    async with world(saying({"n": 1}, {"n": 2}, then=leave)) as (sockets, session), sockets.connect(session) as socket:
        assert [(await socket.receive())[0]["n"] for _ in range(2)] == [1, 2]
        for again in (False, True):
            with pytest.raises(Disconnected) as caught:
                await (socket.send({}) if again else socket.receive())
            assert (caught.value.code, caught.value.reason) == (code, "" if code == 1005 else "so long")
            assert caught.value.__context__ is None


async def test_a_connection_that_breaks_off_is_told_as_1006(world: World) -> None:
    """There was no close frame, so it has no code."""

    async def drop(peer: Peer) -> None:
        await peer.receive()
        peer.drop()

    async with world(drop) as (sockets, session), sockets.connect(session) as socket:
        await socket.send({})
        with pytest.raises(Disconnected) as caught:
            await socket.receive()
        assert caught.value.code == 1006


async def test_the_peer_is_told_why_we_close(world: World) -> None:
    """Code and reason arrive; afterwards closing does nothing, and receiving says that it is over."""
    told: list[int] = []

    async def script(peer: Peer) -> None:
        try:
            await peer.receive()
        except PeerGone as gone:
            told.append(gone.code)

    async with world(script) as (sockets, session):
        async with sockets.connect(session) as socket:
            await socket.close(4400, "x" * 200)
            await socket.close(1000)
            with pytest.raises(Disconnected):
                await socket.receive()
        await wait_until(lambda: told)
    assert told == [4400]


@pytest.mark.parametrize("code", [1006, 12, 99_999])
async def test_closing_never_raises(world: World, code: int) -> None:
    """Not even with a code that may not be sent."""
    async with world(saying()) as (sockets, session), sockets.connect(session) as socket:
        await socket.close(code)


async def test_a_frozen_peer_is_left_in_time(world: World) -> None:
    """It reads nothing, the buffers are full, and closing still takes two seconds at most."""

    async def freeze(peer: Peer) -> None:
        peer.freeze()
        await anyio.sleep_forever()

    async with world(freeze) as (sockets, session), sockets.connect(session) as socket:
        with anyio.move_on_after(0.5) as scope:
            while True:
                await socket.send("x" * 500_000)
        assert scope.cancelled_caught
        began = anyio.current_time()
        await socket.close()
        assert anyio.current_time() - began < 9  # 1.5 s, and what a busy machine adds; the library alone takes ten
        with anyio.fail_after(120), pytest.raises(Disconnected):
            await socket.receive()


async def test_a_cancelled_receive_loses_nothing(world: World) -> None:
    """Whether a frame was there or not."""

    async def echo(peer: Peer) -> None:
        while True:
            await peer.send(await peer.receive())

    async with world(echo) as (sockets, session), sockets.connect(session) as socket:
        for n in range(40):
            with anyio.move_on_after(0.001 * (n % 3)):
                await socket.receive()
                raise AssertionError("nothing was sent")
            await socket.send(n)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            assert (await socket.receive())[0] == n


async def test_a_message_of_2_mib_passes_below_the_bound(world: World) -> None:
    """Scenario 16: one event of 2 MiB, with the bound of 8 MiB that is set by default."""
    async with world(saying("1" * (2 * 1024 * 1024))) as (sockets, session), sockets.connect(session) as socket:
        assert (await socket.receive())[1] == 2 * 1024 * 1024


async def test_a_message_of_2_mib_above_the_bound_ends_the_connection(world: World) -> None:
    """Scenario 16: one event of 2 MiB, with a bound of 1 MiB: 1009, to us and to the peer."""
    told: list[int] = []

    async def listen(peer: Peer) -> None:
        try:
            await peer.receive()
        except PeerGone as gone:
            told.append(gone.code)

    async with world(saying("1" * (2 * 1024 * 1024), then=listen)) as (sockets, session):
        async with sockets.connect(replace(session, max_message_mb=1)) as socket:
            with pytest.raises(Disconnected) as caught:
                await socket.receive()
            assert caught.value.code == 1009
        await wait_until(lambda: told)
    assert told == [1009]


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (429, {"retry-after": "7"}), (503, {}), (302, {})])
async def test_a_refused_upgrade_is_told_with_its_headers(world: World, status: int, headers: dict[str, str]) -> None:
    """Scenario 04: HTTP 401, 429 with Retry-After, 503 on upgrade. And the next attempt is free."""
    async with world(saying({"n": 1}), (status, headers)) as (sockets, session):
        with pytest.raises(UpgradeRefused) as caught:
            async with sockets.connect(session):
                raise AssertionError("connected")
        assert caught.value.status == status
        assert caught.value.headers.items() >= headers.items()
        assert TOKEN not in repr(caught.value.__dict__)
        assert caught.value.__context__ is None
        async with sockets.connect(session) as socket:
            assert (await socket.receive())[0] == {"n": 1}


async def test_others_have_their_turns_however_much_is_buffered(world: World) -> None:
    """While 2,000 frames are taken without waiting, another task runs at least once for every 20 of them."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with (
        world(saying(*range(2_000))) as (sockets, session),
        sockets.connect(session) as socket,
        anyio.create_task_group() as group,
    ):
        group.start_soon(count)
        for n in range(2_000):
            assert (await socket.receive())[0] == n
        group.cancel_scope.cancel()
    assert turns >= 100


async def test_a_connection_is_closed_when_its_block_is_left(world: World) -> None:
    """By an error or a cancellation as well: the peer sees the end of it."""
    ended: list[int] = []

    async def script(peer: Peer) -> None:
        try:
            await peer.receive()
        except PeerGone as gone:
            ended.append(gone.code)

    async with world(script) as (sockets, session):
        with pytest.raises(ZeroDivisionError):
            async with sockets.connect(session):
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with sockets.connect(session):
                scope.cancel()
                await anyio.sleep_forever()
        await wait_until(lambda: len(ended) == 2)


# --- text as it is, and no sub-protocol ---


async def test_text_is_sent_as_it_is_with_json_behind_it(world: World) -> None:
    """Secrets in the JSON are revealed on the wire; without any, not a byte is added."""
    seen: list[str] = []

    async def script(peer: Peer) -> None:
        for _ in range(3):
            seen.append(await peer.receive_text())
        await peer.send("done")

    async with world(script) as (sockets, session), sockets.connect(session) as socket:
        await socket.send_text("2")
        await socket.send_text("40/ü,", {"token": Secret(TOKEN)})
        await socket.send_text("", [])
        await socket.receive_raw()
    assert (seen[0], seen[2]) == ("2", "[]")
    assert (seen[1][:5], json.loads(seen[1][5:])) == ("40/ü,", {"token": TOKEN})


async def test_what_is_said_is_sent_at_once_or_not_at_all(world: World) -> None:
    """In its turn behind what was sent; not where the peer reads no more, nor where it has closed."""
    seen: list[str] = []

    async def script(peer: Peer) -> None:
        for _ in range(3):
            seen.append(await peer.receive_text())
        peer.freeze()
        await anyio.sleep_forever()

    async with world(script) as (sockets, session), sockets.connect(session) as socket:
        assert socket.say("1ü")
        await socket.send_text("2")
        assert socket.say("3")
        await wait_until(lambda: len(seen) == 3)
        for _ in range(10_000):
            if not socket.say("x" * 65_536):
                break
            await anyio.lowlevel.checkpoint()
        else:
            raise AssertionError("all of it was sent")
    assert seen == ["1ü", "2", "3"]

    async def leave(peer: Peer) -> None:
        await peer.close(1001)

    async with world(leave) as (sockets, session), sockets.connect(session) as socket:
        with pytest.raises(Disconnected):
            await socket.receive_raw()
        assert not socket.say("4")


async def test_frames_are_received_as_they_came(world: World) -> None:
    """Text as text, bytes as bytes, in order, whatever they hold; then the end, by its code."""
    frames = ["2", "", "<html>", b"\x04\x00\xff", b"", '42["ü"]', "x" * 100_000]

    async def end(peer: Peer) -> None:
        await peer.close(1001)

    async with world(saying(*frames, then=end)) as (sockets, session), sockets.connect(session) as socket:
        assert [await socket.receive_raw() for _ in frames] == frames
        with pytest.raises(Disconnected) as caught:
            await socket.receive_raw()
        assert caught.value.code == 1001


async def test_a_raw_frame_above_the_bound_ends_the_connection(world: World) -> None:
    """Before it is held in memory as a whole."""
    async with (
        world(saying(b"x" * (2 * 1024 * 1024))) as (sockets, session),
        sockets.connect(replace(session, max_message_mb=1.0)) as socket,
    ):
        with pytest.raises(Disconnected) as caught:
            await socket.receive_raw()
        assert caught.value.code == 1009


async def test_sending_text_to_a_peer_that_is_gone_says_so(world: World) -> None:
    """With the code it left with."""

    async def leave(peer: Peer) -> None:
        await peer.close(1001)

    async with world(saying(then=leave)) as (sockets, session), sockets.connect(session) as socket:
        with pytest.raises(Disconnected):
            await socket.receive_raw()
        with pytest.raises(Disconnected) as caught:
            await socket.send_text("2")
        assert caught.value.code == 1001


@pytest.mark.parametrize(
    "session",
    [SocketioSession("ws://127.0.0.1/socket.io/?EIO=3&transport=websocket"), StreamSession("ws://127.0.0.1/")],
)
async def test_sessions_without_a_sub_protocol_offer_none(
    world: World, session: SocketioSession | StreamSession
) -> None:
    """And take the connection as it is; path and query are the session's."""
    async with world(saying("0{}")) as (sockets, known):
        url = known.url.replace("/graphql", "/socket.io/?EIO=3&transport=websocket")
        async with sockets.connect(replace(session, url=url)) as socket:
            assert await socket.receive_raw() == "0{}"


async def test_the_upgrade_names_no_sub_protocol() -> None:
    """Not even an empty one, and a server that chooses one all the same is refused."""

    def choose(headers: Headers) -> None:
        headers["Sec-WebSocket-Protocol"] = "graphql-ws"

    async with graphql_server(saying("0{}")) as server:
        async with shared().connect(StreamSession(server.url())) as socket:
            assert await socket.receive_raw() == "0{}"
        assert server.offered == []
    async with graphql_server(saying("0{}"), answer=choose) as server:
        with pytest.raises(UpgradeRefused) as caught:
            async with shared().connect(StreamSession(server.url())):
                raise AssertionError("connected")
        assert (caught.value.status, caught.value.subprotocol) == (101, "graphql-ws")
