"""A vendor that restarts under many live sessions: they come back in turn, not all at once, and nothing is missing.

How many knock when is proved on a virtual clock in tests/cli/test_sessions.py; here with real processes.
"""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from tests.support.live_scene import LiveVendor, live_scene
from tests.support.waiting import wait_until

SOURCES = 40
PER_S, TOGETHER = 50, 10
"""At most so many sessions are opened with one vendor in a second, and so many of them at once."""
BUSY = 0.5
"""Where a machine stands still for a moment, what was to come one after the other comes together."""
DOWN_S = 1.0

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(400)]


class Doorkeeper:
    """Notes how often somebody has knocked at a vendor's door, let in or not."""

    def __init__(self, vendor: LiveVendor) -> None:
        self._vendor = vendor
        self.seen: list[tuple[float, int]] = []

    async def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            asked = time.monotonic()
            counters = await self._vendor.counters()
            self.seen.append((asked, counters.get("sockets_opened", 0) + counters.get("sockets_refused", 0)))
            await anyio.sleep(0.02)

    def time_for(self, knocks: int, since: int) -> float:
        """How long it took from the first knock after look `since` until so many had come."""
        before = self.seen[since][1]
        first = max(at for at, count in self.seen if count == before)
        return next(at for at, count in self.seen if count >= before + knocks) - first


async def test_a_restart_of_the_vendor_is_no_storm_over_many_sources(tmp_path: Path) -> None:
    """Forty sessions of one vendor, at the start and after its restart: at most ten at once and fifty a second
    knock, all are live again, and all have what changed meanwhile."""
    options = {"companies": 1, "history": 2, "recent_samples": True}
    async with live_scene(tmp_path, {"support": ("pcvisit", options)}, seed=111) as scene:
        (support,) = scene.vendors
        for number in range(SOURCES):
            scene.listen(f"s{number}", support, history_fast_every_s=60.0, history_slow_every_s=86_400.0)
        door = Doorkeeper(support)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(door.watch)
            await scene.begin()
            least_s = (SOURCES - TOGETHER) / PER_S * BUSY
            started_s = door.time_for(SOURCES, 0)
            restarted = len(door.seen) - 1
            lives = len(scene.daemon.said("source.live"))
            await support.call("POST", "restart", {"seconds": DOWN_S})
            await support.call("POST", "change", {"n": 5})
            await wait_until(
                lambda: len(scene.daemon.said("source.live")) >= lives + SOURCES, 150, "all to be live again"
            )
            again_s = door.time_for(SOURCES, restarted)
            tasks.cancel_scope.cancel()
        print(f"{SOURCES} knocks took {started_s:.2f} s at the start, {again_s:.2f} s after the restart")
        assert started_s >= least_s
        assert again_s >= least_s
        counters = await support.counters()
        assert counters["sockets_opened"] >= 2 * SOURCES
        (await scene.verdict(passes=0)).must_be_faithful()
