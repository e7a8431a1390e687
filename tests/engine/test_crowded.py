"""An inbox that is crowded: who waits for room, for how long, and what is said of it."""

from __future__ import annotations

from functools import partial

import anyio

from bridge.engine.handover import _Session
from bridge.engine.inbox import CALM_S, PATIENCE_S, Inbox
from tests.support.engine import on_virtual_clock
from tests.support.holding import Taken

FRAMES = 30
"""What the inboxes of these tests hold: crowded with 10, roomy below 5."""
FRESH_S = 1.0


def fill(inbox: Inbox, frames: int) -> None:
    for number in range(frames):
        inbox(number, 1)


async def taking(inbox: Inbox, *, every_s: float, at_most: int = 1) -> None:
    """Never returns."""
    while True:
        await inbox.take(at_most)
        await anyio.sleep(every_s)


async def served() -> Inbox:
    """One of which frames have just been taken."""
    inbox = Inbox(frames=FRAMES)
    fill(inbox, 1)
    await inbox.take()
    return inbox


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
        fill(inbox, 1)
        assert inbox.crowded

    on_virtual_clock(main)


def test_a_hold_ends_however_much_there_is_and_some_is_read_then() -> None:
    """Signs of life lie between the frames, and a server waits for ours in answer."""

    async def main() -> None:
        inbox = await served()
        fill(inbox, FRAMES)
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(partial(taking, inbox, every_s=1))
            await inbox.room()
            assert anyio.current_time() - start == PATIENCE_S
            assert not inbox.crowded
            fill(inbox, 1)
            assert inbox.crowded
            group.cancel_scope.cancel()

    on_virtual_clock(main)


def test_an_overrun_lets_those_go_on_who_wait() -> None:
    """There is all the room now."""

    async def main() -> None:
        inbox = await served()
        fill(inbox, FRAMES)
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(inbox.room)
            await anyio.sleep(1)
            fill(inbox, 1)
        assert anyio.current_time() - start == 1

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
