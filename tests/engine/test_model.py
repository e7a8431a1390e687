"""Runner, differ and ledger together, against random histories and random misfortune.

Edits, A → B → A, ties, late rows, deletes; pushes dropped, doubled and reordered; lost acknowledgements, refused
and lost writes, cut connections; the process dying at any of its steps. Afterwards: every state that the vendor can
still tell of is in the stream, nothing twice, in order, and the view equals the vendor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from random import Random

import anyio
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_ledger import Fault
from tests.support.thorough import tries

EXAMPLES = int(os.environ.get("BRIDGED_MODEL_EXAMPLES", tries(15, 100)))

edits = st.tuples(
    st.floats(0.0, 25.0),
    st.sampled_from(["put", "put", "put", "late", "tie", "drop", "hang_up", "away", "cut"]),
    st.sampled_from("abcdefgh"),
    st.sampled_from("123"),
)
vendor_faults = st.sampled_from(
    [None, None, None, sim.status(500), sim.status(410), sim.garbage, sim.stuck, sim.loading, sim.status(401)]
)
ledger_faults = st.lists(st.sampled_from([None, None, None, *Fault]), max_size=12)


@dataclass
class Misfortune:
    """What goes wrong, and when."""

    live: bool
    versioned: bool
    deletes: bool
    slow_walk: bool
    page_size: int
    edits: list[tuple[float, str, str, str]]
    vendor_faults: list[object] = field(default_factory=list)
    append_faults: list[Fault | None] = field(default_factory=list)
    commit_faults: list[Fault | None] = field(default_factory=list)
    crash_at: set[int] = field(default_factory=set)
    pushes: int = 0
    latency_s: float = 0.0


misfortunes = st.builds(
    Misfortune,
    live=st.booleans(),
    versioned=st.booleans(),
    deletes=st.booleans(),
    slow_walk=st.booleans(),
    page_size=st.integers(1, 5),
    edits=st.lists(edits, min_size=1, max_size=25),
    vendor_faults=st.lists(vendor_faults, max_size=20),
    append_faults=ledger_faults,
    commit_faults=ledger_faults,
    crash_at=st.sets(st.integers(1, 250), max_size=6),
    pushes=st.integers(0, 1_000_000),
    latency_s=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
)


@settings(
    max_examples=EXAMPLES,
    derandomize="BRIDGED_MODEL_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(misfortunes)
def test_nothing_lost_nothing_doubled_in_order(fate: Misfortune) -> None:
    """Whatever happens, the stream ends as the vendor's history says, each change once and in order."""
    bench = Bench(
        live=fate.live,
        versioned=fate.versioned,
        deletes=fate.deletes,
        slow_walk=fate.slow_walk,
        page_size=fate.page_size,
    )
    if not fate.deletes:
        fate.edits = [edit for edit in fate.edits if edit[1] != "drop"]
    bench.vendor.faults.extend(fate.vendor_faults)  # type: ignore[arg-type]
    bench.ledger.append_faults.extend(fate.append_faults)
    bench.ledger.commit_faults.extend(fate.commit_faults)
    bench.ledger.latency_s = fate.latency_s
    bench.crash_at(fate.crash_at)
    chance = Random(fate.pushes)
    held: list[object] = []

    def push(row: object) -> list[object]:
        """Withhold, double or delay a push. Only versioned records may arrive out of order and be put right at once."""
        roll = chance.random()
        if roll < 0.2:
            return []
        if roll < 0.4:
            return [row, row]
        if roll < 0.6 and fate.versioned:
            held.append(row)
            return []
        out = [row, *held]
        held.clear()
        return out

    bench.vendor.push = push

    async def script() -> None:
        for wait, what, id_, value in fate.edits:
            await anyio.sleep(wait)
            if what == "drop":
                bench.vendor.drop(id_)
            elif what == "hang_up":
                bench.vendor.hang_up()
            elif what == "away":
                bench.ledger.go_away()
                await anyio.sleep(wait)
                bench.ledger.come_back()
            elif what == "cut":
                bench.ledger.drop_connection()
            elif bench.vendor.things.get(id_, None) is None or bench.vendor.things[id_].value != value:
                position = {"late": 1, "tie": 5}.get(what)
                bench.vendor.put(id_, value, position=position)
        # Misfortune ends. An hour is what the longest back-off needs; most runs settle at once.
        bench.vendor.faults.clear()
        bench.ledger.append_faults.clear()
        bench.ledger.commit_faults.clear()
        bench.crash_at(set())
        await anyio.sleep(1)
        bench.runner.wake()
        for _ in range(60):
            await anyio.sleep(60)
            if bench.settled():
                break
        await anyio.sleep(150)

    on_virtual_clock(lambda: bench.during(script))
    note(f"told {bench.values()}")
    note(f"issued {bench.vendor.history}")
    bench.check(ordered=fate.versioned or not fate.live)
