"""The first reading of a source: seen to advance, gone on with after a SIGKILL, and never mistaken for news."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.core.bookmark import RESUME_S
from tests.support import sim_collection as sim
from tests.support.engine import on_virtual_clock
from tests.support.sim_collection import CollectionBench
from tests.support.waiting import wait_until


def pages(bench: CollectionBench, since: int = 0) -> list[tuple[Any, int]]:
    """(position, page size) of what was asked for."""
    return [(asked["at"], asked["size"]) for asked in bench.vendor.asked[since:] if "at" in asked]


def test_it_is_seen_to_advance() -> None:
    """Rows and the vendor's total, in the status and in the cursor, and one line for ten pages; no longer once done."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(100)

    async def script() -> None:
        await bench.request(25)
        rows, total = bench.runner.status.progress["things"]
        assert (rows, total) == (72, 100)
        assert (bench.cursor()["rows"], bench.cursor()["total"]) == (72, 100)
        await bench.passes(0)
        assert bench.runner.status.progress == {}

    with capture_logs() as logs:
        on_virtual_clock(bench.during(script))
    told = [entry for entry in logs if entry["event"] == "walk.progress"]
    assert [(entry["rows"], entry["total"], entry["pages"], entry["log_level"]) for entry in told] == [
        (30, 100, 10, "info"),
        (60, 100, 20, "info"),
        (90, 100, 30, "info"),
    ]
    assert {(entry["walk"], entry["source"]) for entry in told} == {("things", "acme")}


@pytest.mark.parametrize("style", ["page", "offset", "token", "relay"])
@pytest.mark.parametrize("after", [1, 2, 5, 8])
def test_it_goes_on_where_it_was_killed(style: str, after: int) -> None:
    """Again and again: no page is read twice but the one under way; nothing is news; and the sizes of pages alternate
    from one pass to the next, but never within one."""
    bench = CollectionBench(style=style, page_size=3)
    bench.vendor.fill(30)

    async def script() -> None:
        for number in (after, after + 3):
            await bench.request(number)
            bench.crash()
            await wait_until(lambda: bench.crashes, 100)
            bench.crashes = 0
        await bench.passes(0)
        first = len(bench.vendor.asked)
        assert len(pages(bench)) <= 11 + 2
        assert {size for _, size in pages(bench)} == {3}
        await bench.passes(1)
        assert {size for _, size in pages(bench, first)} == ({2} if style == "page" else {3})
        bench.vendor.put(31, "1")
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert sorted(bench.changes()[:30]) == sorted((f"{id_}", "snapshot") for id_ in range(1, 31))
    assert bench.changes(30) == [("31", "created")]
    assert bench.folded() == bench.state()


def test_a_pass_with_other_pages_keeps_to_them_when_it_begins_anew() -> None:
    """Killed in the middle of its second pass, it does not go back to the pages of the first."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(12)

    async def script() -> None:
        await bench.passes(0)
        first = len(bench.vendor.asked)
        for id_ in range(1, 13):
            bench.vendor.put(id_, "2")
        await bench.request(first + 3)
        bench.crash()
        await bench.passes(0)
        assert bench.crashes == 1
        assert {size for _, size in pages(bench, first)} == {2}
        first = len(bench.vendor.asked)
        await bench.passes(1)
        assert {size for _, size in pages(bench, first)} == {5}

    on_virtual_clock(bench.during(script))
    assert bench.folded() == bench.state()


def test_what_was_cut_off_long_ago_begins_anew() -> None:
    """After a day a position says little."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(30)

    async def script() -> None:
        await bench.request(5)
        bench.ledger.go_away()
        await anyio.sleep(RESUME_S)
        before = len(bench.vendor.asked)
        bench.ledger.come_back()
        await bench.passes(0)
        assert pages(bench, before)[0][0] is None

    on_virtual_clock(bench.during(script))
    assert {change for _, change in bench.changes()} == {"snapshot"}


def test_a_position_means_nothing_to_a_walk_that_asks_otherwise() -> None:
    """Another page size in the configuration: the page numbers of the old one lead elsewhere."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(30)

    async def script() -> None:
        await bench.request(5)
        bench.settings = sim.CollectionSettings(name="acme", adapter="sim", page_size=7)
        bench.crash()
        await wait_until(lambda: bench.crashes, 100)
        before = len(bench.vendor.asked)
        await bench.passes(0)
        assert pages(bench, before)[0] == (None, 7)

    on_virtual_clock(bench.during(script))
    assert {change for _, change in bench.changes()} == {"snapshot"}
    assert bench.folded() == bench.state()


def test_a_position_the_vendor_has_forgotten_begins_anew() -> None:
    """A page that leads nowhere is not asked for again for ever."""
    bench = CollectionBench(style="relay", page_size=3)
    bench.vendor.fill(30)

    async def script() -> None:
        await bench.request(5)
        bench.crash()
        await wait_until(lambda: bench.crashes, 100)
        bench.vendor.faults.extend([sim.status(400)] * 3)
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert bench.folded() == bench.state()


def test_what_was_deleted_while_nobody_looked_is_found_by_whole_passes() -> None:
    """A first reading that was gone on with has not seen what was read before: it proves nothing but what it shows."""
    bench = CollectionBench(style="relay", page_size=3)
    bench.vendor.fill(12)

    async def script() -> None:
        await wait_until(lambda: len(bench.things()) >= 6, 100)
        bench.crash()
        await wait_until(lambda: bench.crashes, 100)
        bench.vendor.drop(2)
        await bench.passes(1)
        assert ("2", "deleted") not in bench.changes()
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert bench.changes()[-1] == ("2", "deleted")
    assert bench.folded() == bench.state()
