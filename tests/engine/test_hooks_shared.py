"""Several instances take webhooks for one source at once, on a virtual clock: no lease, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import anyio
import pytest

from bridge.core.lifecycle import State
from bridge.engine.tenancy import Lease, Measure
from tests.support.engine import on_virtual_clock
from tests.support.hook_rig import Instance, order, settings, signed
from tests.support.hook_storm import Told, deliveries, judge, rage
from tests.support.memory_ledger import Fault, MemoryLedger
from tests.support.thorough import tries


class NoLeases:
    """Whoever asks for a lease has misunderstood."""

    async def take(self, source: str, held: Callable[[str], None], measure: Measure | None = None) -> Lease:
        raise AssertionError(f"a lease was asked for source {source}")


def told(ledger: MemoryLedger) -> list[Told]:
    found = []
    for entry in ledger.events:
        _, vendor, _, entity, change, id_ = entry.subject.split(".")
        if vendor == "webhook":
            found.append(Told(entity, change, id_, entry.headers.get("Bridge-Version")))
    return found


def test_both_are_open_at_once_without_a_lease() -> None:
    """What one has stored the other knows, though it was opened before that."""

    async def main() -> None:
        ledger = MemoryLedger()
        north, south = (Instance(ledger, settings(), tenancies=NoLeases(), owner=name) for name in ("north", "south"))
        async with north.running(), south.running():
            assert (await north(signed("msg_1", {"type": "ping"}))).status == 202
            assert (await south(signed("msg_1", {"type": "ping"}))).status == 202
            assert [one.runner.facts().counts.duplicates for one in (north, south)] == [0, 1]
            assert (await north(signed("msg_2", order("7", 1)))).status == 202
            assert (await south(signed("msg_3", order("7", 2)))).status == 202
            assert (await north(signed("msg_2", order("7", 1)))).status == 202
            assert (await north(signed("msg_4", order("7", 3, gone=True)))).status == 202
            assert (await south(signed("msg_3", order("7", 2)))).status == 202
            assert [north.runner.status.state, south.runner.status.state] == [State.LIVE, State.LIVE]
        changes = [(one.entity, one.change) for one in told(ledger)]
        # Also where only the version is new: else one in between could come late, and count.
        assert changes == [("ping", "occurred"), ("order", "created"), ("order", "updated"), ("order", "deleted")]
        assert ledger.opened == 2, "neither was thrown out by the other"
        own = [entry.subject for entry in ledger.events if entry.subject.startswith("events.bridge.")]
        assert own == ["events.bridge.shop.source.connected.shop"], "both have said it, and it is one event"

    on_virtual_clock(main)


@pytest.mark.parametrize("seed", range(tries(2, 8)))
def test_a_storm_over_two_instances(seed: int) -> None:
    """Shuffled, repeated, spread over both; answers and connections are lost: each once, the newest state last."""

    async def main() -> None:
        random = Random(seed)
        ledger = MemoryLedger()
        ledger.latency_s = 0.01
        instances = [Instance(ledger, settings(), tenancies=NoLeases()) for _ in range(2)]
        faults = [None] * 30 + [
            Fault.UNKNOWN_STORED,
            Fault.UNKNOWN_LOST,
            Fault.STALE,
            Fault.AWAY_STORED,
            Fault.AWAY_LOST,
        ]
        ledger.append_faults.extend(random.choice(faults) for _ in range(300))
        what = deliveries(300, random)
        async with instances[0].running(), instances[1].running(), anyio.create_task_group() as group:

            async def blackout() -> None:
                await anyio.sleep(1.0)
                ledger.go_away()
                await anyio.sleep(7.0)
                ledger.come_back()

            group.start_soon(blackout)
            await rage(instances, what, random, at_once=20)
        judge(what, told(ledger))

    on_virtual_clock(main)
