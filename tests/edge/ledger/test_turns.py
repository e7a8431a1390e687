"""Sources that commit page after page take turns, on a virtual clock."""

from __future__ import annotations

import anyio
import pytest

from bridge.edge.ledger.turns import Turns
from tests.support.engine import on_virtual_clock

WORK_S = 1.0


def test_a_quiet_source_waits_for_one_batch_and_not_for_a_backlog() -> None:
    """However many batches of a hog wait, who comes later and wants one place is next as soon as one is free."""

    async def main() -> None:
        turns, order = Turns(1, 1), []

        async def commit(name: str) -> None:
            async with turns.of(name):
                order.append(name)
                await anyio.sleep(WORK_S)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(commit, "hog")
            await anyio.sleep(WORK_S * 2.5)
            start = anyio.current_time()
            await commit("quiet")
            assert anyio.current_time() - start == pytest.approx(WORK_S * 1.5)
        assert order.index("quiet") == 3
        assert len(order) == 21

    on_virtual_clock(main)


def test_names_take_turns() -> None:
    """Three names that always have more to do get as many places each, whoever began first."""

    async def main() -> None:
        turns, order = Turns(1, 1), []

        async def pages(name: str) -> None:
            for _ in range(5):
                async with turns.of(name):
                    order.append(name)
                    await anyio.sleep(WORK_S)

        async with anyio.create_task_group() as group:
            for name in "abc":
                # Each has several batches waiting at any time.
                for _ in range(ord("d") - ord(name)):
                    group.start_soon(pages, name)
        assert [sorted(order[at : at + 3]) for at in range(0, 15, 3)] == [["a", "b", "c"]] * 5

    on_virtual_clock(main)


def test_one_name_never_holds_more_than_its_share() -> None:
    """A hog alone uses its share, and the rest of the places stays free for others, who get theirs at once."""

    async def main() -> None:
        turns, now, most = Turns(8, 4), 0, 0

        async def commit() -> None:
            nonlocal now, most
            async with turns.of("hog"):
                now += 1
                most = max(most, now)
                await anyio.sleep(WORK_S)
                now -= 1

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(commit)
            await anyio.sleep(WORK_S / 2)
            start = anyio.current_time()
            async with turns.of("quiet"):
                assert anyio.current_time() == start
        assert most == 4

    on_virtual_clock(main)


def test_who_is_cancelled_leaves_no_place_behind() -> None:
    """Cancelled while waiting, while holding, or in the moment the place comes: all places are there again."""

    async def main() -> None:
        turns = Turns(2, 2)

        async def hold(name: str, seconds: float) -> None:
            async with turns.of(name):
                await anyio.sleep(seconds)

        for limit in (0.5, 1.0, 1.5, 2.0):
            with anyio.move_on_after(limit):
                async with anyio.create_task_group() as group:
                    for name in ("a", "a", "a", "b", "b", "c"):
                        group.start_soon(hold, name, 1.0)
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(hold, "d", 1.0)
            group.start_soon(hold, "d", 1.0)
        assert anyio.current_time() - start == pytest.approx(1.0)

        async with anyio.create_task_group() as group:
            async with turns.of("x"), turns.of("x"):
                group.start_soon(hold, "y", 1.0)
                await anyio.wait_all_tasks_blocked()
            # The place has just been handed over, and nobody has run since.
            group.cancel_scope.cancel()
        async with turns.of("z"), turns.of("z"):
            pass

    on_virtual_clock(main)
