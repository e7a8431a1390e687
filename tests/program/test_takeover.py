"""Two daemons, one source: who works for it, and how fast the other takes over when it stops, dies or stands still.

Real processes throughout. The sandbox's ledger says what happened, the stream is read by nats-py alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import NoRespondersError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from tests.support.asking import plain_client, plain_jetstream
from tests.support.ordeal import Ordeal, ordeal
from tests.support.program import SOURCE, Child, elapse
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

LEASE_S = 15
"""Where a lease has to run out."""
LONG_LEASE_S = 120
"""Where none does: what takes anywhere near as long has waited for it."""
START_S = 150.0
BUSY_S = 60.0
"""What a machine with more to do than it can may take longer. How long it takes to the tenth of a second is proved on
a virtual clock, in tests/engine/test_tenancy.py."""


class Pair:
    """Two daemons of one source, and what the bucket says of them."""

    def __init__(self, scene: Ordeal, kv: KeyValue, lease_s: int) -> None:
        self.scene = scene
        self._kv = kv
        self._lease_s = lease_s
        self.north, self.south = self._daemon("north"), self._daemon("south")

    def _daemon(self, name: str) -> Child:
        daemon = self.scene.daemon(name)
        more = self.scene.folder / f"{name}.d"
        more.mkdir()
        text = f'[daemon]\ninstance = "{name}"\nlease_s = {self._lease_s}\n'
        (more / "lease.toml").write_text(text, encoding="utf-8")
        return daemon

    async def holder(self) -> tuple[str, int]:
        """Instance and process that hold the lease; ("", 0) for nobody."""
        try:
            entry = await self._kv.get(SOURCE)
        except (KeyNotFoundError, NoRespondersError):
            # No claim, or no bucket yet.
            return "", 0
        claim = json.loads(entry.value or b"{}")
        return claim.get("instance", ""), claim.get("pid", 0)

    async def held_by(self, daemon: Child, deadline_s: float) -> float:
        """Wait until the present life of this daemon holds it; after how many seconds."""
        start = time.monotonic()

        async def held() -> bool:
            return await self.holder() == (daemon.name, daemon.pid)

        await wait_until(held, deadline_s, f"{daemon.name} to hold the lease:\n{daemon.tail()}")
        return time.monotonic() - start

    async def north_works(self) -> None:
        """The usual beginning: north works, south stands by."""
        self.north.start()
        await self.held_by(self.north, START_S)
        self.south.start()
        await wait_until(lambda: self.south.said("source.standby"), START_S, "south to stand by")
        await wait_until(lambda: self.north.said("source.live"), START_S, "north to be live")
        await self.scene.progress()
        assert not self.south.said("source.opening", -1)
        assert not self.south.said("source.live", -1)


@asynccontextmanager
async def pair(name: str, folder: Path, seed: int, lease_s: int = LEASE_S) -> AsyncIterator[Pair]:
    async with (
        ordeal(name, folder, seed=seed, sync_always=False) as scene,
        plain_client(scene.broker.url) as client,
    ):
        js = plain_jetstream(client)
        yield Pair(scene, KeyValue("bridge-leases", "KV_bridge-leases", "$KV.bridge-leases.", js, True), lease_s)


async def test_one_that_goes_hands_over_and_one_that_comes_back_takes_its_own(tmp_path: Path) -> None:
    """SIGTERM gives the lease back before the process ends: the other has it long before it would run out. One that is
    killed and started again beside one that stands by takes its own back, and goes on as soon as it runs."""
    async with pair("handed over", tmp_path, 51, LONG_LEASE_S) as both:
        await both.north_works()
        assert await both.north.terminate() == 0
        await both.held_by(both.south, BUSY_S)
        await both.scene.progress()
        both.north.start()
        await wait_until(lambda: both.north.said("source.standby", -1), START_S, "north to stand by")
        both.south.kill()
        both.south.start()
        await wait_until(lambda: both.south.said("bridged.started", -1), START_S, "south to start")
        await both.held_by(both.south, BUSY_S)
        await wait_until(lambda: both.south.said("lease.taken", -1), START_S, "south to say so")
        assert both.south.said("lease.taken", -1)[0]["was"] == "own"
        await wait_until(lambda: both.south.said("source.live", -1), START_S, "south to be live")
        assert not both.north.said("source.opening", -1)
        await both.scene.progress()
        (await both.scene.verdict()).must_be_faithful()


async def test_one_that_stands_still_or_dies_is_replaced_within_its_lease_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGSTOP for longer than the lease, wherever it is: the other takes over and goes on; the woken one sees that its
    time is over before it writes, and stands by. SIGKILL leaves the lease behind; it runs out, and the woken one takes
    over again."""
    async with pair("stood still", tmp_path, 54) as both:
        await both.north_works()
        stood_by = len(both.north.said("source.standby", -1))
        both.north.pause()
        both.scene.blows["daemon frozen"] += 1
        await both.held_by(both.south, LEASE_S + 1 + BUSY_S)
        await both.scene.progress(10)
        await elapse(both.scene.dice.uniform(0, 1))
        both.north.resume()
        await wait_until(
            lambda: len(both.north.said("source.standby", -1)) > stood_by, START_S, "the woken one to stand by"
        )
        assert (await both.holder())[0] == "south"
        reason = both.north.said("source.standby", -1)[stood_by]["reason"]
        assert "lease of source acme" in reason, reason
        both.south.kill()
        took_s = await both.held_by(both.north, LEASE_S + 1 + BUSY_S)
        print(f"taken over after {took_s:.2f} s")
        await both.scene.progress()
        verdict = await both.scene.verdict()
        print(verdict.row())
        verdict.must_be_faithful()
