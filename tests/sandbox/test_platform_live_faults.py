"""What the played platform may do wrong on a socket, one fault at a time, by all three ways."""

from __future__ import annotations

import json

import anyio
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.sandbox import platform_odd
from bridge.sandbox.platform import Options, platform_sandbox
from tests.sandbox.platform_peer import (
    ALL,
    REVISION_3,
    REVISION_4,
    STREAM,
    happened,
    knocking,
    listening,
    msgids,
    opened,
    raw_bytes,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
each = pytest.mark.parametrize("path", ALL)
socketio_only = pytest.mark.parametrize("path", ALL[:2])


@each
async def test_withheld_pushes_are_never_sent_and_the_ledger_knows(path: str) -> None:
    """Only what was not withheld is marked as pushed."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("withheld", times=2)
        made = happened(sandbox, 5)
        assert await msgids(link, path, 3) == made[2:]
        pushed = {change.id for change in sandbox.world.occurrences.changes if change.pushed_ms is not None}
        assert pushed == set(made[2:])


@each
async def test_a_push_may_come_twice(path: str) -> None:
    """`pushed_twice`."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("pushed_twice")
        one, two = happened(sandbox, 2)
        assert await msgids(link, path, 3) == [one, one, two]


@each
async def test_pushes_may_change_places(path: str) -> None:
    """`reordered`: the next one overtakes it; without one it comes a little later."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("reordered", seconds=30, shape="same", times=2)
        one, two = happened(sandbox, 2)
        assert await msgids(link, path, 2) == [two, one]
        sandbox.faults.plan("reordered", seconds=0.01)
        (three,) = happened(sandbox, 1)
        assert await msgids(link, path, 1) == [three]


@each
async def test_a_push_may_be_huge(path: str) -> None:
    """`huge_push`: one message longer than 2 MiB, with the event in it."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("huge_push")
        (made,) = happened(sandbox, 1)
        raw = str(await link.raw())
        assert len(raw) > 2 * 1024 * 1024
        assert made in raw


SHAPES = [(path, shape) for path in ALL[:2] for shape in platform_odd.SHAPES["socketio"]]
SHAPES += [(STREAM, shape) for shape in platform_odd.SHAPES["stream"]]


async def test_odd_frames_come_as_they_are_and_the_event_follows() -> None:
    """Every shape by every way, in its place between two events."""
    for path in ALL:
        marked = path == REVISION_3
        async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
            for shape in [shape for where, shape in SHAPES if where == path]:
                sandbox.faults.plan("odd_frame", shape=shape)
                made = happened(sandbox, 1)
                expected = (
                    platform_odd.messages(shape) if path == STREAM else platform_odd.packets(shape, marked=marked)
                )
                assert [await link.raw() for _ in expected] == expected, (path, shape)
                assert await msgids(link, path, 1) == made, (path, shape)


async def test_an_unknown_shape_is_refused() -> None:
    """With a sentence that names those there are."""
    with pytest.raises(ValueError, match=r"odd as not_json, .*, http, not as 'round'"):
        platform_odd.packets("round", marked=True)


@socketio_only
@pytest.mark.parametrize(("shape", "frame"), [("disconnected", "41"), ("refused", '44"not any more"'), ("closed", "1")])
async def test_a_session_may_be_ended_by_a_packet(path: str, shape: str, frame: str) -> None:
    """`41`, `44`, `1`, in the place of any event."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("odd_frame", shape=shape)
        made = happened(sandbox, 2)
        assert await link.raw() == frame
        assert await msgids(link, path, 1) == made[:1]


@socketio_only
async def test_http_may_come_inside_the_socket(path: str) -> None:
    """Before an event, after those before it; and right after the upgrade."""
    async with platform_sandbox() as sandbox:
        async with listening(sandbox, path) as link:
            sandbox.faults.plan("odd_frame", shape="http", id="")
            happened(sandbox, 1)
            assert await link.code() == 1006
        sandbox.faults.plan("raw_http")
        found = await raw_bytes(sandbox, path, sandbox.issued_token, b"}")
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@socketio_only
@pytest.mark.parametrize("shape", sorted(platform_odd.OPENINGS))
async def test_the_open_packet_may_be_absurd(path: str, shape: str) -> None:
    """Each shape comes first, in the place of the open packet."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("odd_open", shape=shape)
        async with knocking(sandbox, path) as link:
            first = str(await link.raw())
        expected = platform_odd.OPENINGS[shape]
        assert first.partition('"sid":"')[0] == expected.partition('"sid":"')[0]
        assert first.rpartition('"upgrades"')[2] == expected.rpartition('"upgrades"')[2]


@socketio_only
async def test_the_open_packet_may_never_come(path: str) -> None:
    """`ack_withheld`."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("ack_withheld")
        async with knocking(sandbox, path) as link:
            await wait_until(lambda: sandbox.faults.served["ack_withheld"] == 1, 150, "the fault")
            with anyio.move_on_after(0.2) as scope:
                await link.socket.recv()
            assert scope.cancelled_caught


@each
async def test_a_socket_may_be_closed_before_a_word_was_said(path: str) -> None:
    """`closed_at_once`: without a code, or with the one asked for."""
    async with platform_sandbox() as sandbox:
        for code, seen in ((0, 1005), (1011, 1011)):
            sandbox.faults.plan("closed_at_once", code=code)
            async with knocking(sandbox, path) as link:
                with pytest.raises(ConnectionClosed) as closed:
                    await link.raw()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == seen


@each
@pytest.mark.parametrize("code", [1000, 1005, 1006, 1012])
async def test_sockets_are_dropped(path: str, code: int) -> None:
    """`dropped`: some time after the beginning, with the code asked for; 1006 is a cut, 1005 a frame without one."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("dropped", code=code, seconds=0.1)
        async with knocking(sandbox, path) as link:
            if path != STREAM:
                await opened(link, path)
            assert await link.code() == code
        await wait_until(lambda: "sockets" not in sandbox.counters(), 150, "its end")


@each
async def test_a_frozen_peer_neither_answers_nor_closes(path: str) -> None:
    """`frozen`: TCP stays open beyond every deadline, nothing is answered, and nothing is kept for it."""
    async with platform_sandbox(Options(ping_interval_ms=100, ping_timeout_ms=2_000, stream_ping_s=0.05)) as sandbox:
        sandbox.faults.plan("frozen", seconds=0)
        async with knocking(sandbox, path) as link:
            if path != STREAM:
                await opened(link, path)
            await wait_until(lambda: any(each.frozen for each in sandbox.live.sessions), 150, "the freeze")
            happened(sandbox, 10)
            with anyio.move_on_after(2.5) as scope:
                try:
                    await (await link.socket.ping())
                except ConnectionClosed:
                    pytest.fail("it closed")
            assert scope.cancelled_caught
            assert [len(each._waiting) for each in sandbox.live.sessions] == [0]
            link.socket.transport.abort()


async def test_pongs_may_be_withheld() -> None:
    """`beat_withheld` by revision 3: pings go unanswered while events still come."""
    async with platform_sandbox() as sandbox, listening(sandbox, REVISION_3) as link:
        sandbox.faults.plan("beat_withheld", times=2)
        await link.say("2")
        await link.say("2")
        await wait_until(lambda: sandbox.faults.served["beat_withheld"] == 2, 150, "two pings")
        made = happened(sandbox, 1)
        assert await msgids(link, REVISION_3, 1) == made
        await link.say("2")
        assert await link.raw() == "3"


async def test_pings_may_be_withheld() -> None:
    """`beat_withheld` by revision 4: the next sign of life of the server is an event."""
    options = Options(ping_interval_ms=50, ping_timeout_ms=10_000)
    async with platform_sandbox(options) as sandbox, listening(sandbox, REVISION_4) as link:
        sandbox.faults.plan("beat_withheld", times=None)
        await wait_until(lambda: sandbox.faults.served["beat_withheld"], 150, "a ping's time")
        sandbox.world.occur("overheated", {})
        while (frame := await link.raw()) == "2":  # one may have been sent before the fault was planned
            pass
        assert str(frame).startswith('42["overheated",')


async def test_an_event_may_come_as_the_pong_is_missed() -> None:
    """`last_event`: no `3`; a real event comes `pingTimeout` after the ping, or when asked for."""
    for seconds in (None, 0.0):
        options = Options(ping_interval_ms=60_000, ping_timeout_ms=200)
        async with platform_sandbox(options) as sandbox, listening(sandbox, REVISION_3) as link:
            sandbox.faults.plan("last_event", seconds=seconds)
            await link.say("2")
            (found,) = await msgids(link, REVISION_3, 1)
            assert sandbox.world.journal[-1]["_msgid"] == found


@each
@pytest.mark.parametrize(("status", "seconds"), [(401, None), (429, 7.0)])
async def test_an_upgrade_is_answered_with_a_status(path: str, status: int, seconds: float | None) -> None:
    """401, 429 with Retry-After; the next one is served."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("upgrade_refused", status=status, seconds=seconds)
        with pytest.raises(InvalidStatus) as refused:
            async with knocking(sandbox, path):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers.get("Retry-After") == (None if seconds is None else "7")
        async with listening(sandbox, path):
            pass


@each
async def test_an_upgrade_may_never_be_answered(path: str) -> None:
    """`upgrade_hangs`: TCP is open, and that is all."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("upgrade_hangs")
        with anyio.move_on_after(0.3) as scope:
            async with knocking(sandbox, path):
                pass
        assert scope.cancelled_caught
        assert "sockets_opened" not in sandbox.counters()


@each
async def test_what_happens_before_the_registration_is_lost(path: str) -> None:
    """`late_registration`: the session stands, but events reach it a little later."""
    async with platform_sandbox() as sandbox:
        sandbox.faults.plan("late_registration", seconds=0.3)
        async with knocking(sandbox, path) as link:
            if path != STREAM:
                await opened(link, path)
            await wait_until(lambda: sandbox.faults.served["late_registration"] == 1, 150, "the session")
            (lost,) = happened(sandbox, 1)
            await wait_until(lambda: sandbox.counters().get("subscriptions") == 1, 150, "the registration")
            (made,) = happened(sandbox, 1)
            assert await msgids(link, path, 1) == [made] != [lost]


@each
async def test_the_server_may_end_it_after_an_event(path: str) -> None:
    """`completed`: `41` by Socket.IO, a close by the stream, and no more events."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("completed")
        made = happened(sandbox, 2)
        assert await msgids(link, path, 1) == made[:1]
        if path == STREAM:
            assert await link.code() == 1000
        else:
            assert await link.raw() == "41"
        await wait_until(lambda: "subscriptions" not in sandbox.counters(), 150, "its end")


@socketio_only
async def test_an_error_may_come_in_the_place_of_a_record(path: str) -> None:
    """`null_pushed`: an event that is none, then the event."""
    async with platform_sandbox() as sandbox, listening(sandbox, path) as link:
        sandbox.faults.plan("null_pushed")
        made = happened(sandbox, 1)
        assert json.loads(str(await link.raw())[2:])[0] == "error"
        assert await msgids(link, path, 1) == made
