"""Instances that share sources, on a virtual clock, over the in-memory twin of the bucket of leases.

A worker stands for a runner: it takes its source's lease, keeps it, and needs a moment to end when it is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Any

import anyio

from bridge.core.errors import Away
from bridge.core.lease import Claim, LeaseGiven
from bridge.core.member import PLACES
from bridge.engine.sharing import Sharing
from bridge.engine.tenancy import LeaseOffice
from tests.support import sim_vendor as sim
from tests.support.engine import on_virtual_clock
from tests.support.memory_leases import Bucket, MemoryLeases, tenant

LEASE_S = 10.0


class Sharer:
    """One instance: its way to the bucket, and a worker for each source. `shares`: or takes what nobody holds.

    `fixed`: sources it does not give back merely to be even.
    """

    def __init__(
        self,
        fleet: Fleet,
        instance: str,
        pid: int,
        sources: Sequence[str],
        *,
        shares: bool = True,
        fixed: Sequence[str] = (),
    ) -> None:
        self.instance = instance
        self.pid = pid
        self.leases = MemoryLeases(fleet.bucket)
        self.working: set[str] = set()
        self.given = 0
        self._fleet = fleet
        self._sources = sources
        self._fixed = fixed
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self.over = anyio.Event()
        about: dict[str, Any] = {
            "lease_s": LEASE_S, "wall": sim.wall, "roll": Random(pid).random,
            "alive": lambda other: other.pid in fleet.pids,
        }  # fmt: skip
        me = tenant(instance, pid=pid, started=pid)
        self.sharing = Sharing(self.leases, me, **about) if shares else None
        self.office = LeaseOffice(self.leases, me, **about, sharing=self.sharing)

    async def run(self) -> None:
        """Until killed or stopped."""
        self._fleet.pids.add(self.pid)
        with self._scope:
            async with anyio.create_task_group() as beside:
                try:
                    if self.sharing is not None:
                        self.sharing.roster(self._sources, self._fixed)
                        await beside.start(self.sharing.run, self._ended)
                    async with anyio.create_task_group() as group:
                        for source in self._sources:
                            group.start_soon(self._work, source)
                finally:
                    self._ended.set()
        self.over.set()

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more, and nothing is given back."""
        self.leases.cut = True
        self._fleet.pids.discard(self.pid)
        self.working.clear()
        self._scope.cancel()

    def stop(self) -> None:
        """SIGTERM."""
        self._fleet.pids.discard(self.pid)
        self._scope.cancel()

    async def _work(self, source: str) -> None:
        while True:
            try:
                lease = await self.office.take(source, lambda _: None)
            except Away:
                await anyio.sleep(1.0)
                continue
            try:
                self._begin(source)
                await lease.keep()
            except Away as lost:
                self.given += isinstance(lost, LeaseGiven)
            finally:
                # Its session says goodbye.
                with anyio.move_on_after(0.3, shield=True):
                    await anyio.sleep_forever()
                self.working.discard(source)
                await lease.release()

    def _begin(self, source: str) -> None:
        self._fleet.begun.append(anyio.current_time())
        if not self.leases.cut:
            others = [one.instance for one in self._fleet.sharers if source in one.working]
            self._fleet.twice += [f"{source}: {self.instance} beside {other}" for other in others]
            self.working.add(source)


class Fleet:
    """Several of them. `twice`: what two worked for at once; must be empty. `begun`: when each piece of work began."""

    def __init__(self, count: int, *, expires: bool = True) -> None:
        self.bucket = Bucket(expires=expires)
        self.sources = tuple(f"s{number:04d}" for number in range(count))
        self.sharers: list[Sharer] = []
        self.pids: set[int] = set()
        self.twice: list[str] = []
        self.begun: list[float] = []
        self._group: Any = None

    def start(
        self,
        instance: str,
        *,
        sources: Sequence[str] | None = None,
        shares: bool = True,
        fixed: Sequence[str] = (),
    ) -> Sharer:
        """One more; returns at once."""
        pid = len(self.sharers) + 1
        named = self.sources if sources is None else sources
        sharer = Sharer(self, instance, pid, named, shares=shares, fixed=fixed)
        self.sharers.append(sharer)
        self._group.start_soon(sharer.run)
        return sharer

    def play(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run `script`, then end everything; nothing may have been worked for twice."""

        async def main() -> None:
            async with anyio.create_task_group() as group:
                self._group = group
                await script()
                for one in self.sharers:
                    one.stop()

        on_virtual_clock(main)
        assert self.twice == []

    def held(self) -> dict[str, str]:
        """By source, the instance that holds its lease; "" for nobody."""
        return {source: self.bucket.owner(source) for source in self.sources}

    def counts(self) -> list[int]:
        """How many each holds, the most first; those nobody holds are not in it."""
        return sorted(Counter(owner for owner in self.held().values() if owner).values(), reverse=True)

    def places(self) -> list[Claim]:
        """Who has a place."""
        return [claim for name in PLACES if (claim := self.bucket.last(name).claim) is not None]

    async def until(self, counts: Iterable[int], within_s: float) -> float:
        """Wait until they hold so many each; after how many seconds."""
        wanted, start = list(counts), anyio.current_time()
        with anyio.move_on_after(within_s):
            while self.counts() != wanted:  # noqa: ASYNC110 - virtual time costs nothing
                await anyio.sleep(0.05)
            return anyio.current_time() - start
        raise AssertionError(f"after {within_s:g} s they hold {self.counts()}, and not {wanted}")
