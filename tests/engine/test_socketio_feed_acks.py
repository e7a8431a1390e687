"""Acknowledgements of Socket.IO events on a virtual clock: after the ledger has them, in order, bounded, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from bridge.core.ending import ending_of
from bridge.core.errors import Overrun, Retry
from bridge.core.session import EngineioRevision
from bridge.engine.inbox import Inbox
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine, stage
from tests.support.holding import Taken, holding
from tests.support.waiting import wait_until

REVISIONS: tuple[EngineioRevision, ...] = (3, 4)
both = pytest.mark.parametrize("revision", REVISIONS)


def asking(count: int) -> Callable[[Engine], Any]:
    """Events 0 to `count` - 1, each of which asks under its own number."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            await anyio.sleep(1)
            for n in range(count):
                await engine.event("asking", ack=n)

    return talk


def store(taken: Taken, *numbers: int) -> None:
    """The ledger has these events now."""
    for n in numbers:
        tell = taken.stored[n]
        assert tell is not None
        tell()


@both
@pytest.mark.parametrize("namespace", ["/", "/live"])
def test_an_event_is_acknowledged_once_it_is_stored(revision: EngineioRevision, namespace: str) -> None:
    """Not when it arrives, however long the ledger takes; as the protocol spells it."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            await anyio.sleep(1)
            await engine.event("asking", 1, ack=77)
            await engine.event("not asking", 2)

    async def main() -> None:
        async with stage(revision, talk, namespace) as play:
            feed = play.feed(namespace=namespace)
            async with holding(feed) as hold:
                await hold.wait_settled()
                await anyio.sleep(120)
                assert play.engine.acks == []
                assert hold.taken.stored[1] is None
                store(hold.taken, 0)
                await wait_until(lambda: play.engine.acks)
                assert play.engine.acks == [77]
                where = "" if namespace == "/" else "/live,"
                assert f"43{where}77[]" in play.engine.peer.received
                assert feed.statistics.acks == 1

    on_virtual_clock(main)


def test_acknowledgements_keep_the_order_in_which_events_were_stored() -> None:
    """Of hundreds at once, and of those that come while others are being sent; each once."""

    async def main() -> None:
        async with stage(3, asking(600)) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            store(hold.taken, *range(300))
            await anyio.lowlevel.checkpoint()
            store(hold.taken, *range(300, 500))
            await wait_until(lambda: len(play.engine.acks) == 500)
            store(hold.taken, *range(500, 600))
            await wait_until(lambda: len(play.engine.acks) == 600)
            assert play.engine.acks == list(range(600))

    on_virtual_clock(main)


def test_what_nobody_wants_is_acknowledged_at_once() -> None:
    """It is not stored, and need not be sent again either."""

    async def main() -> None:
        async with stage(3, asking(3)) as play:
            feed = play.feed(wants=lambda name, args: name == "other")
            async with holding(feed) as hold:
                await hold.wait_settled()
                assert play.engine.acks == [0, 1, 2]
                assert hold.taken.frames == []
                assert (feed.statistics.filtered, feed.statistics.acks) == (3, 3)

    on_virtual_clock(main)


@pytest.mark.parametrize("how", ["closed", "left", "broken off"])
def test_no_session_that_is_over_acknowledges(how: str) -> None:
    """What is stored later is not told to anyone: the server sends it to the next session. Nothing is raised."""

    async def main() -> None:
        async with stage(3, asking(2)) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            store(hold.taken, 0)
            await wait_until(lambda: play.engine.acks)
            if how == "closed":
                await play.engine.peer.send("41")
            elif how == "broken off":
                play.engine.peer.drop()
            else:
                hold.scope.cancel()
            await wait_until(hold.over.is_set)
            store(hold.taken, 1)
            await anyio.sleep(10)
            assert play.engine.acks == [0]

    on_virtual_clock(main)


def test_nothing_is_acknowledged_once_leaving_has_begun() -> None:
    """Not even what is stored in the same instant."""

    async def main() -> None:
        async with stage(3, asking(1)) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            hold.scope.cancel()
            store(hold.taken, 0)
            await wait_until(hold.over.is_set)
            assert play.engine.acks == []
            assert play.engine.others[-1:] in ([], ["41"])

    on_virtual_clock(main)


def test_a_peer_that_does_not_read_ends_the_session_and_holds_up_no_event() -> None:
    """Acknowledgements that it does not take for ten seconds; what it sends meanwhile is read."""

    async def talk(engine: Engine) -> None:
        await engine.welcome(300.0, 300.0)
        for n in range(9_999):
            await engine.event("asking", ack=10_000_000 + n)
        engine.peer.freeze()
        await anyio.sleep(10)
        await engine.event("later")
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await wait_until(lambda: len(hold.taken.frames) == 9_999)
            store(hold.taken, *range(9_999))
            await wait_until(lambda: hold.taken.frames[-1]["name"] == "later", 12)
            error = await hold.ended()
            assert type(error) is Retry
            assert "the server has not read what we sent for 10 s" in str(error)

    on_virtual_clock(main)


def test_more_than_ten_thousand_owed_end_the_session() -> None:
    """Never unbounded memory; the reason is said, and nothing more is acknowledged."""

    async def talk(engine: Engine) -> None:
        await engine.welcome()
        for n in range(10_001):
            await engine.event("asking", ack=n)
        await engine.serve()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await wait_until(lambda: len(hold.taken.frames) == 10_001)
            store(hold.taken, *range(10_000))
            assert not hold.over.is_set()
            store(hold.taken, 10_000)
            error = await hold.ended()
            assert type(error) is Retry
            assert "10000 acknowledgements wait to be sent" in str(error)
            assert ending_of(error) == "silent"
            assert play.engine.acks == []
            assert play.sockets.open == 0

    on_virtual_clock(main)


def test_what_an_overrun_forgets_is_never_acknowledged() -> None:
    """The inbox keeps no word of it; what comes after is acknowledged as ever."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            await anyio.sleep(1)
            for n in range(6):
                await engine.event("asking", ack=n)
            await anyio.sleep(10)
            await engine.event("asking", ack=6)

    async def main() -> None:
        inbox = Inbox(frames=5)
        async with stage(3, talk) as play, anyio.create_task_group() as group:
            await group.start(_hold, play.feed(), inbox)
            with pytest.raises(Overrun):
                await inbox.take()
            for arrived in await inbox.take():
                assert arrived.stored is not None
                arrived.stored()
            await anyio.sleep(1)
            assert play.engine.acks == [6]
            group.cancel_scope.cancel()

    on_virtual_clock(main)


async def _hold(feed: Any, inbox: Inbox, *, task_status: Any) -> None:
    await feed.hold(inbox, task_status=task_status)


def test_what_acknowledges_is_a_task_only_while_something_is_owed() -> None:
    """There may be thousands of sessions that owe nothing."""

    async def main() -> None:
        async with stage(3, asking(50)) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            before = trio.lowlevel.current_statistics().tasks_living
            for round_ in range(5):
                store(hold.taken, *range(10 * round_, 10 * round_ + 10))
                assert trio.lowlevel.current_statistics().tasks_living == before + 1
                await wait_until(lambda: len(play.engine.acks) % 10 == 0)
                await anyio.sleep(0.1)
                assert trio.lowlevel.current_statistics().tasks_living == before

    on_virtual_clock(main)
