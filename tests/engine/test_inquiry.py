"""Deletes that are asked for one by one: whom two looks did not find is asked for by id."""

from __future__ import annotations

from structlog.testing import capture_logs

from bridge.adapter import Request, Response
from tests.support import sim_collection as sim
from tests.support.engine import Crash, on_virtual_clock
from tests.support.sim_collection import CollectionBench


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


def test_a_death_amid_the_questions_costs_one_pass() -> None:
    """The pass is complete and its cursor says so, the last answer has not come: whoever comes next looks once more,
    asks for all of them again, and each deletion is told once."""
    bench = CollectionBench(confirms=True, page_size=30)
    bench.vendor.fill(20)

    def dies(vendor: sim.CollectionVendor, request: Request, response: Response) -> Response:
        raise Crash

    async def script() -> None:
        await bench.passes(0)
        for id_ in (2, 4):
            bench.vendor.drop(id_)
        await bench.passes(1)
        before = bench.cursor()["completed_ms"]
        bench.vendor.by_id_faults.extend([None, None, dies])
        await bench.passes(1)
        assert bench.crashes == 1
        assert bench.cursor()["completed_ms"] > before
        assert bench.changes(20) == []
        await bench.passes(1)

    on_virtual_clock(bench.during(script))
    assert sorted(bench.changes(20)) == [("2", "deleted"), ("4", "deleted")]
    bench.check_deletes()


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
