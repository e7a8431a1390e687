"""Deletes that cannot lie: proof by ranges, two looks, a question by id, the brake, and an operator's word."""

from __future__ import annotations

import dataclasses

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.adapter import Request, Response
from tests.support import sim_collection as sim
from tests.support.engine import Crash, on_virtual_clock
from tests.support.sim_collection import CollectionBench


def sizes(bench: CollectionBench) -> list[int]:
    """The page size of each pass, by what was asked for on its first page."""
    return [asked["size"] for asked in bench.vendor.asked if "at" in asked and asked["at"] is None]


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


# --- asked for by id ---


def test_who_is_still_there_is_not_deleted() -> None:
    """A listing that leaves out a row for ever: it is asked for by id, found, and what it says is news."""
    bench = CollectionBench(style="offset", confirms=True, totals=False, page_size=30)
    bench.vendor.fill(5)

    def leaves_out(vendor: sim.CollectionVendor, request: Request, response: Response) -> Response:
        rows = [row for row in response.json["rows"] if int(row["id"]) != 3]
        return Response(200, {}, b"", {**response.json, "rows": rows})

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.faults.extend([leaves_out] * 100)
        bench.vendor.put(3, "2")
        bench.vendor.drop(4)
        await bench.passes(6)

    on_virtual_clock(bench.during(script))
    assert sorted(bench.changes(5)) == [("3", "updated"), ("4", "deleted")]
    # Once it was found it must be absent twice again.
    assert len([asked for asked in bench.vendor.asked if asked.get("id") == "3"]) == 3


def test_an_unclear_answer_deletes_nobody_and_fails_nothing() -> None:
    """The vendor breaks when it is asked by id: the pass is complete all the same, and after the next it is asked
    again."""
    bench = CollectionBench(confirms=True, page_size=30)
    bench.vendor.fill(20)

    async def script() -> None:
        await bench.passes(0)
        for id_ in (2, 4, 6, 8):
            bench.vendor.drop(id_)
        bench.vendor.by_id_faults.extend([None, sim.status(500), None, sim.status(500), sim.truncated])
        await bench.passes(2)
        assert bench.changes(20) == [("4", "deleted")]
        assert bench.runner.status.failures == 0
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert sorted(bench.changes(20)) == [(f"{id_}", "deleted") for id_ in (2, 4, 6, 8)]


def test_a_vendor_that_finds_nobody_by_id_proves_nobody_gone() -> None:
    """It answers 404 also for what its list has just shown, as where the path is wrong: that is said once, and nothing
    is told deleted until it finds them."""
    bench = CollectionBench(confirms=True, page_size=30)
    bench.vendor.fill(20)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.drop(4)
        bench.vendor.by_id_faults.extend([sim.status(404)] * 3)
        await bench.passes(4)
        assert bench.changes(20) == []
        await bench.passes(1)

    with capture_logs() as logs:
        on_virtual_clock(bench.during(script))
    assert bench.changes(20) == [("4", "deleted")]
    assert [entry["walk"] for entry in logs if entry["event"] == "inquiry.useless"] == ["things"]
    # The first to be asked for, each time, is one that is there.
    assert [asked["id"] for asked in bench.vendor.asked if "id" in asked] == ["1", "1", "1", "1", "4"]


def test_twenty_are_asked_for_after_one_pass() -> None:
    """The others after the next: a quota is not spent on one question."""
    bench = CollectionBench(confirms=True, page_size=500)
    bench.vendor.fill(300)

    async def script() -> None:
        await bench.passes(0)
        for id_ in range(100, 150):
            bench.vendor.drop(id_)
        for expected in (0, 20, 40, 50):
            await bench.passes(1)
            assert len(bench.changes(300)) == expected

    on_virtual_clock(bench.during(script))
    assert {change for _, change in bench.changes(300)} == {"deleted"}


# --- the brake ---


def blocked(bench: CollectionBench) -> list[tuple[str, object]]:
    """What was said of the source: the change, and how many deletes are held back (None: no word of it)."""
    return [
        (name.removeprefix("source."), [row["count"] for row in after["held"]] if "held" in after else None)
        for name, after in bench.own()
        if name.startswith("source.")
    ]


def accept(bench: CollectionBench) -> None:
    """What `bridged resync acme --accept-deletes` writes."""
    cursor = bench.cursor()
    bench.ledger.overwrite_cursor("acme", "things", {**cursor, "accepted": cursor["held"]})


def test_many_at_once_wait_for_an_operator_and_say_so() -> None:
    """Fifteen of forty: nothing is told deleted, `source.blocked` names walk, entity, number and what to do, once, also
    over a restart; when they come back `source.recovered` follows."""
    bench = CollectionBench(page_size=100)
    bench.vendor.fill(40)

    async def script() -> None:
        await bench.passes(0)
        kept = dict(bench.vendor.rows)
        for id_ in range(10, 25):
            bench.vendor.drop(id_)
        await bench.passes(5)
        bench.crash()
        await bench.passes(4)
        assert bench.crashes == 1
        assert bench.changes(40) == []
        assert blocked(bench) == [("connected", None), ("blocked", [15])]
        assert bench.runner.facts().deletes_held == 15
        bench.vendor.rows = kept
        await bench.passes(1)
        assert bench.runner.facts().deletes_held == 0

    on_virtual_clock(bench.during(script))
    assert bench.changes(40) == []
    assert blocked(bench) == [("connected", None), ("blocked", [15]), ("recovered", None)]
    after = bench.own()[1][1]
    assert (after["half"], after["held"]) == ("deletes", [{"walk": "things", "entity": "thing", "count": 15}])
    assert "15 of entity thing" in after["reason"]
    assert "bridged resync acme --accept-deletes" in after["reason"]
    assert set(bench.cursor()) == {"completed_ms", "completed", "page_size"}


def test_everything_at_once_is_held_however_few() -> None:
    """An empty answer is likelier than an empty vendor."""
    bench = CollectionBench(page_size=100)
    bench.vendor.fill(3)

    async def script() -> None:
        await bench.passes(0)
        bench.vendor.rows.clear()
        await bench.passes(4)

    on_virtual_clock(bench.during(script))
    assert bench.changes(3) == []
    assert blocked(bench)[-1] == ("blocked", [3])


@pytest.mark.parametrize(
    ("share", "count", "held"), [(0.2, 14, False), (0.5, 10, False), (0.2, 13, True), (0, 0, True)]
)
def test_the_brake_is_set_per_source(share: float, count: int, held: bool) -> None:
    """Fourteen of forty, against a share and a number."""
    bench = CollectionBench(page_size=100, delete_brake_share=share, delete_brake_count=count)
    bench.vendor.fill(40)

    async def script() -> None:
        await bench.passes(0)
        for id_ in range(10, 24):
            bench.vendor.drop(id_)
        await bench.passes(3)

    on_virtual_clock(bench.during(script))
    assert len(bench.changes(40)) == (0 if held else 14)


@pytest.mark.parametrize("confirms", [False, True])
@pytest.mark.parametrize("crash", [False, True])
def test_accepted_deletes_are_published_after_two_looks(confirms: bool, crash: bool) -> None:
    """At once, not after two intervals; also if the daemon dies meanwhile, and if all of them must be asked for by id,
    twenty after each pass. Then the brake is back."""
    bench = CollectionBench(page_size=100, confirms=confirms)
    bench.vendor.fill(100)

    async def script() -> None:
        await bench.passes(0)
        for id_ in range(10, 60):
            bench.vendor.drop(id_)
        await bench.passes(3)
        assert blocked(bench)[-1] == ("blocked", [50])
        asked = len(sizes(bench))
        accept(bench)
        if crash:
            bench.crash()
        await bench.passes(1)
        assert blocked(bench)[-1] == ("recovered", None)
        assert len(bench.changes(100)) == (20 if confirms else 50)
        assert len(sizes(bench)) - asked <= 4
        await bench.passes(4)
        assert len(bench.changes(100)) == 50
        assert {"held", "accepted"}.isdisjoint(bench.cursor())
        for id_ in range(60, 90):
            bench.vendor.drop(id_)
        await bench.passes(4)
        assert len(bench.changes(100)) == 50
        assert blocked(bench)[-1] == ("blocked", [30])

    on_virtual_clock(bench.during(script))
    bench.check_deletes()


def test_an_acceptance_lets_no_larger_set_through() -> None:
    """Fifteen were held and accepted; before it takes effect thirty more vanish: all wait, and it is said anew."""
    bench = CollectionBench(page_size=200)
    bench.vendor.fill(60)

    async def script() -> None:
        await bench.passes(0)
        for id_ in range(10, 25):
            bench.vendor.drop(id_)
        await bench.passes(3)
        for id_ in range(25, 55):
            bench.vendor.drop(id_)
        accept(bench)
        await bench.passes(5)
        assert bench.changes(60) == []
        assert blocked(bench) == [("connected", None), ("blocked", [15]), ("recovered", None), ("blocked", [45])]
        assert "accepted" not in bench.cursor()

    on_virtual_clock(bench.during(script))


def test_an_acceptance_ends_when_nothing_is_held_any_more() -> None:
    """Those that were accepted came back; others that vanish later meet the brake."""
    bench = CollectionBench(page_size=200)
    bench.vendor.fill(60)

    async def script() -> None:
        await bench.passes(0)
        kept = dict(bench.vendor.rows)
        for id_ in range(10, 25):
            bench.vendor.drop(id_)
        await bench.passes(3)
        accept(bench)
        bench.vendor.rows = dict(kept)
        await bench.passes(2)
        assert {"held", "accepted"}.isdisjoint(bench.cursor())
        for id_ in range(30, 45):
            bench.vendor.drop(id_)
        await bench.passes(4)
        assert bench.changes(60) == []
        assert blocked(bench)[-1] == ("blocked", [15])

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


def test_the_brake_holds_what_two_lives_have_missed() -> None:
    """Fifteen of forty, of which each life has one look, are held back; what is held leaves no list in the cursor."""
    bench = CollectionBench(page_size=100)
    bench.vendor.fill(40)

    async def script() -> None:
        await bench.passes(0)
        for id_ in range(10, 25):
            bench.vendor.drop(id_)
        await bench.passes(1)
        assert len(bench.cursor()["absent"]["ids"]) == 15
        bench.crash()
        await bench.passes(1)
        assert bench.crashes == 1

    on_virtual_clock(bench.during(script))
    assert bench.changes(40) == []
    assert blocked(bench)[-1] == ("blocked", [15])
    assert "absent" not in bench.cursor()


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
