"""Live Socket.IO sessions on a virtual clock, with the real machine and codec: opening, events, ends, leaving."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import anyio
import pytest

from bridge.core.ending import ending_of
from bridge.core.errors import BridgeError, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.secret import Secret
from bridge.core.session import EngineioRevision
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine, stage
from tests.support.holding import holding
from tests.support.memory_socket import BUFFERS, refused
from tests.support.waiting import wait_until

REVISIONS: tuple[EngineioRevision, ...] = (3, 4)
both = pytest.mark.parametrize("revision", REVISIONS)
MARK = {3: b"\x04", 4: b""}
"""What stands in front of an attachment."""


def now() -> float:
    return anyio.current_time()


# --- opening -----------------------------------------------------------------------------------------------------


@both
def test_settling_takes_as_long_as_configured(revision: EngineioRevision) -> None:
    """Started after the pause that follows the namespace, not before; events count from the first on."""

    async def talk(engine: Engine) -> None:
        await anyio.sleep(1)
        await engine.open()
        await anyio.sleep(1)
        await engine.connect()
        await engine.event("early", 1)
        await engine.serve()

    async def main() -> None:
        async with stage(revision, talk) as play:
            began = now()
            async with holding(play.feed(settle_s=3.0)) as hold:
                await anyio.sleep(4.9)
                assert not hold.settled.is_set()
                assert hold.taken.frames == [{"name": "early", "args": [1]}]
                await hold.wait_settled()
                assert hold.settled_at - began == pytest.approx(5.0)

    on_virtual_clock(main)


@both
@pytest.mark.parametrize(("opens", "lacking"), [(False, "sent no open packet"), (True, "not connected /live")])
def test_a_server_that_never_accepts_is_given_up(revision: EngineioRevision, opens: bool, lacking: str) -> None:
    """Open packet and namespace have `accept_timeout_s` together; the text names what was lacking and what to check."""

    async def talk(engine: Engine) -> None:
        await anyio.sleep(4)
        if opens:
            await engine.open()
        await engine.serve()

    async def main() -> None:
        async with stage(revision, talk) as play:
            began = now()
            async with holding(play.feed(accept_timeout_s=7.0, namespace="/live")) as hold:
                error = await hold.ended()
                assert type(error) is Retry
                assert f"the server has {lacking} within 7 s" in str(error)
                assert ending_of(error) == "unanswered"
                assert f"Engine.IO {revision}" in str(error)
                assert hold.over_at - began == pytest.approx(7)
                assert not hold.settled.is_set()
            assert play.sockets.open == 0

    on_virtual_clock(main)


def test_a_namespace_is_asked_for_and_its_events_only_are_taken() -> None:
    """Revision 3 opens `/` unasked; ours is asked for; what happens elsewhere is counted and dropped."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        await engine.peer.send('42["elsewhere"]')
        await engine.event("here")
        await engine.serve()

    async def main() -> None:
        async with stage(3, talk, "/live") as play, holding(play.feed(namespace="/live")) as hold:
            await hold.wait_settled()
            assert play.engine.others == ["40/live"]
            assert hold.taken.frames == [{"name": "here", "args": []}]
            assert play.sockets.peers[0].number == 1

    on_virtual_clock(main)


def test_credentials_for_the_namespace_are_revealed_on_the_wire_only() -> None:
    """Revision 4 sends them in the CONNECT packet."""

    async def main() -> None:
        async with stage(4, Engine.live) as play:
            feed = play.feed(auth={"token": Secret("hunter2-hunter2")})
            async with holding(feed) as hold:
                await hold.wait_settled()
                text = play.engine.others[0]
                assert (text[:2], json.loads(text[2:])) == ("40", {"token": "hunter2-hunter2"})

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("status", "expected", "after"),
    [(400, Unauthorized, None), (401, Unauthorized, None), (403, Refused, 900.0), (404, Refused, 900.0),
     (429, Throttled, None), (503, Retry, None)],
)  # fmt: skip
def test_a_refused_upgrade_is_judged_by_its_status(status: int, expected: type[BridgeError], after: Any) -> None:
    """400 is what stock servers answer to wrong credentials; 403 calls a human, for a new login would not help."""

    async def main() -> None:
        async with stage(3, Engine.live) as play:
            play.sockets.refusals = [refused(status)]
            async with holding(play.feed()) as hold:
                error = await hold.ended()
                assert type(error) is expected
                assert getattr(error, "after", None) == after

    on_virtual_clock(main)


# --- events ------------------------------------------------------------------------------------------------------


@both
def test_events_are_offered_in_wire_order_with_their_size(revision: EngineioRevision) -> None:
    """Text and binary alike; an event with attachments weighs as much as all its frames, and comes in its turn."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        await engine.event("first", {"ü": 1}, 2)
        await engine.peer.send('451-["second",{"_placeholder":true,"num":0}]')
        await engine.peer.send(MARK[revision] + b"\x00\xff")
        await engine.event("third")
        await engine.serve()

    async def main() -> None:
        async with stage(revision, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            assert hold.taken.frames == [
                {"name": "first", "args": [{"ü": 1}, 2]},
                {"name": "second", "args": [{"base64": b64encode(b"\x00\xff").decode()}]},
                {"name": "third", "args": []},
            ]
            text = len('451-["second",{"_placeholder":true,"num":0}]')
            assert hold.taken.sizes == [len('42["first", {"\\u00fc": 1}, 2]'), text + 2 + len(MARK[revision]), 11]
            assert hold.taken.stored == [None, None, None]

    on_virtual_clock(main)


@both
def test_names_that_nobody_wants_are_dropped_and_counted(revision: EngineioRevision) -> None:
    """Before the inbox: it must not be filled by them."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        for n in range(10):
            await engine.event("wanted" if n % 5 == 0 else "noise", n)
        await engine.serve()

    async def main() -> None:
        async with stage(revision, talk) as play:
            feed = play.feed(wants=lambda name, args: name == "wanted")
            async with holding(feed) as hold:
                await hold.wait_settled()
                assert [frame["args"] for frame in hold.taken.frames] == [[0], [5]]
                assert feed.statistics.filtered == 8

    on_virtual_clock(main)


def test_a_packet_that_cannot_be_read_is_set_aside_and_the_session_goes_on() -> None:
    """It is offered as `Malformed` in its place among the events, with what came."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        await engine.event("before")
        await engine.peer.send('42["broken"')
        await engine.event("after")
        await engine.serve()

    async def main() -> None:
        async with stage(3, talk) as play:
            feed = play.feed()
            async with holding(feed) as hold:
                await hold.wait_settled()
                before, broken, after = hold.taken.frames
                assert (before["name"], after["name"]) == ("before", "after")
                assert isinstance(broken, Malformed)
                assert broken.raw == b'2["broken"'
                assert feed.statistics.unreadable == 1

    on_virtual_clock(main)


@pytest.mark.parametrize("redeemed", [True, False])
def test_nothing_but_garbage_ends_the_session(redeemed: bool) -> None:
    """A hundred in a row without one that can be read; the quarantine is not flooded."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        for n in range(199):
            await engine.peer.send("42{}")
            if redeemed and n == 98:
                await engine.event("readable")
        await engine.serve()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await wait_until(lambda: hold.over.is_set())
            error = await hold.ended()
            assert "100 packets in a row cannot be read" in str(error)
            assert ending_of(error) == "protocol"
            assert len(hold.taken.frames) == (200 if redeemed else 100)

    on_virtual_clock(main)


@both
def test_attachments_that_never_come_are_given_up_after_a_heartbeat(revision: EngineioRevision) -> None:
    """The packet is set aside once it has waited from one heartbeat to the next, and what follows is read."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live, 10.0, 5.0)
            await anyio.sleep(15)
            await engine.peer.send('451-["lost",{"_placeholder":true,"num":0}]')
            await anyio.sleep(16)
            await engine.event("next")

    async def main() -> None:
        async with stage(revision, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            await wait_until(lambda: now() > 29.5)
            assert hold.taken.frames == []
            await wait_until(lambda: now() > 30.5)
            (lost,) = hold.taken.frames
            assert isinstance(lost, Malformed)
            assert "attachments did not come in time" in str(lost)
            await wait_until(lambda: len(hold.taken.frames) == 2)
            assert hold.taken.frames[1] == {"name": "next", "args": []}

    on_virtual_clock(main)


def test_attachments_that_take_less_than_a_heartbeat_are_waited_for() -> None:
    """Though a beat comes in between."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live, 10.0, 5.0)
            await anyio.sleep(15)
            await engine.peer.send('451-["slow",{"_placeholder":true,"num":0}]')
            await anyio.sleep(14)
            await engine.peer.send(b"\x04x")

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await wait_until(lambda: len(hold.taken.frames) == 1, 40)
            assert hold.taken.frames == [{"name": "slow", "args": [{"base64": "eA=="}]}]

    on_virtual_clock(main)


def test_a_server_that_pings_in_a_rush_does_not_hurry_us() -> None:
    """Revision 4: attachments have the interval that was announced, however often the server pings."""

    async def talk(engine: Engine) -> None:
        await engine.welcome(10.0, 5.0)
        async with anyio.create_task_group() as group:
            group.start_soon(engine.serve)
            await engine.peer.send('451-["slow",{"_placeholder":true,"num":0}]')
            await engine.ping(40, 0.1)
            await engine.peer.send(b"x")

    async def main() -> None:
        async with stage(4, talk) as play, holding(play.feed()) as hold:
            await wait_until(lambda: hold.taken.frames)
            assert hold.taken.frames == [{"name": "slow", "args": [{"base64": "eA=="}]}]

    on_virtual_clock(main)


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "expected", "said"),
    [
        ("1", Retry, "Engine.IO packet 1"),
        ("41", Retry, "disconnected the namespace"),
        ('44"unauthorized"', Retry, "reported an error"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Retry, "text of HTTP inside the WebSocket, with status 503"),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", Unauthorized, "status 401"),
    ],
)
def test_what_ends_a_session_is_handled_by_table(frame: str, expected: type[BridgeError], said: str) -> None:
    """At once, and the socket is closed."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        await anyio.sleep(5)
        await engine.peer.send(frame)
        assert await engine.serve() == 1000

    async def main() -> None:
        async with stage(3, talk) as play:
            began = now()
            async with holding(play.feed()) as hold:
                error = await hold.ended()
                assert type(error) is expected
                assert said in str(error)
                assert hold.over_at - began == pytest.approx(5)
            assert play.sockets.open == 0

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("code", "welcomed", "expected", "said"),
    [
        (1008, True, Unauthorized, "policy violation"),
        (1005, True, Retry, "close code 1005 (no code given)"),
        (1006, False, Retry, "before an open packet; check that the server speaks Engine.IO 3"),
    ],
)
def test_a_close_is_told_by_its_code(code: int, welcomed: bool, expected: type[BridgeError], said: str) -> None:
    """As with every live session; a server that has not even said hello may speak another revision."""

    async def talk(engine: Engine) -> None:
        if welcomed:
            await engine.welcome()
        await engine.peer.close(code)

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            error = await hold.ended()
            assert type(error) is expected
            assert said in str(error)
            assert ending_of(error) == {1008: "token", 1005: "closed", 1006: "lost"}[code]

    on_virtual_clock(main)


# --- leaving -----------------------------------------------------------------------------------------------------


@both
def test_leaving_is_polite(revision: EngineioRevision) -> None:
    """The namespace is left, then the socket closed with 1000, in no time."""
    codes: list[int] = []

    async def talk(engine: Engine) -> None:
        codes.append(await engine.live())

    async def main() -> None:
        async with stage(revision, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            assert await hold.leave() < 0.1
            await wait_until(lambda: codes)
            assert codes == [1000]
            assert play.engine.others[-1] == "41"

    on_virtual_clock(main)


@pytest.mark.parametrize("full", [False, True])
def test_leaving_a_frozen_peer_keeps_to_the_budget(full: bool) -> None:
    """Two seconds, also when nothing more can be written."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        engine.peer.freeze()
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            if full:
                play.sockets.peers[0].to_server.put("x" * BUFFERS)
            assert await hold.leave() <= 2.0
            assert play.sockets.open == 0

    on_virtual_clock(main)
