"""Runs a real runner against the simulated vendor and the in-memory ledger, on a virtual clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import trio
from trio.testing import MockClock

from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from bridge.engine.tenancy import Freehold, Tenancies
from bridge.engine.vigil import SessionStatistics
from tests.support.memory_ledger import Entry, MemoryLedger
from tests.support.sim_vendor import GONE, SimAdapter, SimSettings, SimVendor, wall


class Crash(Exception):
    """The process dies here."""


def on_virtual_clock(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main`; sleeps take no real time. A deadline of a virtual month keeps it from running for ever."""

    async def bounded() -> Any:
        with anyio.fail_after(30 * 86_400):
            return await main()

    return trio.run(bounded, clock=MockClock(autojump_threshold=0.0))


class Bench:
    """One simulated vendor, one ledger, and a runner that may crash and is then started afresh.

    `beside`: share vendor and ledger with that one. `tenancies`: where leases come from; default: granted for ever.
    """

    def __init__(
        self, *, live: bool = False, beside: Bench | None = None, tenancies: Tenancies | None = None, **settings: Any
    ) -> None:
        self.ledger: MemoryLedger = beside.ledger if beside else MemoryLedger()
        self.vendor: SimVendor = beside.vendor if beside else SimVendor()
        self.crashes = 0
        self.session: SessionStatistics | None = None
        self.trace: Callable[[], str | None] = lambda: None
        self._live = live
        self._settings = SimSettings(name="acme", adapter="sim", **settings)
        self._world = World(
            ledger=self.ledger,
            http=self.vendor,
            quotas=Quotas(),
            encode=encode,
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={"instance": "test"},
            tenancies=tenancies or Freehold(),
            trace=lambda: self.trace(),
        )
        self._runner: Runner | None = None
        self._steps = 0
        self._crash_at: set[int] = set()

    @property
    def runner(self) -> Runner:
        """The runner of the process that is alive."""
        assert self._runner is not None
        return self._runner

    def crash_at(self, steps: set[int]) -> None:
        """Die at these steps, counted over requests, answers and ledger calls."""
        self._crash_at = steps
        self.ledger.on_step = self.vendor.on_step = self._step

    def _step(self, _: str) -> None:
        self._steps += 1
        if self._steps in self._crash_at:
            raise Crash

    async def run(self) -> None:
        """Hold the source; a crash is followed by a fresh start, as by a service manager."""
        while True:
            self._runner = self._fresh()
            try:
                await self.runner.run()
            except* Crash:
                self.crashes += 1
            await anyio.sleep(0.1)

    def _fresh(self) -> Runner:
        source = Source(SimAdapter(self._settings), self.vendor.feed if self._live else None, session=self.session)
        return Runner(source, self._world)

    async def during(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run the source while `script` runs."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.run)
            await script()
            group.cancel_scope.cancel()

    # --- what the stream says ---

    def values(self) -> dict[str, list[str]]:
        """Per entity, the values of its events in stream order."""
        told: dict[str, list[str]] = defaultdict(list)
        for entry in self.things():
            data = entry.data
            told[data["id"]].append(GONE if entry.change == "deleted" else data["after"]["value"])
        return dict(told)

    def changes(self) -> list[tuple[str, str]]:
        """(id, change) of every event about things, in stream order."""
        return [(entry.data["id"], entry.change) for entry in self.things()]

    def things(self) -> list[Entry]:
        """Every event about things."""
        return [entry for entry in self.ledger.events if entry.subject.startswith("events.sim.")]

    def own(self) -> list[str]:
        """`entity.change` of the bridge's own events, in stream order."""
        return [
            ".".join(entry.subject.split(".")[3:5])
            for entry in self.ledger.events
            if entry.subject.startswith("events.bridge.")
        ]

    def settled(self) -> bool:
        """Whether the source is live and the view equals the vendor."""
        return self.runner.status.state is State.LIVE and self._view() == self.vendor.state()

    def _view(self) -> dict[str, str]:
        return {
            key.rsplit(".", 1)[1]: after["value"]
            for key, (change, after) in self.ledger.state().items()
            if change != "deleted" and after is not None and "value" in after
        }

    def check(self, *, ordered: bool = True) -> None:
        """The promises: nothing lost, nothing doubled, nothing invented, order kept, view equal to the vendor."""
        told = self.values()
        for id_, values in told.items():
            issued = self.vendor.history[id_]
            for before, after in pairwise(values):
                assert before != after, f"{id_}: {after!r} was published twice in a row: {values}"
            if ordered:
                assert _is_subsequence(values, issued), f"{id_}: told {values}, issued {issued}"
            else:
                assert set(values) <= set(issued), f"{id_}: told {values}, issued {issued}"
        assert {id_: values[-1] for id_, values in told.items() if values[-1] != GONE} == self.vendor.state()
        assert self._view() == self.vendor.state()
        ids = [entry.ce_id for entry in self.ledger.events]
        assert len(ids) == len(set(ids)), "a ce-id appears twice"


def _is_subsequence(told: list[str], issued: list[str]) -> bool:
    rest = iter(issued)
    return all(value in rest for value in told)
