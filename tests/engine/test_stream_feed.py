"""Plain WebSocket streams on a virtual clock: every text message is one frame."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
import trio

from bridge.core.ending import ending_of
from bridge.core.errors import BridgeError, Malformed, Refused, Retry, Unauthorized
from bridge.core.secret import Secret
from bridge.core.session import StreamSession
from bridge.edge.codec import decode
from bridge.engine.stream import StreamFeed
from tests.support.dialects import Peer, PeerGone
from tests.support.engine import on_virtual_clock
from tests.support.graphql_server import Script
from tests.support.holding import Hold, Taken, holding
from tests.support.memory_socket import MemorySockets, memory_sockets, refused
from tests.support.waiting import wait_until

SESSION = StreamSession(
    "wss://iot.example.com/events/stream",
    headers={"Authorization": Secret("hunter2-hunter2", prefix="Bearer ")},
    ping_interval_s=None,
)


class Stage:
    def __init__(self, sockets: MemorySockets) -> None:
        self.sockets = sockets

    def feed(self, **more: Any) -> StreamFeed:
        """One attempt."""
        return StreamFeed(replace(SESSION, **more), self.sockets, decode)


@asynccontextmanager
async def stage(script: Script) -> AsyncIterator[Stage]:
    async with memory_sockets(script) as sockets:
        yield Stage(sockets)


async def silent(peer: Peer) -> None:
    """Says nothing."""
    await peer.receive_text()


def saying(*frames: Any) -> Script:
    async def script(peer: Peer) -> None:
        for frame in frames:
            await peer.send(frame)
        await peer.receive_text()

    return script


def now() -> float:
    return anyio.current_time()


def test_every_message_is_offered_as_it_was_sent() -> None:
    """Any JSON value, in order, with its size in bytes; from the first on, started after the pause."""

    async def main() -> None:
        async with stage(saying('{"_msgid": "ü"}', "[1]", '"text"', "null")) as play:
            feed = play.feed(settle_s=3.0)
            async with holding(feed) as hold:
                await anyio.sleep(2.9)
                assert not hold.settled.is_set()
                assert hold.taken.frames == [{"_msgid": "ü"}, [1], "text", None]
                assert hold.taken.sizes == [16, 3, 6, 4]
                await hold.wait_settled()
                assert hold.settled_at == pytest.approx(3.0)
                assert (feed.statistics.frames, feed.statistics.bytes) == (4, 29)

    on_virtual_clock(main)


def test_the_token_is_in_the_header_only() -> None:
    """And no sub-protocol is asked for."""

    async def main() -> None:
        async with stage(silent) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            assert play.sockets.peers[0].headers == {"authorization": "Bearer hunter2-hunter2"}
            assert play.sockets.sessions[0].subprotocol is None
            assert play.sockets.peers[0].received == []

    on_virtual_clock(main)


def test_what_is_no_json_text_is_set_aside_and_the_session_goes_on() -> None:
    """Offered as `Malformed` in its place, with what came; a binary message, too, whatever it holds."""

    async def main() -> None:
        async with stage(saying("[1]", "<html>", b"[2]", "[" * 10_000 + "]" * 10_000, "[3]")) as play:
            feed = play.feed()
            async with holding(feed) as hold:
                await hold.wait_settled()
                one, page, binary, deep, three = hold.taken.frames
                assert (one, three) == ([1], [3])
                assert all(isinstance(frame, Malformed) for frame in (page, binary, deep))
                assert (page.raw, binary.raw) == (b"<html>", b"[2]")
                assert "binary frame" in str(binary)
                assert "nested deeper" in str(deep)
                assert feed.statistics.unreadable == 3

    on_virtual_clock(main)


@pytest.mark.parametrize("redeemed", [True, False])
def test_nothing_but_garbage_ends_the_session(redeemed: bool) -> None:
    """A hundred in a row; the quarantine is not flooded."""
    frames = ["<html>"] * 99 + (["{}"] if redeemed else []) + ["<html>"] * 99

    async def main() -> None:
        async with stage(saying(*frames)) as play, holding(play.feed()) as hold:
            if redeemed:
                await hold.wait_settled()
                assert len(hold.taken.frames) == 199
            else:
                error = await hold.ended()
                assert "100 messages in a row cannot be read, at last: HTML page" in str(error)
                assert ending_of(error) == "protocol"
                assert len(hold.taken.frames) == 100

    on_virtual_clock(main)


def test_silence_is_watched_as_configured() -> None:
    """From the start, anew with every message."""

    async def talk(peer: Peer) -> None:
        await anyio.sleep(30)
        await peer.send("{}")
        await silent(peer)

    async def main() -> None:
        async with stage(talk) as play, holding(play.feed(idle_timeout_s=40.0)) as hold:
            error = await hold.ended(200)
            assert type(error) is Retry
            assert "nothing was heard for 40 s" in str(error)
            assert ending_of(error) == "silent"
            assert hold.over_at == pytest.approx(30 + 40 + 0.1)

    on_virtual_clock(main)


def test_a_frozen_peer_is_noticed_by_pings() -> None:
    """Our own, within interval and time-out; whatever else is silent."""

    async def talk(peer: Peer) -> None:
        await anyio.sleep(100)
        peer.freeze()
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(talk) as play, holding(play.feed(ping_interval_s=20.0, ping_timeout_s=20.0)) as hold:
            assert "close code 1006" in str(await hold.ended(200))
            assert 100 <= hold.over_at <= 100 + 40 + 2

    on_virtual_clock(main)


def test_without_a_limit_any_silence_is_fine_and_costs_one_task() -> None:
    """There may be thousands."""

    async def main() -> None:
        async with stage(silent) as play:
            before = trio.lowlevel.current_statistics().tasks_living
            async with anyio.create_task_group() as group:
                hold = Hold(play.feed(), Taken())
                group.start_soon(hold.run)
                await anyio.sleep(7 * 86_400)
                assert not hold.over.is_set()
                # The peer, and what holds.
                assert trio.lowlevel.current_statistics().tasks_living == before + 2
                group.cancel_scope.cancel()

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("status", "expected"), [(401, Unauthorized), (403, Refused), (400, Refused), (404, Refused), (502, Retry)]
)
def test_a_refused_upgrade_is_judged_by_its_status(status: int, expected: type[BridgeError]) -> None:
    """401 asks for a login; 403 does not."""

    async def main() -> None:
        async with stage(silent) as play:
            play.sockets.refusals = [refused(status)]
            async with holding(play.feed()) as hold:
                error = await hold.ended()
                assert type(error) is expected
                assert "sub-protocol" not in str(error)

    on_virtual_clock(main)


@pytest.mark.parametrize(("code", "expected"), [(1000, Retry), (1008, Unauthorized), (1002, Refused), (4711, Refused)])
def test_a_close_is_told_by_its_code(code: int, expected: type[BridgeError]) -> None:
    """As with every live session; what the operator says of a code goes first."""

    async def talk(peer: Peer) -> None:
        await peer.close(code)

    async def main() -> None:
        async with stage(talk) as play, holding(play.feed(close_codes={4711: "slow"})) as hold:
            error = await hold.ended()
            assert type(error) is expected
            assert "ws_subprotocol" not in str(error)

    on_virtual_clock(main)


@pytest.mark.parametrize("frozen", [False, True])
def test_leaving_closes_within_the_budget(frozen: bool) -> None:
    """With 1000, and without a word."""
    codes: list[int] = []

    async def talk(peer: Peer) -> None:
        if frozen:
            peer.freeze()
        try:
            await silent(peer)
        except PeerGone as gone:
            codes.append(gone.code)

    async def main() -> None:
        async with stage(talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            assert await hold.leave() <= (2.0 if frozen else 0.1)
            if not frozen:
                await wait_until(lambda: codes == [1000])
            assert play.sockets.open == 0

    on_virtual_clock(main)
