"""Deletes that are suspiciously many: held back until an operator agrees to just those."""

from __future__ import annotations

import pytest

from tests.support.engine import on_virtual_clock
from tests.support.sim_collection import CollectionBench, sizes


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
