"""Walks against random histories, faults of paging, and crashes: the sum of all events is the vendor's state.

Whatever is inserted, edited, deleted or hidden between any two requests, whatever pages repeat, miscount, break off or
come in disorder, and wherever the process dies: no deletion is told that was not true, nothing is told twice, and
once it is quiet the events add up to what the vendor has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.support import sim_collection as sim
from tests.support.engine import on_virtual_clock
from tests.support.sim_collection import CollectionBench
from tests.support.thorough import tries

EXAMPLES = int(os.environ.get("BRIDGED_WALK_EXAMPLES", tries(4, 15)))
ALWAYS = 500
"""A row that is never deleted: where everything is gone at once the brake holds, which is tested elsewhere."""
VALUES = ("1", "2")
"""So few that rows often become again what they were: what was passed over wrongly would stay wrong."""
TROUBLED, QUIET = 8, 9
"""So many intervals with changes and faults, and so many without, in which all must be found."""

broken: list[sim.Fault] = [sim.status(500), sim.truncated]
"""No answer at all."""
misleading: list[sim.Fault] = [sim.repeated, sim.short, sim.shuffled, sim.counts(1), sim.counts(3)]
"""Answers that are wrong, where totals tell that something is."""
lying: list[sim.Fault] = [sim.counts(-1), sim.counts(-3)]
"""Wrong, and nothing tells: only who asks for each row by its id is safe."""
once: list[sim.Fault] = [sim.once(sim.short), sim.once(sim.repeated)]
"""Nothing tells either, but it happens only once: whoever looks twice is safe."""


@dataclass(frozen=True)
class Kind:
    """How the collection is read, and what may go wrong there without a deletion being told that was none.

    `hides`: rows are deactivated, too.
    """

    settings: dict[str, object]
    faults: list[sim.Fault]
    hides: bool = False


KINDS = {
    "ranges": Kind({"style": "page"}, misleading),
    "ranges, no totals": Kind({"style": "page", "totals": False}, [*once, sim.shuffled]),
    "ranges in two parts": Kind(
        {"style": "page", "parts": True, "confirms": True, "page_size": 7}, misleading, hides=True
    ),
    "pages": Kind({"style": "page", "covers": False, "confirms": True}, [*misleading, *lying]),
    "offset, no totals": Kind({"style": "offset", "totals": False, "confirms": True}, misleading),
    "token": Kind({"style": "token"}, misleading),
    "relay, no totals": Kind({"style": "relay", "totals": False}, once),
}


@dataclass
class Fate:
    """`edits` and `faults`: how many of a hundred requests meet one. `crash_at`: at which steps the process dies."""

    seed: int
    page_size: int
    rows: int
    edits: int
    faults: int
    crash_at: set[int]


fates = st.builds(
    Fate,
    seed=st.integers(0, 2**32),
    page_size=st.sampled_from([4, 5, 7]),
    rows=st.integers(3, 25),
    edits=st.sampled_from([10, 40, 90]),
    faults=st.sampled_from([0, 10, 50]),
    crash_at=st.sets(st.integers(1, 300), max_size=3),
)


@pytest.mark.parametrize("name", KINDS)
def test_the_sum_of_all_events_is_the_vendor_s_state(name: str) -> None:
    """And no deletion was ever told that was not true, and nothing twice."""
    kind = KINDS[name]

    @settings(
        max_examples=EXAMPLES,
        derandomize="BRIDGED_WALK_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        # A history made from a seed does not become simpler with the seed.
        phases=[Phase.explicit, Phase.generate],
    )
    @given(fates)
    def judged(fate: Fate) -> None:
        run(kind, fate)

    judged()


def run(kind: Kind, fate: Fate) -> None:
    """One history, judged by the vendor's own account."""
    bench, chance = (
        CollectionBench(**{"page_size": fate.page_size, "delete_brake_count": 1000, **kind.settings}),
        Random(fate.seed),
    )
    vendor = bench.vendor
    for id_ in {*range(100, 100 + 3 * fate.rows, 3), ALWAYS}:
        vendor.put(id_, "1")

    def happens() -> None:
        if chance.randrange(100) < fate.edits:
            edit(vendor, chance, hides=kind.hides)
        faults = [*broken, *kind.faults * 2] if chance.randrange(100) < fate.faults else [None]
        vendor.faults.clear()
        vendor.faults.append(chance.choice(faults))
        vendor.by_id_faults.clear()
        vendor.by_id_faults.append(chance.choice(broken) if chance.randrange(100) < fate.faults else None)

    async def script() -> None:
        await bench.request(2)
        vendor.before = happens
        bench.crash_at({bench.steps + step for step in fate.crash_at})
        await bench.passes(TROUBLED)
        vendor.before = lambda: None
        # From now on a row that was passed over wrongly would be so for ever.
        vendor.retypes = False
        vendor.faults.clear()
        vendor.by_id_faults.clear()
        bench.crash_at(set())
        # The back-off after failures may have grown to minutes.
        bench.runner.wake()
        await bench.passes(QUIET)

    on_virtual_clock(bench.during(script))
    note(f"events {bench.changes()}")
    note(f"deaths {vendor.deaths}")
    bench.check_deletes()
    bench.check_doubles()
    assert bench.folded() == bench.state()


def edit(vendor: sim.CollectionVendor, chance: Random, *, hides: bool) -> None:
    """One change at the vendor: anywhere, or before all other rows, which moves them to other pages."""
    mortal = sorted(vendor.rows.keys() - {ALWAYS})
    what = chance.choice(
        ["edit", "drop", "drop first", "drop first", "first", "between", "last", "last", "back", "turn"]
    )
    if what == "turn" and hides:
        vendor.turn(chance.choice([*mortal, ALWAYS]))
    elif what == "drop" and mortal:
        vendor.drop(chance.choice(mortal))
    elif what == "drop first" and mortal:
        vendor.drop(mortal[0])
    elif what == "first":
        vendor.put(min(vendor.rows) - 1, "1")
    elif what == "last":
        vendor.put(max(vendor.rows) + 1, "1")
    elif what == "between" and mortal:
        vendor.put(chance.choice(mortal) + 1, chance.choice(VALUES))
    elif what == "back" and vendor.deaths:
        vendor.put(chance.choice(vendor.deaths)[1], chance.choice(VALUES))
    else:
        vendor.put(chance.choice([*mortal, ALWAYS]), chance.choice(VALUES))
