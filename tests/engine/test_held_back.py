"""A vendor that pushes faster than is stored is made to wait: its session is read no further, and lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Retry
from bridge.core.session import EngineioRevision
from bridge.engine.handover import _Session
from bridge.engine.inbox import CALM_S, PATIENCE_S, Inbox
from bridge.engine.ports import Feed, Offer
from tests.engine import test_stream_feed, test_subscriptions
from tests.support import engineio_peer
from tests.support.dialects import Peer, Speaker
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine
from tests.support.holding import Taken, holding
from tests.support.scripted import Stage, gaps, row, run

FRAMES = 30
"""What the inboxes of these tests hold: crowded with 10, roomy below 5."""
BEAT_S = 25.0
"""Of the peers of these tests; they have 60 s for an answer."""
FRESH_S = 1.0


def fill(inbox: Inbox, frames: int) -> None:
    for number in range(frames):
        inbox(number, 1)


async def served() -> Inbox:
    """One of which frames have just been taken."""
    inbox = Inbox(frames=FRAMES)
    fill(inbox, 1)
    await inbox.take()
    return inbox


# --- the inbox -----------------------------------------------------------------------------------------------------


def test_an_inbox_is_crowded_with_a_third_of_what_it_holds() -> None:
    """In frames or in bytes."""

    async def main() -> None:
        inbox = await served()
        fill(inbox, 9)
        assert not inbox.crowded
        fill(inbox, 1)
        assert inbox.crowded
        inbox = Inbox(size=300)
        inbox("a", 1)
        await inbox.take()
        inbox("b", 100)
        assert inbox.crowded

    on_virtual_clock(main)


def test_nobody_waits_for_room_before_anything_was_taken() -> None:
    """During a first reading that may take hours. What is full then is forgotten, and read again."""

    async def main() -> None:
        inbox = Inbox(frames=FRAMES)
        fill(inbox, FRAMES)
        assert not inbox.crowded
        fill(inbox, 1)
        assert inbox.statistics().overruns == 1

    on_virtual_clock(main)


def test_room_is_waited_for_until_little_is_left() -> None:
    """And whoever makes an account of it is told how long that took."""
    told: list[float] = []

    async def main() -> None:
        inbox = Inbox(frames=FRAMES, held=told.append)
        fill(inbox, 1)
        await inbox.take()
        fill(inbox, 12)
        start, done = anyio.current_time(), []

        async def wait() -> None:
            await inbox.room()
            done.append(anyio.current_time() - start)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(wait)
            for _ in range(4):
                await anyio.sleep(1)
                assert not done
                await inbox.take(2)
        assert done == [4, 4]

    on_virtual_clock(main)
    assert told == [4, 4]


def test_nobody_waits_longer_where_nothing_is_taken() -> None:
    """Nor again for each further frame: what cannot be stored must not end the session."""

    async def main() -> None:
        inbox = await served()
        fill(inbox, 12)
        start = anyio.current_time()
        await inbox.room()
        assert anyio.current_time() - start == PATIENCE_S
        assert not inbox.crowded
        await inbox.take(1)
        assert inbox.crowded

    on_virtual_clock(main)


def test_an_inbox_says_since_when_something_may_lie_unread() -> None:
    """From what waited first when a session was made to wait, until none was for a while."""

    async def main() -> None:
        inbox = await served()
        assert inbox.behind_since is None
        first_at = anyio.current_time()
        fill(inbox, 12)
        await anyio.sleep(1)
        for _ in range(2):
            await inbox.room()
            assert inbox.behind_since == first_at
            await inbox.take(1)
            await anyio.sleep(CALM_S - FRESH_S)
        await anyio.sleep(FRESH_S)
        assert inbox.behind_since is None

    on_virtual_clock(main)


def test_both_sessions_of_a_handover_wait() -> None:
    """Each offers through its own end of the same inbox."""

    async def main() -> None:
        offer = Taken()
        offer.crowded_at = 1
        session = _Session(None, 0.0, offer, lambda: None)  # type: ignore[arg-type]
        assert not session.crowded
        session("frame", 1)
        assert session.crowded
        with anyio.move_on_after(1) as scope:
            await session.room()
        assert scope.cancelled_caught
        offer.relieve()
        await session.room()

    on_virtual_clock(main)


# --- the sessions --------------------------------------------------------------------------------------------------

Play = Callable[[], AbstractAsyncContextManager[Feed]]


@asynccontextmanager
async def socketio(revision: EngineioRevision) -> AsyncIterator[Feed]:
    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            while True:
                await anyio.sleep(1)
                await engine.event("tick")

    async with engineio_peer.stage(revision, talk) as play:
        yield play.feed()


@asynccontextmanager
async def stream() -> AsyncIterator[Feed]:
    async def talk(peer: Peer) -> None:
        while True:
            await anyio.sleep(1)
            await peer.send({"tick": 1})

    async with test_stream_feed.stage(talk) as play:
        yield play.feed(idle_timeout_s=BEAT_S)


@asynccontextmanager
async def graphql() -> AsyncIterator[Feed]:
    async def talk(speaker: Speaker) -> None:
        id_ = await test_subscriptions.serve(speaker)
        for number in range(10_000):
            await anyio.sleep(1)
            await speaker.number(id_, number)

    async with test_subscriptions.stage("graphql-transport-ws", talk) as play:
        yield play.feed(idle_timeout_s=BEAT_S)


@pytest.mark.parametrize(
    "play", [partial(socketio, 3), partial(socketio, 4), stream, graphql], ids=["eio3", "eio4", "stream", "graphql"]
)
def test_a_session_reads_no_further_where_it_is_crowded_and_lives(play: Play) -> None:
    """Longer than any sign of life may take; then everything comes, in order, and the session is the same."""

    async def main() -> None:
        offer = Taken()
        offer.crowded_at = 5
        async with play() as feed, holding(feed, offer) as hold:
            await anyio.sleep(300)
            assert len(offer.frames) == 5
            assert not hold.over.is_set()
            offer.relieve()
            await anyio.sleep(100)
            assert not hold.over.is_set()
            assert len(offer.frames) > 350

    on_virtual_clock(main)


def test_a_peer_that_is_dead_is_given_up_all_the_same() -> None:
    """The time in which nothing was read is added to its deadline, and no more."""

    async def talk(engine: Engine) -> None:
        engine.answer_after_s = None
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            for _ in range(3):
                await anyio.sleep(10)
                await engine.event("tick")

    async def main() -> None:
        offer = Taken()
        offer.crowded_at = 3
        async with engineio_peer.stage(3, talk) as play, holding(play.feed(), offer) as hold:
            # Asked at 25 s, and not read from 30 s to 75 s: the 60 s for an answer end at 130 s.
            await anyio.sleep(75)
            offer.relieve()
            assert "no answer to our ping within 60 s" in str(await hold.ended(400))
            assert hold.over_at == pytest.approx(130 + 0.1, abs=0.05)

    on_virtual_clock(main)


# --- what becomes of it where nobody can be asked again --------------------------------------------------------------


def test_what_was_left_unread_when_a_session_ended_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though all that was read is stored: the vendor had more to say, since it was made to wait."""
    monkeypatch.setattr("bridge.engine.inbox.FRAMES", FRAMES)

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        offer(row("first"), 1)
        await anyio.sleep(10)
        for number in range(12):
            offer(row(f"a{number}"), 1)
        crowded.append(offer.crowded)
        await offer.room()
        await anyio.sleep(20)
        raise Retry("hung up")

    crowded: list[bool] = []
    bench = Stage(hold, walks=False)
    run(bench, 35)
    assert len(bench.changes()) == 13
    assert crowded == [True]
    assert gaps(bench)[0]["from"][:19] == "2023-11-14T22:13:30"


@pytest.mark.usefixtures("small_inbox")
def test_an_overrun_forgets_what_waited_when_something_was_taken_last() -> None:
    """The gap begins when what was taken last had arrived, and not when it was taken."""

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        status.started()
        await anyio.sleep(10)
        bench.ledger.latency_s = 10.0
        offer(row("first"), 1)
        await anyio.sleep(1)
        for number in range(700):
            offer(row(f"a{number}"), 1)
        await anyio.sleep(24)
        for number in range(900):
            offer(row(f"b{number}"), 1)
        bench.ledger.latency_s = 0.0
        await anyio.sleep_forever()

    bench = Stage(hold, walks=False)
    run(bench, 90)
    assert ("a499", "created") in bench.changes()
    assert ("a500", "created") not in bench.changes()
    (gap,) = gaps(bench)
    assert gap["from"][:19] == "2023-11-14T22:13:31"
