"""Live GraphQL sessions on a virtual clock: everything that takes its time, with sockets in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import anyio
import pytest

from bridge.core.ending import ending_of
from bridge.core.errors import Retry, Unauthorized
from bridge.core.facts import GraphqlSession, Operation, Subprotocol
from bridge.engine.subscriptions import GraphqlFeed
from tests.support.dialects import ALL, CABLE, GRAPHQL, LEGACY, TRANSPORT, Peer, PeerGone, Speaker
from tests.support.engine import on_virtual_clock
from tests.support.holding import Taken, holding
from tests.support.memory_socket import MemorySockets, memory_sockets

ONE = (Operation("sessions", "subscription { session { id } }"),)
TWO = (*ONE, Operation("events", "subscription { event { id } }"))

Talk = Callable[[Speaker], Awaitable[None]]

speaks_all = pytest.mark.parametrize("subprotocol", ALL)
speaks_graphql = pytest.mark.parametrize("subprotocol", GRAPHQL)


class Stage:
    """Peers that follow a script, and feeds to them. Pings are off unless a test is about them."""

    def __init__(self, sockets: MemorySockets, subprotocol: Subprotocol) -> None:
        self.sockets = sockets
        self.numbers = count(1)
        self._session = GraphqlSession("wss://api.example.com/graphql", subprotocol, ONE, ping_interval_s=None)

    def feed(self, operations: Sequence[Operation] = ONE, **more: Any) -> GraphqlFeed:
        """One attempt. Every back-off lasts exactly as long as its ceiling."""
        session = replace(self._session, operations=operations, **more)
        return GraphqlFeed(session, self.sockets, self.numbers, roll=lambda: 1.0)


@asynccontextmanager
async def stage(subprotocol: Subprotocol, talk: Talk) -> AsyncIterator[Stage]:
    async def script(peer: Peer) -> None:
        await talk(Speaker(peer, subprotocol))

    async with memory_sockets(script) as sockets:
        yield Stage(sockets, subprotocol)


async def serve(speaker: Speaker, *, operations: int = 1) -> str:
    """Accept and wait for the operations; returns the id of the first."""
    await speaker.accept()
    ids = [await speaker.subscribed() for _ in range(operations)]
    return ids[0]


async def listen(speaker: Speaker) -> None:
    """A server that does what it should, and has nothing to tell."""
    await serve(speaker)
    await speaker.until_gone()


def now() -> float:
    return anyio.current_time()


# --- settling ----------------------------------------------------------------------------------------------------


@speaks_graphql
def test_settling_takes_as_long_as_configured(subprotocol: Subprotocol) -> None:
    """No server says when it has begun to listen: started after the pause, not before; results count from the start."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        await speaker.number(id_, 1)
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play:
            began = now()
            async with holding(play.feed(settle_s=3.0)) as hold:
                await anyio.sleep(2.9)
                assert not hold.settled.is_set()
                assert hold.taken.numbers() == [1]
                await hold.wait_settled()
                assert hold.settled_at - began == pytest.approx(3.0)

    on_virtual_clock(main)


def test_action_cable_settles_when_every_operation_is_confirmed() -> None:
    """A pause after the confirmation of the last one: Rails confirms a moment before it listens."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        ids = [await speaker.asked(), await speaker.asked()]
        await speaker.confirm(ids[0])
        await anyio.sleep(4)
        await speaker.confirm(ids[1])
        await speaker.until_gone()

    async def main() -> None:
        async with stage(CABLE, talk) as play:
            began = now()
            async with holding(play.feed(TWO, settle_s=2.0)) as hold:
                await hold.wait_settled()
                assert hold.settled_at - began == pytest.approx(6.0)

    on_virtual_clock(main)


def test_action_cable_that_does_not_confirm_is_given_up() -> None:
    """Nobody listens there; the text names the operations."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        first, _ = await speaker.asked(), await speaker.asked()
        await speaker.confirm(first)
        await speaker.until_gone()

    async def main() -> None:
        async with stage(CABLE, talk) as play, holding(play.feed(TWO, ack_timeout_s=10)) as hold:
            began = now()
            error = await hold.ended()
            assert type(error) is Retry
            assert str(error).endswith("not confirmed within 10 s: events")
            assert ending_of(error) == "unanswered"
            assert hold.over_at - began == pytest.approx(10)

    on_virtual_clock(main)


@speaks_all
def test_a_server_that_never_accepts_is_given_up(subprotocol: Subprotocol) -> None:
    """Scenario 03: no ack. After `ack_timeout_s`, and the socket is closed."""

    async def talk(speaker: Speaker) -> None:
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(ack_timeout_s=7)) as hold:
            began = now()
            assert "not accepted the session within 7 s" in str(await hold.ended())
            assert hold.over_at - began == pytest.approx(7)
            assert play.sockets.open == 0

    on_virtual_clock(main)


# --- silence -----------------------------------------------------------------------------------------------------


@speaks_all
@pytest.mark.parametrize("beats", [0, 1, 2])
def test_without_regular_beats_any_silence_is_fine(subprotocol: Subprotocol, beats: int) -> None:
    """Scenario 07: `ka` never, or once, or twice: that is no rhythm whose end would mean anything."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        for _ in range(beats):
            await speaker.beat()
            await anyio.sleep(1)
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
            await anyio.sleep(86_400)
            assert not hold.over.is_set()

    on_virtual_clock(main)


@speaks_all
@pytest.mark.parametrize(("interval", "silence"), [(20, 60), (1, 10)])
def test_beats_that_stop_mean_a_dead_peer(subprotocol: Subprotocol, interval: float, silence: float) -> None:
    """Scenario 07: `ka` regular, then stopping: noticed after three intervals, and not before ten seconds."""
    stopped_at = 0.0

    async def talk(speaker: Speaker) -> None:
        nonlocal stopped_at
        await serve(speaker)
        for _ in range(30):
            await anyio.sleep(interval)
            await speaker.beat()
        stopped_at = now()
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
            error = await hold.ended(10_000)
            assert type(error) is Retry
            assert f"api.example.com/graphql: nothing was heard for {silence} s" in str(error)
            assert ending_of(error) == "silent"
            assert hold.over_at - stopped_at == pytest.approx(silence, abs=0.2)

    on_virtual_clock(main)


@speaks_all
def test_regular_beats_keep_a_session_for_ever(subprotocol: Subprotocol) -> None:
    """Scenario 07: `ka` regular; also where the first comes at once and out of step with the others."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        await speaker.beat()
        await anyio.sleep(0.5)
        while True:
            await speaker.beat()
            await anyio.sleep(600)

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
            await anyio.sleep(86_400)
            assert not hold.over.is_set()

    on_virtual_clock(main)


@speaks_all
def test_whatever_arrives_counts_as_life(subprotocol: Subprotocol) -> None:
    """A busy server may leave its beats out: after one beat, data alone keeps the session alive."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        await speaker.beat()
        for n in range(100):
            await anyio.sleep(4)
            await speaker.number(id_, n)
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(beat_timeout_s=5)) as hold:
            error = await hold.ended(1_000)
            assert hold.taken.numbers() == list(range(100))
            assert "nothing was heard for 5 s" in str(error)
            assert hold.over_at == pytest.approx(400 + 5, abs=0.2)

    on_virtual_clock(main)


@speaks_all
def test_an_idle_limit_holds_from_the_start(subprotocol: Subprotocol) -> None:
    """Without any beat, where it is configured."""

    async def main() -> None:
        async with stage(subprotocol, listen) as play, holding(play.feed(idle_timeout_s=90)) as hold:
            began = now()
            assert "nothing was heard for 90 s" in str(await hold.ended(1_000))
            assert hold.over_at - began == pytest.approx(90, abs=0.2)

    on_virtual_clock(main)


@speaks_all
def test_a_frozen_peer_is_noticed_by_pings(subprotocol: Subprotocol) -> None:
    """Scenario 17: it neither reads nor answers, TCP stays open: by interval and time-out of the pings."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        speaker.peer.freeze()
        await anyio.sleep_forever()

    async def main() -> None:
        async with (
            stage(subprotocol, talk) as play,
            holding(play.feed(ping_interval_s=20, ping_timeout_s=10)) as hold,
        ):
            began = now()
            error = await hold.ended(100)
            assert type(error) is Retry
            assert "no answer to a ping" in str(error)
            assert hold.over_at - began == pytest.approx(30, abs=0.2)

    on_virtual_clock(main)


@speaks_all
def test_a_frozen_peer_is_noticed_by_its_silence(subprotocol: Subprotocol) -> None:
    """Scenario 17: without pings, by the beats that stop; and it is left within two seconds more."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        await speaker.beat()
        speaker.peer.freeze()
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(beat_timeout_s=15)) as hold:
            began = now()
            assert "nothing was heard for 15 s" in str(await hold.ended(100))
            assert hold.over_at - began <= 17.2

    on_virtual_clock(main)


def test_a_peer_that_reads_nothing_is_noticed_by_what_it_does_not_take() -> None:
    """Scenario 17: it pings and pings and never reads the answers: ten seconds after the buffers are full."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        speaker.peer.freeze()
        while True:
            await speaker.peer.send({"type": "ping", "payload": {"text": "x" * 4_000}})
            await anyio.sleep(0.4)

    async def main() -> None:
        async with stage(TRANSPORT, talk) as play, holding(play.feed()) as hold:
            began = now()
            assert "has not read what we sent for 10 s" in str(await hold.ended(100))
            assert 10 < hold.over_at - began < 25

    on_virtual_clock(main)


# --- operations --------------------------------------------------------------------------------------------------


@speaks_all
def test_an_operation_that_keeps_ending_is_started_less_and_less_often(subprotocol: Subprotocol) -> None:
    """Scenario 13: `complete` unasked, again and again: 1 s, 2 s, 4 s … 60 s; the other operation does not notice."""
    ids: list[str] = []
    asked_at: list[float] = []

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        ids.append(await speaker.subscribed())
        other = await speaker.subscribed()
        for n in range(9):
            asked_at.append(now())
            await speaker.complete(ids[-1])
            await speaker.number(other, n)
            ids.append(await speaker.subscribed())
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(TWO, settle_s=0)) as hold:
            await anyio.sleep(400)
            assert not hold.over.is_set()
            assert hold.taken.numbers("events") == list(range(9))
            assert hold.feed.statistics.resubscriptions == 9  # type: ignore[attr-defined]

    on_virtual_clock(main)
    assert len(set(ids)) == 10
    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.1)


@speaks_all
def test_the_back_off_starts_over_after_a_minute_of_peace(subprotocol: Subprotocol) -> None:
    """An operation that ran for that long has proved itself."""
    ended_at: list[float] = []
    restarted_at: list[float] = []

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        for peace_s in (0, 0, 0, 61):
            await anyio.sleep(peace_s)
            ended_at.append(now())
            await speaker.complete(id_)
            id_ = await speaker.subscribed()
            restarted_at.append(now())
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(settle_s=0)):
            await anyio.sleep(200)

    on_virtual_clock(main)
    waits = [later - earlier for earlier, later in zip(ended_at, restarted_at, strict=True)]
    assert waits == pytest.approx([1, 2, 4, 1], abs=0.1)


@speaks_graphql
def test_what_was_missed_is_told_once_it_listens_again(subprotocol: Subprotocol) -> None:
    """Not when the operation ended, nor when it was started again, but when it has settled: then reading finds all."""

    async def talk(speaker: Speaker) -> None:
        id_ = await serve(speaker)
        await anyio.sleep(10)
        await speaker.complete(id_)
        await speaker.subscribed()
        await speaker.until_gone()

    async def main() -> None:
        taken = Taken()
        async with stage(subprotocol, talk) as play, holding(play.feed(settle_s=5), taken) as hold:
            await anyio.sleep(10 + 1 + 4.9)
            assert taken.reasons == []
            assert hold.feed.statistics.resubscriptions == 1  # type: ignore[attr-defined]
            await anyio.sleep(0.2)
            assert len(taken.reasons) == 1

    on_virtual_clock(main)


@speaks_all
def test_a_session_in_which_an_operation_ends_at_once_starts_all_the_same(subprotocol: Subprotocol) -> None:
    """The others listen; what this one misses is read again when it listens, too."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        first = await speaker.asked()
        if subprotocol == CABLE:
            await speaker.confirm(first)
        await speaker.complete(first)
        await speaker.subscribed()
        await speaker.subscribed()
        await speaker.until_gone()

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
            await hold.wait_settled()
            await anyio.sleep(10)
            assert len(hold.taken.reasons) == 1

    on_virtual_clock(main)


@speaks_graphql
def test_a_close_while_operations_are_started(subprotocol: Subprotocol) -> None:
    """An ack and an odd end right behind it: an error the engine knows, whichever task comes first."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.acknowledge()
        await speaker.peer.send("[]")
        await speaker.until_gone()

    async def main() -> None:
        for _ in range(20):
            async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
                assert type(await hold.ended()) is Retry

    on_virtual_clock(main)


@speaks_graphql
def test_what_was_said_last_counts_even_if_we_were_just_sending(subprotocol: Subprotocol) -> None:
    """Accepted, refused and closed in one breath: our start cannot be sent any more, and the reason is still read."""

    async def talk(speaker: Speaker) -> None:
        await speaker.greeting()
        await speaker.acknowledge()
        await speaker.peer.close(4403)

    async def main() -> None:
        for _ in range(20):
            async with stage(subprotocol, talk) as play, holding(play.feed(TWO)) as hold:
                assert type(await hold.ended()) is Unauthorized

    on_virtual_clock(main)


# --- leaving -----------------------------------------------------------------------------------------------------


async def frozen_from_the_start(speaker: Speaker) -> None:
    speaker.peer.freeze()
    await anyio.sleep_forever()


async def mute(speaker: Speaker) -> None:
    await speaker.until_gone()


async def ends_its_operation(speaker: Speaker) -> None:
    await speaker.complete(await serve(speaker))
    await speaker.until_gone()


async def freezes(speaker: Speaker) -> None:
    await serve(speaker)
    speaker.peer.freeze()
    await anyio.sleep_forever()


async def floods(speaker: Speaker) -> None:
    id_ = await serve(speaker)
    while True:
        await speaker.number(id_, 1)
        await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("talk", "after_s", "latency_s"),
    [
        (listen, 50, 100),
        (mute, 1, 0),
        (frozen_from_the_start, 1, 0),
        (listen, 1, 0),
        (listen, 10, 0),
        (ends_its_operation, 2.5, 0),
        (ends_its_operation, 3.5, 0),
        (floods, 5, 0),
        (freezes, 10, 0),
    ],
    ids=["connecting", "greeting", "frozen", "settling", "live", "backing off", "resettling", "flooded", "frozen live"],
)
@speaks_all
def test_leaving_in_each_state_keeps_to_the_budget(
    subprotocol: Subprotocol, talk: Talk, after_s: float, latency_s: float
) -> None:
    """Scenario 21: two seconds at most, whatever the peer does, and no connection is left open."""

    async def main() -> None:
        async with stage(subprotocol, talk) as play:
            play.sockets.latency_s = latency_s
            async with holding(play.feed()) as hold:
                await anyio.sleep(after_s)
                assert not hold.over.is_set()
                assert await hold.leave() <= 2
                assert play.sockets.open == 0

    on_virtual_clock(main)


def test_leaving_a_peer_whose_buffers_are_full() -> None:
    """Scenario 21: not even the good-bye can be sent; what is left of the two seconds closes the socket."""

    async def talk(speaker: Speaker) -> None:
        await serve(speaker)
        speaker.peer.freeze()
        await speaker.peer.send({"type": "ping", "payload": {"text": "x" * 65_480}})
        await anyio.sleep_forever()

    async def main() -> None:
        async with stage(TRANSPORT, talk) as play, holding(play.feed()) as hold:
            await anyio.sleep(5)
            assert not hold.over.is_set()
            assert await hold.leave() <= 2
            assert play.sockets.open == 0

    on_virtual_clock(main)


@speaks_graphql
def test_leaving_does_not_wait_for_an_answer(subprotocol: Subprotocol) -> None:
    """The server that is told `stop` and never says `complete` is left at once, and politely."""
    code = 0

    async def talk(speaker: Speaker) -> None:
        nonlocal code
        await serve(speaker)
        try:
            while True:
                await speaker.peer.receive()
        except PeerGone as gone:
            code = gone.code

    async def main() -> None:
        async with stage(subprotocol, talk) as play, holding(play.feed()) as hold:
            await hold.wait_settled()
            assert await hold.leave() < 0.1
            await anyio.sleep(0.1)

    on_virtual_clock(main)
    assert code == 1000


# --- many sessions -----------------------------------------------------------------------------------------------


def test_a_server_that_accepts_and_drops_is_not_hammered() -> None:
    """Scenario 09: ack, then drop at once, repeated: each is a Retry of its own, and none of them counts as started."""

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        speaker.peer.drop()

    async def main() -> None:
        async with stage(LEGACY, talk) as play:
            for _ in range(5):
                async with holding(play.feed()) as hold:
                    assert type(await hold.ended()) is Retry
                    assert not hold.settled.is_set()
            assert play.sockets.open == 0

    on_virtual_clock(main)


def test_sessions_side_by_side_share_no_id() -> None:
    """Two sessions of one process at once: every operation has an id of its own."""
    ids: list[str] = []

    async def talk(speaker: Speaker) -> None:
        await speaker.accept()
        ids.extend([await speaker.subscribed(), await speaker.subscribed()])
        await speaker.until_gone()

    async def main() -> None:
        async with stage(TRANSPORT, talk) as play, holding(play.feed(TWO)) as one, holding(play.feed(TWO)) as other:
            await one.wait_settled()
            await other.wait_settled()

    on_virtual_clock(main)
    assert sorted(ids) == ["1", "2", "3", "4"]
