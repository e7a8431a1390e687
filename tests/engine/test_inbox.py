"""The one bounded buffer between a live session and the ledger."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from bridge.core.errors import Overrun
from bridge.engine.inbox import Inbox
from tests.support.engine import on_virtual_clock


def fill(inbox: Inbox, frames: int, size: int = 1) -> None:
    for number in range(frames):
        inbox(number, size)


async def taken(inbox: Inbox, at_most: int = 256) -> list[object]:
    return [one.frame for one in await inbox.take(at_most)]


def test_frames_come_out_in_order_and_in_parts() -> None:
    """First in, first out, at most so many at once, at least one."""

    async def main() -> None:
        inbox = Inbox()
        fill(inbox, 5)
        assert await taken(inbox, 3) == [0, 1, 2]
        assert await taken(inbox, 3) == [3, 4]

    on_virtual_clock(main)


def test_take_waits_for_the_first_frame() -> None:
    """And wakes as soon as it is there."""

    async def main() -> None:
        inbox, got = Inbox(), []

        async def taker() -> None:
            got.append((await taken(inbox), anyio.current_time()))

        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(taker)
            await anyio.sleep(7)
            inbox("frame", 1)
        assert got == [(["frame"], start + 7)]

    on_virtual_clock(main)


@pytest.mark.parametrize(
    ("limits", "size", "fits"),
    [({"frames": 3}, 1, 3), ({"size": 30}, 10, 3), ({"frames": 3, "size": 20}, 10, 2), ({"size": 5}, 6, 0)],
)
def test_bounds(limits: dict[str, Any], size: int, fits: int) -> None:
    """Exactly the limit fits, in frames and in bytes; one more forgets everything, and `take` says so once."""

    async def main() -> None:
        inbox = Inbox(**limits)
        fill(inbox, fits, size)
        assert inbox.statistics().frames == fits
        assert inbox.statistics().overruns == 0
        inbox("one too many", size)
        assert inbox.statistics() == type(inbox.statistics())(
            frames=0, bytes=0, offered=fits + 1, forgotten=fits + 1, overruns=1
        )
        with pytest.raises(Overrun):
            await inbox.take()
        inbox("next", 1)
        assert await taken(inbox) == ["next"]

    on_virtual_clock(main)


def test_an_overrun_lasts_until_it_was_told() -> None:
    """Nothing is kept in between: a part would only delay the reading of the whole."""

    async def main() -> None:
        inbox = Inbox(frames=2)
        fill(inbox, 10)
        statistics = inbox.statistics()
        assert (statistics.frames, statistics.forgotten, statistics.overruns) == (0, 10, 1)
        with pytest.raises(Overrun, match="read again"):
            await inbox.take()
        fill(inbox, 3)
        with pytest.raises(Overrun):
            await inbox.take()
        assert inbox.statistics().overruns == 2

    on_virtual_clock(main)


def test_an_overrun_wakes_who_waits() -> None:
    """A frame that is too big for the whole inbox does not leave the taker waiting."""

    async def main() -> None:
        inbox = Inbox(size=10)

        async def offer() -> None:
            await anyio.sleep(1)
            inbox("huge", 11)

        async with anyio.create_task_group() as group:
            group.start_soon(offer)
            with pytest.raises(Overrun):
                await inbox.take()

    on_virtual_clock(main)


def test_what_was_taken_makes_room() -> None:
    """Bytes are given back with the frames."""

    async def main() -> None:
        inbox = Inbox(size=10)
        for _ in range(5):
            fill(inbox, 2, 5)
            assert await taken(inbox) == [0, 1]
        assert inbox.statistics().bytes == 0

    on_virtual_clock(main)


def test_cancelling_a_wait_loses_nothing() -> None:
    """Frames that arrive after, or at the very moment of, a cancellation are there for the next `take`."""

    async def main() -> None:
        inbox = Inbox()
        with anyio.move_on_after(5):
            await inbox.take()
        inbox("after", 1)
        assert await taken(inbox) == ["after"]

        got: list[object] = []

        async def taker() -> None:
            got.extend(await taken(inbox))

        async with anyio.create_task_group() as group:
            group.start_soon(taker)
            await anyio.wait_all_tasks_blocked()
            inbox("meanwhile", 1)
            group.cancel_scope.cancel()
        inbox("last", 1)
        assert [*got, *await taken(inbox)] == ["meanwhile", "last"]

    on_virtual_clock(main)


def test_what_was_missed_is_said_once_and_costs_nothing_that_arrived() -> None:
    """A session that goes on after it missed something makes the next `take` raise; what is here stays."""

    async def main() -> None:
        inbox = Inbox()
        inbox("kept", 1)
        inbox.missed("the subscription ended")
        with pytest.raises(Overrun, match="the subscription ended"):
            await inbox.take()
        assert await taken(inbox) == ["kept"]
        assert inbox.statistics().forgotten == 0

    on_virtual_clock(main)


def test_frames_know_when_they_arrived() -> None:
    """Each for itself, and the one that has waited longest while it waits."""

    async def main() -> None:
        inbox = Inbox()
        assert inbox.oldest_at is None
        start = anyio.current_time()
        inbox("first", 1)
        await anyio.sleep(5)
        inbox("second", 1)
        assert inbox.oldest_at == start
        assert await inbox.take() == [("first", start, None, None), ("second", start + 5, None, None)]
        assert inbox.oldest_at is None

    on_virtual_clock(main)


def test_a_frame_carries_along_whom_to_tell_that_it_is_stored() -> None:
    """The inbox itself tells nobody, and keeps no word of what an overrun forgot."""

    async def main() -> None:
        inbox = Inbox(frames=2)
        told: list[str] = []
        inbox("first", 1, partial(told.append, "first"))
        inbox("second", 1)
        first, second = await inbox.take()
        assert told == []
        assert second.stored is None
        assert first.stored is not None
        first.stored()
        assert told == ["first"]

        for name in ("third", "fourth", "one too many"):
            inbox(name, 1, partial(told.append, name))
        with pytest.raises(Overrun):
            await inbox.take()
        inbox("after", 1, partial(told.append, "after"))
        for one in await inbox.take():
            assert one.stored is not None
            one.stored()
        assert told == ["first", "after"]

    on_virtual_clock(main)
