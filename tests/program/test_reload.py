"""The configuration changed under load: by SIGHUP, with real vendors, and their ledgers as the judge."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_scene import LiveScene, LiveVendor, live_scene
from tests.support.program import elapse
from tests.support.reloads import sighup

SEED = 101
ROUNDS = 4
SIZE: dict[str, Any] = {"companies": 1, "history": 5, "recent_samples": True}
MOVING = ("north", "east", "south", "west")
"""Sources that come, go and change; `steady` does none of that."""

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


class Moving:
    """What the moving sources are configured as now."""

    def __init__(self, scene: LiveScene, steady: LiveVendor, busy: LiveVendor) -> None:
        self._scene = scene
        self._steady = steady
        self._busy = busy
        self.pages = dict.fromkeys(MOVING, 40)
        """Page sizes of those that are configured, which is what changes."""

    def roll(self, dice: random.Random) -> None:
        """Each stays, is changed, or goes; or comes back."""
        for name in MOVING:
            if name not in self.pages:
                if dice.random() < 0.6:
                    self.pages[name] = 40
            elif (chance := dice.random()) < 0.3:
                del self.pages[name]
            elif chance < 0.6:
                self.pages[name] += 1

    def all(self) -> None:
        """All of them are there."""
        self.pages = {**dict.fromkeys(MOVING, 40), **self.pages}

    def write(self) -> None:
        """Into the file."""
        self._scene.clear()
        self._scene.listen("steady", self._steady)
        for name, size in self.pages.items():
            self._scene.listen(name, self._busy, history_page_size=size)
        self._scene.write()


async def test_reloaded_again_and_again_under_load_nothing_is_lost_and_untouched_sockets_stay(tmp_path: Path) -> None:
    """Sources are added, removed and changed at random while the vendors change things. Each source tells every change
    once, and the one that was never touched has had one socket from beginning to end."""
    dice = random.Random(SEED)
    vendors = {"calm": ("pcvisit", SIZE), "busy": ("pcvisit", SIZE)}
    async with live_scene(tmp_path, vendors, seed=71) as scene:
        calm, busy = scene.vendors
        moving = Moving(scene, calm, busy)
        moving.write()
        await scene.begin()
        for vendor in scene.vendors:
            await vendor.rate(10)
        for number in range(ROUNDS):
            moving.roll(dice)
            if number == ROUNDS - 1:
                moving.all()
            moving.write()
            if number % 3 == 1:
                # One that is asked for while another is under way is not lost.
                scene.daemon.send(signal.SIGHUP)
            await sighup(scene.daemon)
            await elapse(dice.uniform(0, 0.8))
        applied = scene.daemon.said("reload.applied")
        assert {name for line in applied for name in line["removed"]} == set(MOVING)
        assert {name for line in applied for name in line["changed"]} == set(MOVING)
        assert all("steady" in line["unchanged"] for line in applied)
        # What is still to be read must not grow faster than a slow machine reads it.
        await scene.calm()
        await scene.all_live()
        verdict = await scene.verdict()
        counters = await calm.counters()
        verdict.must_be_faithful()
        assert counters["sockets_opened"] == 1
        assert counters["sockets"] == 1
        assert (await busy.counters())["sockets_opened"] > len(MOVING)
        assert len(verdict.of("steady")) > 20
        assert await scene.daemon.terminate() == 0
