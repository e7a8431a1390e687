"""Our Socket.IO sessions against npm's servers of both generations: what is said on a session, and how it ends."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import anyio
import pytest

from bridge.core.errors import BridgeError, Refused, Retry, Unauthorized
from bridge.core.session import EngineioRevision
from tests.interop.peers import TOKEN, running
from tests.interop.socketio_peers import PAIRS, Pair, SocketioServer, connected, events, feed, pair_name
from tests.support.holding import holding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

RENEWED = "hunter3-hunter3"


def attached(data: bytes) -> Any:
    """Bytes, as they stand in an event."""
    return {"base64": b64encode(data).decode()}


async def failure(npm: SocketioServer, **more: Any) -> BridgeError:
    """What an attempt ends in by itself."""
    async with holding(feed(npm, **more)) as hold:
        return await hold.ended()


# --- what is said -------------------------------------------------------------------------------------------------


async def test_events_arrive_once_and_in_order(npm: SocketioServer) -> None:
    """300 events, from the first moment on: each once, in wire order; one handshake is one session.

    The server let us in by the cookie and the authorization header, which must both be right.
    """
    said = 'Grüße, 東京 🛫 \u2028\u2029 " \\ \u0001 </script> e\u0301 \U0010fffd'
    npm.set(greeting=["greeting", 1])
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        npm.emit(*(["counted", n, {"n": [n, None, True, 1.5]}] for n in range(298)))
        npm.emit(["said", said])
        await wait_until(lambda: len(events(hold)) >= 300)
        counted = [["counted", n, {"n": [n, None, True, 1.5]}] for n in range(298)]
        assert events(hold) == [["greeting", 1], *counted, ["said", said]]
        facts = npm.facts()
        assert (facts["handshakes"], facts["refused"], facts["connections"]) == (1, 0, ["/"])
        assert facts["revisions"] == [str(npm.revision)]
        assert facts["said"] == ([] if npm.revision == 3 else ["0"])
        assert hold.feed.statistics.odd == 0  # type: ignore[attr-defined]
    assert len(hold.taken.frames) == 300


async def test_an_event_is_acknowledged_once_it_is_stored(npm: SocketioServer) -> None:
    """By its number, without values, and not a moment earlier; what is not stored never is, leaving or not."""
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        npm.emit(["stored", 1], ["never", 2], ["stored", 3], ["binary", attached(b"\x04\x00")], acknowledge=True)
        npm.emit(["unasked", 5])
        await wait_until(lambda: len(events(hold)) == 5)
        stored = hold.taken.stored
        assert stored[4] is None
        assert npm.facts()["acks"] == []
        for place in (2, 3, 0):
            tell = stored[place]
            assert tell is not None
            tell()
        await wait_until(lambda: len(npm.facts()["acks"]) == 3)
        assert npm.facts()["acks"] == [["stored", 3], ["binary", attached(b"\x04\x00")], ["stored", 1]]
        assert await hold.leave() < 5
    await wait_until(lambda: npm.present() == 0)
    never = stored[1]
    assert never is not None
    never()
    assert len(npm.facts()["acks"]) == 3


async def test_binary_events_among_others(npm: SocketioServer) -> None:
    """Several attachments, nested ones, empty ones and one of 2 MiB stand where they belong, in the order of all."""
    big = attached(bytes(range(256)) * 8192)
    told = [
        ["text", 1],
        ["several", attached(b"first"), attached(b""), "between", attached(b"\x04third\xff")],
        ["nested", {"a": [1, {"b": attached(b"deep"), "c": [attached(b"deeper")]}], "_placeholder": False}],
        ["text", 2],
        ["big", {"data": big}],
        ["text", 3],
    ]
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        npm.emit(*told)
        await wait_until(lambda: len(events(hold)) == 6)
        assert events(hold) == told
        assert hold.feed.statistics.odd == hold.feed.statistics.unreadable == 0  # type: ignore[attr-defined]


async def test_another_namespace(npm: SocketioServer) -> None:
    """Only its events are taken, and acknowledged in it; `/` is opened by revision 3 alone, whose servers do so."""
    async with holding(feed(npm, namespace="/live")) as hold:
        await connected(hold, npm, "/live")
        npm.emit(["elsewhere"])
        npm.emit(["here", 1, attached(b"\x00")], namespace="/live", acknowledge=True)
        npm.emit(["here", 2], namespace="/live")
        await wait_until(lambda: len(events(hold)) == 2)
        assert events(hold) == [["here", 1, attached(b"\x00")], ["here", 2]]
        tell = hold.taken.stored[0]
        assert tell is not None
        tell()
        await wait_until(lambda: npm.facts()["acks"] == [["here", 1, attached(b"\x00")]])
        assert npm.facts()["connections"] == (["/", "/live"] if npm.revision == 3 else ["/live"])


async def test_a_dozen_heartbeats(npm: SocketioServer) -> None:
    """The server's own count; the session lives on, and its statistics show the heart."""
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        await wait_until(lambda: npm.facts()["beats"] >= 12)
        npm.emit(["alive"])
        await wait_until(lambda: events(hold) == [["alive"]])
        statistics = hold.feed.statistics  # type: ignore[attr-defined]
        assert (statistics.beat_interval_s, statistics.beat_timeout_s, statistics.odd) == (0.06, 5.0, 0)
        assert 0 <= anyio.current_time() - statistics.last_beat < 5
        assert (statistics.round_trip_s is not None) == (npm.revision == 3)
        facts = npm.facts()
        assert (facts["connections"], facts["ended"]) == (["/"], [])


# --- how it ends --------------------------------------------------------------------------------------------------


async def test_leaving_is_understood(npm: SocketioServer) -> None:
    """The server hears that we leave, not that we are gone."""
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        assert await hold.leave() < 5
    await wait_until(lambda: npm.present() == 0)
    assert npm.facts()["ended"] == [["/", "client namespace disconnect"]]
    assert npm.facts()["said"][-1] == "1"


@pytest.mark.parametrize("whole", [False, True])
async def test_a_server_that_ends_the_session(npm: SocketioServer, whole: bool) -> None:
    """`disconnect()`, which is `41`, and `disconnect(true)`: connect again. What was sent before is not lost."""
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        npm.emit(["last", 1])
        npm.disconnect(whole=whole)
        error = await hold.ended()
        assert events(hold) == [["last", 1]]
    assert type(error) is Retry
    async with holding(feed(npm)) as again:
        await connected(again, npm)
        npm.emit(["first", 2])
        await wait_until(lambda: events(again) == [["first", 2]])
    assert npm.facts()["connections"] == ["/", "/"]


async def test_a_refusing_middleware(npm: SocketioServer) -> None:
    """`44`, as text or as an object: whoever is not wanted gets another token, and is told what the server said."""
    npm.set(refusal="your licence has ended")
    error = await failure(npm)
    assert type(error) is Unauthorized
    assert "your licence has ended" in str(error)
    assert npm.facts()["handshakes"] == 1


async def test_a_namespace_that_does_not_exist(npm: SocketioServer) -> None:
    """A human is called: no token would help."""
    error = await failure(npm, namespace="/nothing")
    assert type(error) is Refused
    assert "`namespace`" in str(error)


async def test_a_new_token_at_reconnect(npm: SocketioServer) -> None:
    """A handshake with the old one is refused with status 400, which asks for a new one; with that we are in again."""
    async with holding(feed(npm)) as hold:
        await connected(hold, npm)
        npm.set(token=RENEWED)
        npm.disconnect(whole=True)
        assert type(await hold.ended()) is Retry
    error = await failure(npm)
    assert type(error) is Unauthorized
    assert "HTTP status 400" in str(error)
    assert TOKEN not in str(error)
    async with holding(feed(npm, token=RENEWED)) as again:
        await connected(again, npm)
    assert (npm.facts()["handshakes"], npm.facts()["refused"]) == (3, 1)


@pytest.mark.parametrize("pair", PAIRS, ids=pair_name)
async def test_a_server_that_is_gone(packages: None, pair: Pair) -> None:
    """Killed without a word: connect again, in vain until there is one again, which may want another token."""
    with running(SocketioServer(pair)) as first:
        async with holding(feed(first)) as hold:
            await connected(hold, first)
            first.emit(["before", 1])
            await wait_until(lambda: events(hold) == [["before", 1]])
            first.kill()
            assert type(await hold.ended()) is Retry
        assert type(await failure(first)) is Retry
        with running(SocketioServer(pair, port=first.port, token=RENEWED)) as second:
            assert type(await failure(second)) is Unauthorized
            async with holding(feed(second, token=RENEWED)) as again:
                await connected(again, second)
                second.emit(["after", 2])
                await wait_until(lambda: events(again) == [["after", 2]])


@pytest.mark.parametrize("pair", [(3, "a"), (4, "c")], ids=pair_name)
async def test_a_frozen_server_is_noticed(packages: None, pair: Pair) -> None:
    """Within interval and time-out; when it goes on, so do we, on another session. More in `test_socketio_long.py`."""
    with running(SocketioServer(pair, interval_s=0.2, timeout_s=1.0)) as npm:
        async with holding(feed(npm)) as hold:
            await connected(hold, npm)
            await wait_until(lambda: npm.facts()["beats"] >= 2)
            npm.freeze()
            began = anyio.current_time()
            error = await hold.ended()
        assert type(error) is Retry
        assert {3: "no answer to our ping within 1 s", 4: "no ping of the server's within 1.2 s"}[pair[0]] in str(error)
        # 1.2 s, a second look of 0.1 s, at most 2 s for closing; the rest is for a machine that is busy.
        assert 0.9 < hold.over_at - began < 3.3 + 5
        npm.thaw()
        async with holding(feed(npm)) as again:
            await connected(again, npm)
            npm.emit(["thawed"])
            await wait_until(lambda: events(again) == [["thawed"]])


# --- who does not understand whom ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("revision", "pair"), [(3, (4, "c")), (4, (3, "a"))], ids=["3-c", "4-a"])
@pytest.mark.parametrize("namespace", ["/", "/live"])
async def test_the_wrong_revision(packages: None, revision: EngineioRevision, pair: Pair, namespace: str) -> None:
    """A human is called, who is told which setting to look at; nothing seems to work, and no event is offered.

    The newer server refuses revision 3. The older one does not look at the revision: it would serve a client of
    revision 4 with two sessions, and every event twice, until its heart stops.
    """
    with running(SocketioServer(pair)) as npm:
        npm.set(greeting=["greeting", 1])
        async with holding(feed(npm, revision=revision, namespace=namespace)) as hold:
            error = await hold.ended()
            assert not hold.settled.is_set()
        assert type(error) is Refused
        assert f"does not speak Engine.IO revision {revision}" in str(error)
        assert f"set `engineio = {7 - revision}`" in str(error)
        assert hold.taken.frames == []
        facts = npm.facts()
        assert facts["handshakes"] == 1
        if pair == (4, "c"):
            assert facts["connections"] == []
