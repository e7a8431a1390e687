"""Deletes that cannot lie: proof by ranges, and by two looks, of which a life may have only one."""

from __future__ import annotations

import dataclasses

import anyio
import pytest
from structlog.testing import capture_logs

from tests.support import sim_collection as sim
from tests.support.engine import Crash, on_virtual_clock
from tests.support.sim_collection import CollectionBench, sizes


def test_a_row_that_fell_between_two_pages_is_found_with_other_pages() -> None:
    """Pages of three end after the third row: the fourth, when it is gone, lies in no page's range, but in those of
    other pages. Two passes must have proven it absent, and one in between that could not does not count against it."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(1)
        bench.vendor.drop(4)
        for _ in range(2):
            await bench.passes(1)
            assert bench.changes(9) == []
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == [("4", "deleted")]
    assert sizes(bench) == [3, 2, 5, 3, 2]


def test_rows_that_move_between_two_requests_are_never_deleted() -> None:
    """A row before the page's end is deleted while the pass is under way, so the next page begins one row too late:
    the row that was skipped, in two passes in a row, is still there."""
    bench = CollectionBench(page_size=3, totals=False)
    bench.vendor.fill(12)
    vendor = bench.vendor

    async def script() -> None:
        await bench.passes(0)
        for victim in (1, 2):
            vendor.edits[vendor.requests + 2] = [lambda victim=victim: vendor.drop(victim)]  # type: ignore[misc]
            await bench.passes(1)
        await bench.passes(4)

    on_virtual_clock(bench.during(script))
    assert bench.changes(12) == [("1", "deleted"), ("2", "deleted")]


@pytest.mark.parametrize("fault", [sim.shuffled, sim.counts(1), sim.short])
def test_a_vendor_that_breaks_its_order_or_miscounts_proves_nothing_beyond_what_it_shows(fault: sim.Fault) -> None:
    """Rows out of order prove nothing at all; where fewer came than were counted, the ends prove nothing."""
    bench = CollectionBench(page_size=30)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.faults.extend([fault] * 100)
        bench.vendor.drop(9)
        await bench.passes(10)
        assert bench.changes(9) == []
        bench.vendor.faults.clear()
        await bench.passes(3)

    with capture_logs() as logs:
        on_virtual_clock(bench.during(script))
    assert bench.changes(9) == [("9", "deleted")]
    assert len([entry for entry in logs if entry["event"] == "walk.disordered"]) == (fault is sim.shuffled)


def test_a_vendor_that_sorts_otherwise_is_found_out() -> None:
    """Rows come by another order, and stand by their ids on each page only: nothing is told deleted, though rows move
    to pages that were read already, again and again."""
    bench = CollectionBench(page_size=10, totals=False)
    vendor = bench.vendor
    vendor.order = lambda id_: id_ * 7919 % 104_729
    vendor.fill(60)

    async def script() -> None:
        await bench.passes(0)
        for _ in range(10):
            first = sorted(vendor.rows, key=vendor.order)[0]
            vendor.edits[vendor.requests + 2] = [lambda first=first: vendor.drop(first)]  # type: ignore[misc]
            await bench.passes(1)

    with capture_logs() as logs:
        on_virtual_clock(bench.during(script))
    assert bench.changes(60) == []
    assert len([entry for entry in logs if entry["event"] == "walk.disordered"]) == 1


@pytest.mark.parametrize("covers", [True, False])
def test_what_was_perhaps_skipped_is_read_again_once(covers: bool) -> None:
    """The vendor counts one row more than it shows, for ever: one extra pass, then the usual pace. When it has
    counted rightly in between, one extra pass again."""
    bench = CollectionBench(page_size=30, covers=covers)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.faults.extend([sim.counts(1)] * 5)
        await bench.passes(4)
        assert len(sizes(bench)) == 1 + 4 + 1
        await bench.passes(2)
        bench.vendor.faults.extend([sim.counts(1)])
        await bench.passes(1)
        assert len(sizes(bench)) == 1 + 4 + 1 + 2 + 1 + 1

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == []


def test_a_listing_without_ranges_that_miscounts_proves_nothing() -> None:
    """Nobody knows which row was passed over."""
    bench = CollectionBench(page_size=30, covers=False)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.drop(5)
        bench.vendor.faults.extend([sim.counts(1)] * 100)
        await bench.passes(4)
        assert bench.changes(9) == []
        bench.vendor.faults.clear()
        await bench.passes(3)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == [("5", "deleted")]


def test_a_row_that_is_only_hidden_is_not_deleted() -> None:
    """Inactive rows are listed apart: a row that goes there is updated, one that is in neither part is deleted."""
    bench = CollectionBench(parts=True, page_size=2)
    bench.vendor.fill(6)
    bench.vendor.turn(2)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.turn(5)
        bench.vendor.drop(3)
        await bench.passes(4)

    on_virtual_clock(bench.during(script))
    assert sorted(bench.changes(6)) == [("3", "deleted"), ("5", "updated")]


def test_rows_on_two_pages_and_ids_of_two_types_are_one_row() -> None:
    """A row that comes twice is one, and its id may be a number or a text."""
    bench = CollectionBench(page_size=3)
    bench.vendor.fill(7)
    vendor = bench.vendor

    async def script() -> None:
        await bench.passes(0)
        # Row 0 pushes the others back by one: the last row of the first page is the first of the second.
        vendor.edits[vendor.requests + 2] = [lambda: vendor.put(0, "1")]
        await bench.passes(3)

    on_virtual_clock(bench.during(script))
    assert bench.changes(7) == [("0", "created")]
    bench.check_doubles()


@pytest.mark.parametrize("held", [False, True])
def test_who_comes_back_as_it_was_is_created(held: bool) -> None:
    """A row that was deleted, and told so, is news when it is there again with the same content; one that was
    absent once, or held back, is none."""
    bench = CollectionBench(page_size=30, delete_brake_count=0 if held else 10, delete_brake_share=0.1)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(2)
        bench.vendor.drop(5)
        await bench.passes(1)
        bench.vendor.put(5, "1")
        await bench.passes(2)
        assert bench.changes(9) == []
        bench.vendor.drop(5)
        await bench.passes(3)
        bench.vendor.put(5, "1")
        await bench.passes(3)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == ([] if held else [("5", "deleted"), ("5", "created")])


def test_a_probe_wakes_the_walk_it_names() -> None:
    """What it sees first is no reason; what differs from that is; and its rows are news at once."""
    bench = CollectionBench(probe=True, every_s=1000.0, page_size=30)
    bench.vendor.fill(5)

    async def script() -> None:
        await anyio.sleep(350)
        assert len([asked for asked in bench.vendor.asked if not asked.get("newest")]) == 1
        bench.vendor.put(3, "2")
        bench.vendor.put(6, "1")
        await anyio.sleep(120)
        assert len([asked for asked in bench.vendor.asked if not asked.get("newest")]) == 2
        await anyio.sleep(200)
        assert len([asked for asked in bench.vendor.asked if not asked.get("newest")]) == 2

    on_virtual_clock(bench.during(script))
    assert bench.changes(5) == [("6", "created"), ("3", "updated")]


def test_a_wish_outlives_the_process() -> None:
    """Evidence outlives the process, and so does a wish that it died with."""
    bench = CollectionBench(probe=True, every_s=1000.0, page_size=30)
    bench.vendor.fill(5)

    async def script() -> None:
        await anyio.sleep(50)
        bench.crash()
        await anyio.sleep(60)
        assert bench.crashes == 1
        bench.vendor.put(3, "2")
        bench.vendor.put(6, "1")

        def die(step: str) -> None:
            if step == "commit.stored":
                bench.ledger.on_step = lambda _: None
                raise Crash

        # The probe's cursor is stored, and the walk it wakes was not read.
        bench.ledger.on_step = die
        await anyio.sleep(120)
        assert bench.crashes == 2

    on_virtual_clock(bench.during(script))
    assert bench.changes(5) == [("6", "created"), ("3", "updated")]


@pytest.mark.parametrize("ahead_ms", [3_600_000, 10**12])
def test_a_wish_from_the_future_is_none(ahead_ms: int) -> None:
    """A clock was set back, or a foreign hand wrote it: the walk is not read over and over until that moment comes."""
    bench = CollectionBench(probe=True, every_s=1000.0, page_size=30)
    bench.vendor.fill(5)

    async def script() -> None:
        await anyio.sleep(350)
        cursor = bench.ledger.cursor("acme", "newest")
        bench.ledger.overwrite_cursor("acme", "newest", {**cursor, "woke_ms": cursor["completed_ms"] + ahead_ms})
        before = len(bench.vendor.asked)
        await anyio.sleep(500)
        assert len(bench.vendor.asked) - before < 15
        bench.vendor.put(6, "1")
        await anyio.sleep(150)
        assert bench.changes(5) == [("6", "created")]

    on_virtual_clock(bench.during(script))


# --- looks that a life is too short for ---


@pytest.mark.parametrize("confirms", [False, True])
def test_the_first_look_outlives_the_process(confirms: bool) -> None:
    """No life of the daemon lasts for two passes, which is every day's where they are hours apart: what one life's pass
    proved absent counts with the next one's. It is told once, and nothing of it stays in the cursor."""
    bench = CollectionBench(page_size=30, confirms=confirms)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.drop(4)
        for looks in range(1, 4):
            await bench.passes(1)
            assert bench.changes(9) == [("4", "deleted")] * (looks > 1)
            bench.crash()
        await bench.passes(1)
        assert bench.crashes == 3

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == [("4", "deleted")]
    assert set(bench.cursor()) == {"completed_ms", "completed", "page_size"}
    bench.check_deletes()


@pytest.mark.parametrize("page_size", [5, 30])
def test_who_was_seen_by_a_pass_that_was_cut_off_must_be_absent_twice_again(page_size: int) -> None:
    """Hidden from one look and shown again, to a pass that died with its next page or just after its last; then hidden
    once more: that is one look since it was seen, and no deletion."""
    bench = CollectionBench(page_size=page_size)
    bench.vendor.fill(9)
    rows = bench.vendor.rows

    def die(step: str) -> None:
        if step == "commit.stored":
            bench.ledger.on_step = lambda _: None
            raise Crash

    def hide() -> None:
        del rows[3]
        bench.crash()

    async def script() -> None:
        await bench.passes(0)
        row = rows.pop(3)
        await bench.passes(1)
        rows[3] = row
        if page_size == 5:
            bench.vendor.edits[bench.vendor.requests + 2] = [hide]
        else:
            bench.ledger.on_step = die
        await bench.passes(1)
        assert bench.crashes == 1
        if page_size == 30:
            del rows[3]
            await bench.passes(1)
        assert bench.changes(9) == []
        rows[3] = row
        await bench.passes(2)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == []


def test_who_was_seen_by_a_pass_that_was_given_up_must_be_absent_twice_again() -> None:
    """The same without any death: the vendor answers with one page twice, and the pass begins anew."""
    bench = CollectionBench(page_size=5)
    bench.vendor.fill(9)
    rows = bench.vendor.rows

    async def script() -> None:
        await bench.passes(0)
        row = rows.pop(3)
        await bench.passes(1)
        rows[3] = row
        bench.vendor.edits[bench.vendor.requests + 2] = [lambda: rows.__delitem__(3)]
        bench.vendor.faults.extend([None, sim.repeated])
        await bench.passes(1)
        assert [asked["at"] for asked in bench.vendor.asked[-5:]] == [None, 2, None, 2, 3]
        assert bench.changes(9) == []
        rows[3] = row
        await bench.passes(2)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == []


def test_another_way_of_looking_begins_anew() -> None:
    """The configuration was changed between two looks: the second is the first of its kind."""
    bench = CollectionBench(page_size=30)
    bench.vendor.fill(9)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.drop(4)
        await bench.passes(1)
        bench.settings = dataclasses.replace(bench.settings, every_s=90.0)
        bench.crash()
        await bench.passes(1)
        assert bench.crashes == 1
        assert bench.changes(9) == []
        await bench.passes(2)

    on_virtual_clock(bench.during(script))
    assert bench.changes(9) == [("4", "deleted")]
