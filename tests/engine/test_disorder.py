"""Pushes that are withheld, doubled and overtake one another, over queries that lag, from records without version."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.adapter import Json, Token, Walk
from tests.support.desk import Desk, thing
from tests.support.engine import on_virtual_clock
from tests.support.laggard import Facts, Laggard
from tests.support.thorough import tries

SEEDS = int(os.environ.get("BRIDGED_DISORDER_SEEDS", tries(2, 8)))


class Disorderly(Facts):
    lag_s = 10.0
    push_disorder_s = 2.0


def quiet(bench: Laggard) -> None:
    bench.vendor.push = lambda row: []


def test_a_push_that_tells_a_state_just_left_is_no_news() -> None:
    """It was doubled, and came late."""
    bench = Laggard(0, facts=Disorderly, every_s=5_000.0)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(100)
        late = bench.vendor.things["a"].row()
        bench.vendor.put("a", "2")
        await anyio.sleep(5)
        bench.vendor.offer(late)
        await anyio.sleep(20)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_of_two_pushes_in_a_moment_the_second_is_a_reason_to_read() -> None:
    """They may have changed places; the vendor's own word is asked for at once, not when it is due."""
    bench = Laggard(0, facts=Disorderly, every_s=5_000.0)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(100)
        quiet(bench)
        bench.vendor.put("a", "2")
        older = bench.vendor.things["a"].row()
        bench.vendor.put("a", "3")
        bench.vendor.offer(bench.vendor.things["a"].row())
        bench.vendor.offer(older)
        await anyio.sleep(20)
        bench.vendor.put("a", "4")
        bench.vendor.offer(bench.vendor.things["a"].row())
        bench.vendor.put("a", "5")
        bench.vendor.offer(bench.vendor.things["a"].row())
        await anyio.sleep(20)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["1", "3", "4", "5"]}
    bench.check()


def test_what_returns_to_a_former_state_is_told_when_it_is_sure() -> None:
    """A to B and back to A within a moment: late, and not lost."""
    bench = Laggard(0, facts=Disorderly, every_s=5_000.0)

    async def script() -> None:
        for value in "ABA":
            bench.vendor.put("a", value)
            await anyio.sleep(5)
        await anyio.sleep(20)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["A", "B", "A"]}


@settings(max_examples=SEEDS, derandomize="BRIDGED_DISORDER_SEEDS" not in os.environ, deadline=None, database=None)
@given(st.integers(0, 1 << 32))
@example(41415)
def test_in_any_disorder_the_stream_is_what_the_vendor_issued(seed: int) -> None:
    """Every state told is one the vendor had, in its order, none twice; the last of each thing is told."""
    chance = Random(seed)
    lags = [chance.choice([0.0, 1.0, 2.0, 9.0]) for _ in range(3)]
    bench = Laggard(*lags, facts=Disorderly, every_s=chance.choice([20.0, 5_000.0]))
    slowest = chance.choice([0.0, 8.0])
    bench.replicas.takes = lambda: chance.uniform(0.0, slowest)
    group: TaskGroup | None = None

    async def later(delay: float, row: Json) -> None:
        await anyio.sleep(delay)
        bench.vendor.offer(row)

    def push(row: Json) -> list[Json]:
        assert group is not None
        roll = chance.random()
        if roll < 0.2:
            return []
        if roll < 0.4:
            group.start_soon(later, chance.choice([0.01, 1.5, 1.9]), row)
        elif roll < 0.6:
            group.start_soon(later, chance.uniform(0.0, 1.9), row)
            return []
        return [row]

    bench.vendor.push = push

    async def script() -> None:
        nonlocal group
        async with anyio.create_task_group() as group:
            for number in range(60):
                bench.vendor.put(chance.choice("abcd"), f"{number}")
                await anyio.sleep(chance.choice([0.0, 0.1, 1.0, 1.0, 7.0]))
                if chance.random() < 0.1:
                    bench.vendor.hang_up()
        # Where nothing was pushed nothing hurries: the next reading of everything tells.
        await anyio.sleep(5_300)

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_a_push_that_no_reading_can_judge_is_believed_after_a_while() -> None:
    """The collection does not show the thing any more: what was pushed last is all there is."""
    bench = Laggard(0, facts=Disorderly, every_s=5_000.0)

    async def script() -> None:
        bench.vendor.put("a", "1")
        await anyio.sleep(100)
        bench.replicas.hidden = {"a"}
        for value in "234":
            bench.vendor.put("a", value)
        await anyio.sleep(15)
        assert bench.values() == {"a": ["1", "2"]}
        await anyio.sleep(40)
        assert bench.values() == {"a": ["1", "2", "4"]}

    on_virtual_clock(lambda: bench.during(script))
    bench.check()


def test_what_cannot_be_read_at_all_is_believed_at_once() -> None:
    """Of such things a push is all there ever is."""

    class Unread(Disorderly):
        def walks(self, token: Token) -> Sequence[Walk]:
            return [replace(walk, entity="other") for walk in super().walks(token)]

    bench = Laggard(0, facts=Unread, every_s=5_000.0)

    async def script() -> None:
        await anyio.sleep(10)
        for value in "123":
            bench.vendor.put("a", value)
        await anyio.sleep(1)

    on_virtual_clock(lambda: bench.during(script))
    assert bench.values() == {"a": ["1", "2", "3"]}


def test_a_push_that_waited_for_a_page_is_judged_after_it() -> None:
    """While a page says something newer of the entity, and is being stored, an older push may only wait."""
    desk = Desk()

    async def main() -> None:
        sequencer = await desk.open()
        sequencer.arrivals.prepare(lag_s=0.0, disorder_s=2.0, readable=["thing"])

        async def page(value: int) -> None:
            await desk.page(sequencer, thing("a", value), since=sequencer.arrivals.tick())

        await page(1)
        await anyio.sleep(10)
        await page(2)
        desk.ledger.latency_s = 0.05
        async with anyio.create_task_group() as group:
            group.start_soon(page, 3)
            await anyio.sleep(0.01)
            await sequencer.live([thing("a", 2)])

    on_virtual_clock(main)
    assert [value for _, _, value in desk.told()] == [1, 2, 3]


def test_what_a_slow_answer_contradicts_is_remembered_until_it_is_there() -> None:
    """It shows what was before the push, as it may; however long it was on its way, that is no news."""
    desk = Desk()

    async def main() -> None:
        sequencer = await desk.open()
        sequencer.arrivals.prepare(lag_s=3.0, disorder_s=2.0, readable=["thing"])
        await sequencer.live([thing("a", 1), thing("b", 1)])
        await anyio.sleep(10)
        await sequencer.live([thing("a", 2)])
        await anyio.sleep(1)
        began, asked_at = sequencer.arrivals.tick(), sequencer.arrivals.asked()
        await anyio.sleep(8)
        await sequencer.live([thing("b", 2)])
        await desk.page(sequencer, thing("a", 1), since=began, asked_at=asked_at, lag_s=3.0)

    on_virtual_clock(main)
    assert desk.told() == [("a", "created", 1), ("b", "created", 1), ("a", "updated", 2), ("b", "updated", 2)]


def test_pushes_are_as_far_apart_as_they_came_however_late_they_are_looked_at() -> None:
    """The ledger was slow: that the older of two changed places with the newer one is no less likely for it."""
    desk = Desk()

    async def main() -> None:
        sequencer = await desk.open()
        sequencer.arrivals.prepare(lag_s=0.0, disorder_s=2.0, readable=["thing"])
        await sequencer.live([thing("a", 1)])
        await anyio.sleep(10)
        came_at = anyio.current_time()
        await sequencer.live([thing("a", 3)], arrived_at=came_at)
        await anyio.sleep(5)
        assert await sequencer.live([thing("a", 2)], arrived_at=came_at + 0.5) == [thing("a", 2)]
        # What comes later than that is news, at whatever time it is looked at.
        assert await sequencer.live([thing("a", 4)], arrived_at=came_at + 2.5) == []

    on_virtual_clock(main)
    assert [value for _, _, value in desk.told()] == [1, 3, 4]


@pytest.mark.parametrize("by", ["page", "push"])
def test_what_a_page_wrote_that_was_cancelled_on_its_way_is_as_new_as_its_discovery(by: str) -> None:
    """It is in the stream, as a look tells, but not since when: what disagrees with it so soon may be older."""
    desk = Desk()

    async def main() -> None:
        sequencer = await desk.open()
        sequencer.arrivals.prepare(lag_s=3.0, disorder_s=2.0, readable=["thing"])
        await sequencer.live([thing("a", 1)])
        await anyio.sleep(10)
        with anyio.CancelScope() as scope:
            desk.ledger.on_step = lambda step: scope.cancel() if step == "commit.stored" else None
            await desk.page(sequencer, thing("a", 2), asked_at=sequencer.arrivals.asked(), lag_s=3.0)
        assert scope.cancelled_caught
        assert [value for _, _, value in desk.told()] == [1, 2]
        await anyio.sleep(0.5)
        if by == "page":
            await desk.page(sequencer, thing("a", 1), asked_at=sequencer.arrivals.asked(), lag_s=3.0)
        else:
            await sequencer.live([thing("a", 0)], arrived_at=anyio.current_time())

    on_virtual_clock(main)
    assert [value for _, _, value in desk.told()] == [1, 2]


def test_a_doubt_that_is_settled_at_once_ends_nothing() -> None:
    """A push is doubted, and a page speaks of it before whoever waits for doubts has looked; the next doubt is seen."""
    desk = Desk()

    async def main() -> None:
        sequencer = await desk.open()
        arrivals = sequencer.arrivals
        arrivals.prepare(lag_s=0.0, disorder_s=2.0, readable=["thing"])
        async with anyio.create_task_group() as group:
            group.start_soon(sequencer.relent)
            await anyio.sleep(1)
            note = desk.scribe.note(thing("a", 1), "live")
            arrivals.doubt(note)
            arrivals.spoken(note.key, anyio.current_time(), 0.0)
            await anyio.sleep(1)
            arrivals.doubt(desk.scribe.note(thing("b", 2), "live"))
            await anyio.sleep(30)
            group.cancel_scope.cancel()

    on_virtual_clock(main)
    assert desk.told() == [("b", "created", 2)]


def test_a_page_that_is_passed_over_settles_no_doubt() -> None:
    """A long pass leaves alone what was pushed since it began, so what it says of that decides nothing: neither of a
    push that was doubted, nor of one that waits to be looked at."""
    desk = Desk()
    waiting: list[bool] = []

    async def main() -> None:
        sequencer = await desk.open()
        arrivals = sequencer.arrivals
        arrivals.prepare(lag_s=0.0, disorder_s=2.0, readable=["thing"])
        await sequencer.live([thing("a", 1)])
        await anyio.sleep(10)
        began = arrivals.tick()
        await sequencer.live([thing("a", 2)])
        await anyio.sleep(0.5)
        assert await sequencer.live([thing("a", 3)]) == [thing("a", 3)]
        arrived_at = anyio.current_time()
        arrivals.waiting_since = lambda: arrived_at
        await anyio.sleep(1)
        await desk.page(sequencer, thing("a", 3), since=began, asked_at=anyio.current_time())
        waiting.append(sequencer.outdated(thing("a", 4), arrived_at))
        async with anyio.create_task_group() as group:
            group.start_soon(sequencer.relent)
            await anyio.sleep(30)
            group.cancel_scope.cancel()

    on_virtual_clock(main)
    assert [value for _, _, value in desk.told()] == [1, 2, 3]
    assert waiting == [False]
