"""The heartbeat of Socket.IO sessions on a virtual clock: who asks, what counts, and when a peer is given up."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest
import trio

from bridge.core.ending import ending_of
from bridge.core.errors import Retry
from bridge.core.session import EngineioRevision
from tests.support.engine import on_virtual_clock
from tests.support.engineio_peer import Engine, stage
from tests.support.holding import Hold, Taken, holding
from tests.support.waiting import wait_until

REVISIONS: tuple[EngineioRevision, ...] = (3, 4)
both = pytest.mark.parametrize("revision", REVISIONS)


def now() -> float:
    return anyio.current_time()


async def mute(engine: Engine) -> None:
    """Answers four pings, and none after."""
    async with anyio.create_task_group() as group:
        group.start_soon(engine.live)
        await wait_until(lambda: len(engine.pings) == 4, 400)
        engine.answer_after_s = None


@both
def test_a_session_is_held_over_hundreds_of_heartbeats(revision: EngineioRevision) -> None:
    """Each interval one ping and one answer, never more; the last is noted."""

    async def main() -> None:
        async with stage(revision, Engine.live) as play:
            feed = play.feed()
            async with holding(feed) as hold:
                await anyio.sleep(300 * 25 + 12)
                assert not hold.over.is_set()
                pings = play.engine.pings
                assert len(pings) == 300
                assert [later - earlier for earlier, later in pairwise(pings)] == pytest.approx([25] * 299)
                assert feed.statistics.last_beat == pytest.approx(300 * 25)
                assert (feed.statistics.beat_interval_s, feed.statistics.beat_timeout_s) == (25, 60)
                assert feed.statistics.odd == 0

    on_virtual_clock(main)


def test_the_round_trip_is_measured() -> None:
    """From our ping to its answer, in seconds; revision 3 only."""

    async def talk(engine: Engine) -> None:
        engine.answer_after_s = 0.4
        await engine.live()

    async def main() -> None:
        async with stage(3, talk) as play:
            feed = play.feed()
            async with holding(feed):
                await anyio.sleep(24)
                assert feed.statistics.round_trip_s is None
                await anyio.sleep(2)
                assert feed.statistics.round_trip_s == pytest.approx(0.4)

    on_virtual_clock(main)


@pytest.mark.parametrize(("revision", "at_s"), [(3, 110 + 15 + 60), (4, 100 + 25 + 60)])
def test_a_frozen_peer_is_noticed_within_the_deadline(revision: EngineioRevision, at_s: float) -> None:
    """Frozen 10 s after a beat at 100 s: revision 3 asks 15 s later and waits 60 s, revision 4 waits 85 s.

    The connection stays open all the while. Then one more look, and leaving.
    """

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            await anyio.sleep(110)
            engine.peer.freeze()
            group.cancel_scope.cancel()
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(revision, talk) as play, holding(play.feed()) as hold:
            error = await hold.ended(400)
            assert type(error) is Retry
            assert "within 60 s; the one before" in str(error) if revision == 3 else "within 85 s" in str(error)
            # 0.1 s for the second look; a frozen peer does not answer our close for a second.
            assert hold.over_at == pytest.approx(at_s + 0.1 + 1.0, abs=0.05)
            assert play.sockets.open == 0

    on_virtual_clock(main)


def test_only_the_answer_to_our_ping_counts() -> None:
    """Events that go on flowing are no sign of life of what answers pings: the protocol's word is the pong."""

    async def talk(engine: Engine) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mute, engine)
            while True:
                await anyio.sleep(1)
                await engine.event("tick")

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            error = await hold.ended(1000)
            assert "no answer to our ping within 60 s; the one before was answered 25.0 s before this one" in str(error)
            assert ending_of(error) == "silent"
            assert hold.over_at == pytest.approx(5 * 25 + 60 + 0.1)
            assert len(hold.taken.frames) > 150

    on_virtual_clock(main)


def test_a_pong_that_nobody_asked_for_is_no_answer() -> None:
    """It is counted as odd, and the next ping is waited for all the same."""

    async def talk(engine: Engine) -> None:
        engine.answer_after_s = None
        async with anyio.create_task_group() as group:
            group.start_soon(engine.live)
            await anyio.sleep(20)
            await engine.peer.send("3")

    async def main() -> None:
        async with stage(3, talk) as play:
            feed = play.feed()
            async with holding(feed) as hold:
                assert "none was ever answered" in str(await hold.ended(200))
                assert hold.over_at == pytest.approx(25 + 60 + 0.1)
                assert feed.statistics.odd == 1
                assert feed.statistics.last_beat is None

    on_virtual_clock(main)


@pytest.mark.parametrize(("after_s", "survives"), [(59.9, True), (60.05, True), (60.2, False)])
def test_the_buffer_is_looked_at_once_more(after_s: float, survives: bool) -> None:
    """An answer that lies unread at the very deadline is found; one that is late is not waited for."""

    async def talk(engine: Engine) -> None:
        engine.answer_after_s = after_s
        await engine.live()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await anyio.sleep(25 + 62)
            assert hold.over.is_set() is not survives

    on_virtual_clock(main)


def test_at_most_one_ping_is_on_its_way() -> None:
    """An answer that takes two intervals holds the next ping back, which then goes out at once."""

    async def talk(engine: Engine) -> None:
        engine.answer_after_s = 50.0
        await engine.live()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await anyio.sleep(25 + 50 * 10 + 1)
            assert not hold.over.is_set()
            assert play.engine.pings == pytest.approx([25 + 50 * n for n in range(11)])

    on_virtual_clock(main)


def test_absurd_intervals_are_held_to_what_is_configured() -> None:
    """A server that asks to be left alone for eleven days is asked after `longest_silence_s` all the same."""

    async def talk(engine: Engine) -> None:
        await engine.live(1e6, 1e6)

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed(longest_silence_s=40.0)):
            await anyio.sleep(100)
            assert play.engine.pings == pytest.approx([40, 80])

    on_virtual_clock(main)


def test_a_peer_that_takes_no_ping_is_given_up() -> None:
    """Its buffers are full: ten seconds, or the heartbeat's time-out if that is shorter."""

    async def talk(engine: Engine) -> None:
        await engine.welcome(10.0, 3.0)
        engine.peer.freeze()
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(3, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            play.sockets.peers[0].to_server.put("x" * 65_536)
            assert "has not read what we sent for 3 s" in str(await hold.ended())
            assert hold.over_at <= 10 + 3 + 2

    on_virtual_clock(main)


@both
def test_an_idle_session_has_two_tasks(revision: EngineioRevision) -> None:
    """The reader and the heartbeat, and what waits for acceptance only until then: there may be thousands."""

    async def idle(engine: Engine) -> None:
        await engine.welcome()
        await engine.serve()

    async def main() -> None:
        async with stage(revision, idle) as play:
            before = trio.lowlevel.current_statistics().tasks_living
            holds = [Hold(play.feed(), Taken()) for _ in range(10)]
            async with anyio.create_task_group() as group:
                for hold in holds:
                    group.start_soon(hold.run)
                await anyio.sleep(20)
                peers = 10
                assert trio.lowlevel.current_statistics().tasks_living == before + peers + 2 * 10
                group.cancel_scope.cancel()

    on_virtual_clock(main)
