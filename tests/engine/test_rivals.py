"""Two instances that both work for one source, as when a lease is lost and nobody has noticed yet."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from bridge.core.lifecycle import State
from tests.support.engine import Bench, on_virtual_clock


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("live", [True, False])
def test_rivals_neither_double_nor_overwrite(seed: int, live: bool) -> None:
    """Both read, both are pushed to, both write: each change is in the stream once and in order.

    Deletions need two passes in a row that nobody disturbs: whoever is left finds them.
    """
    chance = Random(seed)
    ours = Bench(live=live, versioned=live, deletes=True, slow_walk=True)
    theirs = Bench(live=live, versioned=live, deletes=True, slow_walk=True)
    theirs.ledger, theirs.vendor = ours.ledger, ours.vendor
    theirs._world = ours._world
    ours.ledger.latency_s = 0.05 * (seed % 3)
    for name in "abcdefgh":
        ours.vendor.put(name, "0")

    async def script(edited: anyio.Event) -> None:
        for step in range(60):
            await anyio.sleep(chance.random() * 8)
            name = chance.choice("abcdefgh")
            if chance.random() < 0.15:
                ours.vendor.drop(name)
            else:
                ours.vendor.put(name, f"{step + 1}")
            if chance.random() < 0.1:
                ours.vendor.hang_up()
        edited.set()
        await anyio.sleep(600)
        assert ours.runner.status.state is State.LIVE

    async def both() -> None:
        edited = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(ours.during, lambda: script(edited))
            async with anyio.create_task_group() as rival:
                rival.start_soon(theirs.run)
                await edited.wait()
                rival.cancel_scope.cancel()

    on_virtual_clock(both)
    assert ours.ledger.refused > 0
    ours.check()
