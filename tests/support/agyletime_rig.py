"""The whole engine with AgyleTime's adapter against its sandbox, without sockets, on a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import anyio

from adapters.agyletime import Adapter, Settings
from bridge.adapter import ResourceTable
from bridge.core.secret import Masker, Secret
from bridge.edge.codec import encode
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from bridge.engine.tenancy import Freehold
from bridge.sandbox.agyletime import AgyletimeSandbox, Options
from bridge.sandbox.oracle import Report
from tests.support.live_agyletime import judge
from tests.support.memory_ledger import MemoryLedger
from tests.support.played_http import HOST, PlayedHttp
from tests.support.sim_vendor import EPOCH_MS, wall
from tests.support.stream import Stored


class AgyletimeRig:
    """Sandbox, ledger and a runner that may be killed. `pace`: keys of resources, by name. To be made on that clock."""

    def __init__(self, options: Mapping[str, Any], pace: Mapping[str, Mapping[str, Any]], **settings: Any) -> None:
        self.sandbox = AgyletimeSandbox(Options(clock=wall, **options))
        self.http, self.ledger = PlayedHttp(self.sandbox.api), MemoryLedger()
        self.lives = 0
        self._runner: anyio.CancelScope | None = None
        given: dict[str, Any] = {
            "requests_per_30s": 100_000,
            "resource": [ResourceTable(name=name, **keys) for name, keys in pace.items()],
            **settings,
        }
        self._adapter = Adapter(
            Settings(
                name="workforce", adapter="agyletime", tenant_url=f"{HOST}/tenant", regional_url=f"{HOST}/regional",
                key_id=self.sandbox.key_id, secret=Secret(self.sandbox.secret), **given,
            )
        )  # fmt: skip
        self._dice = Random(0)

    async def during(self, script: Callable[[], Awaitable[None]]) -> None:
        """Run the source while `script` runs; a life that was ended is followed by another."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._live)
            await script()
            group.cancel_scope.cancel()

    def kill(self) -> None:
        """The process dies, wherever it is."""
        assert self._runner is not None
        self._runner.cancel()

    async def _live(self) -> None:
        while True:
            world = World(
                ledger=self.ledger, http=self.http, quotas=Quotas(), encode=encode, wall=wall,
                roll=self._dice.random, masker=Masker(), owner={"instance": "test"}, tenancies=Freehold(),
            )  # fmt: skip
            self.lives += 1
            with anyio.CancelScope() as self._runner:
                await Runner(Source(self._adapter), world).run()
            await anyio.sleep(1)

    def stored(self) -> list[Stored]:
        """Every event about the vendor's things, in stream order."""
        return [
            Stored(entry.seq, entry.subject, EPOCH_MS + round(entry.at * 1000), dict(entry.headers), entry.data)
            for entry in self.ledger.events
            if entry.subject.startswith("events.agyletime.")
        ]

    def report(self) -> Report:
        """The sandbox's ledger against the stream."""
        return judge(self.sandbox.ledger.changes, self.stored(), "workforce")

    def false_deletes(self) -> list[str]:
        """What the stream calls deleted, and the vendor never has."""
        gone = {change.id for change in self.sandbox.ledger.changes if change.operation == "deleted"}
        return [event.subject for event in self.stored() if event.change == "deleted" and event.data["id"] not in gone]
