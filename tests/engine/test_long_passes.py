"""Passes that take longer than the source lives: from one restart to the next, or while it has its lease."""

from __future__ import annotations

import anyio
import pytest

from tests.support.engine import on_virtual_clock
from tests.support.sim_collection import CollectionBench
from tests.support.waiting import wait_until

LATENCY_S = 10.0


def long(**settings: object) -> CollectionBench:
    """A hundred seconds for ten pages, and that over and over."""
    bench = CollectionBench(page_size=3, every_s=100.0, **settings)
    bench.vendor.fill(30)
    return bench


async def lives(bench: CollectionBench, count: int, life_s: float) -> None:
    """So many lives, each cut off after so long."""
    bench.crashes = 0
    for number in range(1, count + 1):
        await anyio.sleep(life_s)
        bench.crash()
        await wait_until(lambda number=number: bench.crashes == number, 1_000)


@pytest.mark.parametrize("style", ["page", "offset", "token", "relay"])
def test_what_lies_at_the_end_is_read_some_time(style: str) -> None:
    """Though each life ends before a pass does, and nothing else changes whose write would tell how far it came."""
    bench = long(style=style)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.latency_s = LATENCY_S
        bench.vendor.put(30, "2")
        await lives(bench, 5, 130.0 if style == "page" else 90.0)

    on_virtual_clock(bench.during(script))
    assert bench.changes(30) == [("30", "updated")]


def test_a_pass_that_was_cut_off_once_begins_anew() -> None:
    """Where lives are longer than passes, whole ones prove who is gone, as ever."""
    bench = long(style="relay")

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.latency_s = LATENCY_S
        await anyio.sleep(100.0)
        bench.vendor.drop(30)
        for _ in range(2):
            await lives(bench, 1, 80.0)
            await anyio.sleep(110.0)

    on_virtual_clock(bench.during(script))
    assert bench.changes(30) == [("30", "deleted")]


@pytest.mark.parametrize("totals", [True, False])
def test_ends_of_passes_prove_who_is_gone_from_them(totals: bool) -> None:
    """Of what an earlier life has read they say nothing, though it be listed in another part, among what they show."""
    bench = long(parts=True, totals=totals)
    for id_ in range(2, 31, 2):
        bench.vendor.turn(id_)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.latency_s = LATENCY_S
        await lives(bench, 5, 120.0)
        assert bench.changes(30) == []
        bench.vendor.drop(28)
        await lives(bench, 8, 120.0)

    on_virtual_clock(bench.during(script))
    assert bench.changes(30) == [("28", "deleted")]
    assert bench.folded() == bench.state()


def test_a_row_that_slipped_past_the_place_gone_on_from_is_read_soon() -> None:
    """Rows that were read are removed while nobody is there, so the rest moves up: the pass that goes on misses some,
    and another follows at once, not when the next is due."""
    bench = CollectionBench(page_size=3, every_s=50_000.0, style="offset")
    bench.vendor.fill(30)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.latency_s = LATENCY_S
        await anyio.sleep(50_000.0)
        # One is cut off and begins anew, the one after it goes on.
        await lives(bench, 2, 75.0)
        for id_ in (1, 2, 3):
            bench.vendor.drop(id_)
        for id_ in range(10, 31):
            bench.vendor.put(id_, "2")
        await anyio.sleep(400.0)

    on_virtual_clock(bench.during(script))
    assert {id_ for id_, change in bench.changes(30) if change == "updated"} == {str(id_) for id_ in range(10, 31)}
