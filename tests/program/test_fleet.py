"""A thousand sources over three daemons on one nats-server: even, also when one dies and when it comes back, and each
at one of them at every moment.

Real processes. Each life of a daemon is told by the bucket of leases, which a witness reads in the order it was stored.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.fleet import LEASE_S, Fleet, fleet
from tests.support.program import elapse

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(1800)]

SOURCES = int(os.environ.get("BRIDGED_FLEET_SOURCES", "1000"))
START_S = 400.0
"""On a machine with more to do than it can; what it takes is printed."""
REST_S = 30.0


async def rest(scene: Fleet, what: str) -> None:
    """What it costs while nothing changes hands."""
    before = {name: scene.cpu_s(name) for name, one in scene.daemons.items() if one.running}
    asked, stored, start = await scene.vendor.requests(), scene.bucket.messages, time.monotonic()
    handovers = scene.bucket.handovers
    await elapse(REST_S)
    took_s = time.monotonic() - start
    for name, cpu_s in before.items():
        held = scene.bucket.of(scene.daemons[name])
        print(
            f"{what}: {name} holds {held}, {100 * (scene.cpu_s(name) - cpu_s) / took_s:.1f} % of a core, "
            f"{scene.rss_mb(name):.0f} MB"
        )
    requests, messages = await scene.vendor.requests() - asked, scene.bucket.messages - stored
    print(f"{what}: {requests / took_s:.1f} requests/s, {messages / took_s:.1f} messages/s in the bucket")
    assert scene.bucket.handovers == handovers, "something moved though all was even"


async def test_a_thousand_sources_over_three(tmp_path: Path) -> None:
    """They start one after the other, one is killed, one joins again, one stops in order."""
    async with fleet(tmp_path, SOURCES, ("north", "south", "west")) as scene:
        north, south, west = scene.daemons.values()
        north.start()
        print(f"\nfirst, alone: {await scene.shared_by('north', within_s=START_S):.1f} s")
        south.start()
        west.start()
        took_s = await scene.shared_by("north", "south", "west", within_s=START_S)
        print(f"two join: even after {took_s:.1f} s, {scene.bucket.handovers} handovers")
        assert scene.bucket.seized == []
        # Each of those that moved moved once, or a few twice where both joined at different moments.
        assert scene.bucket.handovers <= SOURCES
        await elapse(REST_S)
        await rest(scene, "at rest")

        dead = south.pid
        held, begun = scene.bucket.of(south), scene.bucket.handovers
        south.kill()
        took_s = await scene.shared_by("north", "west", within_s=LEASE_S + START_S)
        print(f"killed: {held} sources taken over after {took_s:.1f} s, {scene.bucket.handovers - begun} handovers")
        assert scene.bucket.handovers - begun == held
        assert {scene.bucket.lives[boot][1] for _, boot, _ in scene.bucket.seized} <= {dead}

        begun, seized = scene.bucket.handovers, len(scene.bucket.seized)
        south.start()
        took_s = await scene.shared_by("north", "south", "west", within_s=START_S)
        print(f"joined again: even after {took_s:.1f} s, {scene.bucket.handovers - begun} handovers")
        assert SOURCES // 3 <= scene.bucket.handovers - begun <= SOURCES // 3 + 5

        begun, held = scene.bucket.handovers, scene.bucket.of(west)
        assert await west.terminate() == 0
        took_s = await scene.shared_by("north", "south", within_s=START_S)
        print(f"stopped in order: {held} sources taken over {took_s:.1f} s after its end")
        assert scene.bucket.handovers - begun == held
        assert len(scene.bucket.seized) == seized, "somebody took what another had not given up"
        await rest(scene, "two of them")
        print(f"at most {scene.peak:.0f} requests/s at the vendor; {scene.bucket.handovers} handovers in all")
        for daemon in scene.daemons.values():
            assert not daemon.said("source.bug")
            assert not daemon.said("sharing.bug")
