"""The belt: pieces are made ready side by side, finish in order, and few are under way at a time."""

from __future__ import annotations

import anyio
import pytest

from bridge.core.errors import Away
from bridge.engine.belt import Belt, Turn
from bridge.engine.groups import task_group
from bridge.engine.sequencer import Sequencer
from tests.engine.test_sequencer import play
from tests.support.desk import Desk, once

MANY = [once(f"{number:04}", number) for number in range(40)]


def test_pieces_finish_in_the_order_they_were_put() -> None:
    """However long each is made ready: a quick one waits for the slow one before it, which it never overtakes."""
    ready: list[str] = []
    finished: list[str] = []

    async def scene(_: Desk, __: Sequencer) -> None:
        async with task_group() as group:
            belt = Belt(group)

            async def put(name: str, takes_s: float) -> None:
                async def piece(turn: Turn) -> None:
                    await anyio.sleep(takes_s)
                    ready.append(name)
                    await turn()
                    await anyio.sleep(0.1)
                    finished.append(name)

                await belt.put(piece)

            await put("slow", 5)
            await put("quick", 1)
            await put("third", 1)

    play(scene)
    assert ready[:2] == ["quick", "slow"]
    assert finished == ["slow", "quick", "third"]


def test_no_more_than_two_are_under_way() -> None:
    """Who puts a third waits until one is finished: what waits here would be memory without bound."""
    counts: list[int] = []

    async def scene(_: Desk, __: Sequencer) -> None:
        running = 0
        async with task_group() as group:
            belt = Belt(group)

            async def piece(turn: Turn) -> None:
                nonlocal running
                running += 1
                counts.append(running)
                await turn()
                await anyio.sleep(1)
                running -= 1

            for _number in range(6):
                await belt.put(piece)

    play(scene)
    assert max(counts) == 2


def test_behind_a_failure_nothing_gets_its_turn() -> None:
    """The failure ends the group: what came after is not stored without what came before."""
    finished: list[str] = []

    async def scene(_: Desk, __: Sequencer) -> None:
        async def fails(turn: Turn) -> None:
            await anyio.sleep(1)
            await turn()
            raise Away("NATS is away")

        async def follows(turn: Turn) -> None:
            await turn()
            finished.append("follows")

        async def both() -> None:
            async with task_group() as group:
                belt = Belt(group)
                await belt.put(fails)
                await belt.put(follows)

        with pytest.raises(Away, match="NATS is away"):
            await both()

    play(scene)
    assert finished == []


def test_two_batches_that_hold_the_same_are_stored_once_and_in_order() -> None:
    """The second is made ready while the first is stored; neither keeps the other from its turn."""

    async def scene(_: Desk, sequencer: Sequencer) -> None:
        async with task_group() as group:
            belt = Belt(group)
            for some in (MANY[:30], [*MANY[20:], *MANY[:5]], MANY[25:27]):

                async def piece(turn: Turn, some: object = some) -> None:
                    await sequencer.once(some, turn=turn)  # type: ignore[arg-type]

                await belt.put(piece)

    assert play(scene).told() == [(f"{number:04}", "occurred", number) for number in range(40)]
