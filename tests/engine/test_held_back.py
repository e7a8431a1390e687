"""A vendor that pushes faster than is stored is made to wait: its session is read no further, and lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from bridge.adapter import Retry
from bridge.core.errors import Overrun
from bridge.core.session import EngineioRevision
from bridge.engine.handover import Handover
from bridge.engine.inbox import Inbox
from bridge.engine.ports import Feed, Offer
from tests.engine import test_stream_feed, test_subscriptions
from tests.engine.test_handover import Vendor
from tests.support import engineio_peer
from tests.support.dialects import CABLE, LEGACY, Peer, Speaker
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine
from tests.support.holding import Taken, holding
from tests.support.scripted import Stage, gaps, row, run

FRAMES = 30
"""What the inboxes of these tests hold: crowded with 10, roomy below 5."""
BEAT_S = 25.0
"""Of the peers of these tests; they have 60 s for an answer."""


async def taking(inbox: Inbox, *, every_s: float, at_most: int, into: list[Any]) -> None:
    """Never returns. What was overrun or missed is noted as it was raised."""
    while True:
        try:
            into.extend(arrived.frame for arrived in await inbox.take(at_most))
        except Overrun as error:
            into.append(error)
        await anyio.sleep(every_s)


class Backlog:
    """A feed that was told all of it at once, before its successor listens; that has nothing to tell."""

    def __init__(self, frames: int) -> None:
        self._frames = frames

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        for number in range(self._frames):
            offer(number, 1)
            if offer.crowded:
                await offer.room()
        await anyio.sleep_forever()


@pytest.mark.parametrize(("every_s", "told"), [(0.0, False), (1.0, True)], ids=["all is read", "some is unread"])
def test_a_handover_says_what_may_lie_unread(every_s: float, told: bool) -> None:
    """What the old session had been told goes with it: nobody but the next reading finds it."""
    vendor, got = Vendor(120.0, margin_s=60.0, strict=False), list[Any]()
    feeds = iter([Backlog(1_000), *[Backlog(0)] * 9])

    async def main() -> None:
        inbox = Inbox(frames=3 * FRAMES)
        handover = Handover(lambda _: next(feeds), vendor.keeper, roll=lambda: 1.0)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(taking, inbox, every_s=every_s, at_most=10, into=got))
            await group.start(handover.hold, inbox)
            await anyio.sleep(110)
            assert handover.handovers == 1
            group.cancel_scope.cancel()

    on_virtual_clock(main)
    numbers = [one for one in got if isinstance(one, int)]
    assert numbers == list(range(len(numbers)))
    assert (len(numbers) < 1_000) is told
    assert any(isinstance(one, Overrun) for one in got) is told


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


@pytest.mark.parametrize("crowded_at", [0, None])
def test_a_session_opens_where_it_is_crowded(crowded_at: int | None) -> None:
    """Nothing that it is told before it is accepted need be stored."""

    async def accept(engine: Engine) -> None:
        await engine.live()

    async def confirm(speaker: Speaker) -> None:
        await speaker.accept()
        await speaker.confirm(await speaker.subscribed())
        await speaker.until_gone()

    async def main() -> None:
        async with engineio_peer.stage(4, accept) as engines, test_subscriptions.stage(CABLE, confirm) as speakers:
            for feed in (engines.feed(), speakers.feed()):
                offer = Taken()
                offer.crowded_at = crowded_at
                async with holding(feed, offer) as hold:
                    await hold.wait_settled()

    on_virtual_clock(main)


class Gusts(Taken):
    """Crowded for a minute and a half, and each time for so long."""

    def __init__(self, hold_s: float) -> None:
        super().__init__()
        self._hold_s = hold_s
        self._until = anyio.current_time() + 90

    @property
    def crowded(self) -> bool:
        return anyio.current_time() < self._until

    async def room(self) -> None:
        await anyio.sleep(self._hold_s)


@pytest.mark.parametrize("hold_s", [29, 100])
def test_beats_that_lay_unread_do_not_tell_how_often_they_come(hold_s: float) -> None:
    """A peer that beats every thirty seconds lives, though some of its first beats were read within one."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        await speaker.number(await speaker.subscribed(), 1)
        while True:
            await anyio.sleep(30)
            await speaker.peer.send({"type": "ka"})

    async def main() -> None:
        async with test_subscriptions.stage(LEGACY, talk) as play, holding(play.feed(), Gusts(hold_s)) as hold:
            await anyio.sleep(400)
            assert hold.error is None

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


def test_what_was_left_unread_when_the_process_ended_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes went on meanwhile, and each says until when what was pushed was stored."""
    monkeypatch.setattr("bridge.engine.inbox.FRAMES", FRAMES)
    lives = 0

    async def hold(offer: Offer, status: TaskStatus[None]) -> None:
        nonlocal lives
        lives += 1
        status.started()
        if lives > 1:
            await anyio.sleep_forever()
        await anyio.sleep(10)
        bench.ledger.latency_s = 1.0
        for number in range(20_000):
            offer(row(f"a{number}"), 1)
            if offer.crowded:
                await offer.room()

    bench = Stage(hold)
    bench.pushed_only = True
    run(bench, 210)
    assert 100 < len(bench.changes()) < 19_000
    assert gaps(bench) == []
    bench.ledger.latency_s = 0.0
    run(bench, 60)
    assert gaps(bench)[0]["from"][:19] == "2023-11-14T22:13:30"
