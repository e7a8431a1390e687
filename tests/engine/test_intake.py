"""What is under way from one opening of a door to its closing: who waits for it is let go at the deadline, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from bridge.engine.intake import Delivery, Intake
from tests.support.engine import on_virtual_clock

FRAME: dict[str, Any] = {"event": None, "headers": {}}


class Offered:
    """Takes frames and stores none by itself."""

    def __init__(self) -> None:
        self.stored: list[Callable[[], None]] = []

    def __call__(self, frame: Any, size: int, stored: Any = None, traceparent: str | None = None) -> None:
        self.stored.append(stored)


@asynccontextmanager
async def watched(offered: Offered) -> AsyncIterator[Intake]:
    """An intake, watched while the block runs and closed at its end."""
    intake = Intake(offered)  # type: ignore[arg-type]  # nothing but offering is asked of it
    async with anyio.create_task_group() as group:
        group.start_soon(intake.watch)
        yield intake
        group.cancel_scope.cancel()
    intake.close()


def offer(intake: Intake, wait_s: float) -> Delivery:
    """A delivery of one frame for which somebody waits so long."""
    return intake.offer([FRAME], 1, 10, anyio.current_time() + wait_s)


def test_who_waits_is_let_go_at_the_deadline_and_not_before() -> None:
    """Each at its own, also where a later delivery waits less long than those before it."""

    async def main() -> None:
        async with watched(Offered()) as intake:
            began = anyio.current_time()
            deliveries = [offer(intake, wait_s) for wait_s in (10.0, 3.0, 10.0, 30.0)]
            gone: list[tuple[float, bool]] = []

            async def wait(delivery: Delivery) -> None:
                await delivery.settled.wait()
                gone.append((anyio.current_time() - began, delivery.late))

            async with anyio.create_task_group() as group:
                for delivery in deliveries:
                    group.start_soon(wait, delivery)
                await anyio.sleep(5.0)
                # Comes while the clock is set for those before it.
                group.start_soon(wait, offer(intake, 1.0))
            assert [after for after, _ in gone] == pytest.approx([3.0, 6.0, 10.0, 10.0, 30.0])
            assert all(late for _, late in gone)
            # Whoever still waits: it may be stored yet, and counts until then.
            assert intake.deliveries == 5

    on_virtual_clock(main)


def test_what_is_stored_in_time_is_not_late() -> None:
    """And the deadline of one that is answered long ago lets nobody go."""

    async def main() -> None:
        offered = Offered()
        async with watched(offered) as intake:
            first = offer(intake, 10.0)
            await anyio.sleep(1.0)
            offered.stored[0]()
            await first.settled.wait()
            second = offer(intake, 10.0)
            await anyio.sleep(9.5)
            assert (first.late, second.late, second.settled.is_set(), intake.deliveries) == (False, False, False, 1)
            await anyio.sleep(1.0)
            assert second.late

    on_virtual_clock(main)


def test_whoever_waits_for_all_to_be_stored_waits_on_when_a_delivery_is_late() -> None:
    """So a process that ends does not leave before the ledger has what it took in."""

    async def main() -> None:
        offered = Offered()
        async with watched(offered) as intake:
            delivery = offer(intake, 2.0)
            ended: list[float] = []

            async def settled() -> None:
                await intake.settled()
                ended.append(anyio.current_time())

            async with anyio.create_task_group() as group:
                group.start_soon(settled)
                await anyio.sleep(8.0)
                assert delivery.late
                assert not ended
                offered.stored[0]()
            assert ended == [anyio.current_time()]
            assert (intake.deliveries, intake.events, intake.size) == (0, 0, 0)

    on_virtual_clock(main)


def test_closing_lets_those_go_who_wait_for_what_is_late() -> None:
    """What was given up is lost like all else that is under way then."""

    async def main() -> None:
        async with watched(Offered()) as intake:
            delivery = offer(intake, 2.0)
            await anyio.sleep(3.0)
            async with anyio.create_task_group() as group:
                group.start_soon(intake.settled)
                await anyio.sleep(1.0)
                intake.close()
            assert (delivery.late, delivery.lost) == (True, True)

    on_virtual_clock(main)
