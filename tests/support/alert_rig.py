"""Alerts of one or several processes on a virtual clock: events as they are stored, channels that write down what they
are told, and a process that may be killed at any of its steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
import anyio.lowlevel

from bridge.core.alerts.alert import Alert
from bridge.core.alerts.machine import machine
from bridge.core.alerts.settings import AlertSettings, is_alone
from bridge.core.record import Json, Key
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine.alerts import Alarm, Alerts
from bridge.engine.quota import Quotas
from bridge.engine.source import World
from bridge.engine.tenancy import Freehold, Tenancies
from tests.support.memory_ledger import Entry, MemoryLedger
from tests.support.memory_post import MemoryPost, MemoryTrails
from tests.support.sealing import sealed
from tests.support.sim_vendor import SimVendor, wall


class Killed(BaseException):
    """SIGKILL: nothing of the process runs any more."""


@dataclass
class Told:
    """What a channel has taken, and when (seconds of the virtual clock)."""

    at: float
    alert: Alert


@dataclass
class Recorder:
    """See `Channel`. What it heard outlives the process. `down`: raised instead of taking anything."""

    name: str
    takes_s: float = 0.01
    down: Exception | None = None
    told: list[Told] = field(default_factory=list)
    attempts: int = 0
    step: Callable[[str], None] = lambda _: None

    async def send(self, alert: Alert, *, timeout_s: float) -> None:
        """See `Channel.send`."""
        assert timeout_s > 0
        self.step("send")
        self.attempts += 1
        await anyio.sleep(self.takes_s)
        self.step("sending")
        if self.down is not None:
            raise self.down
        self.told.append(Told(anyio.current_time(), alert))
        self.step("sent")
        await anyio.lowlevel.checkpoint()

    def ids(self) -> list[str]:
        """The alerts it heard of, in the order in which it first did."""
        return list(dict.fromkeys(told.alert.id for told in self.told))

    def repeated(self) -> int:
        """How many it was told more than once, each repetition counted."""
        return sum(Counter(told.alert.id for told in self.told).values()) - len(self.ids())

    def events(self) -> list[str]:
        """The `ce-id` of the events that the alerts tell of, each alert once."""
        first = {told.alert.id: told.alert for told in reversed(self.told)}
        return [one["ce_id"] for id_ in self.ids() for one in first[id_].data["events"]]


@dataclass
class Rule:
    """An alert's settings and the channels that hear of it."""

    settings: AlertSettings
    channels: Sequence[Recorder]


class Rig:
    """The stream, and the processes that work for its alerts."""

    def __init__(self, *rules: Rule, tenancies: Tenancies | None = None, seed: int = 0) -> None:
        self.ledger = MemoryLedger()
        self.post = MemoryPost(self.ledger)
        self.rules = list(rules)
        self.alerts: Alerts | None = None
        self.deaths = 0
        self.dice = Random(seed)
        self.chance = 0.0
        """Of dying at any step."""
        self._dead = False
        self._tenancies = tenancies or Freehold()
        self._numbers = 0

    @property
    def running(self) -> Alerts:
        """The process that is alive."""
        assert self.alerts is not None
        return self.alerts

    def happen(self, id_: str = "", change: str = "created", *, source: str = "main", **after: Json) -> str:
        """An event is stored; its `ce-id`."""
        self._numbers += 1
        key = Key("acme", source, "thing", id_ or f"t{self._numbers}")
        event = sealed(key, change, {"n": self._numbers, **after})
        self.ledger.inject(event)
        return event.ce_id

    async def run(self) -> None:
        """Processes, one after the other, as a service manager starts them."""
        while True:
            self._dead = False
            try:
                await self._process()
            except* Killed:
                self.deaths += 1
            await anyio.sleep(1.0)

    async def during(self, script: Callable[[], Any]) -> None:
        """Run while `script` does; it may rely on alerts that have begun."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.run)
            await self.begun()
            await script()
            group.cancel_scope.cancel()

    async def begun(self) -> None:
        """Returns when the first cursor is stored."""
        while self.ledger.cursor("alerts", "decisions") is None:
            await self.ledger.changed(1.0)

    async def silence(self, within_s: float = 86_400) -> None:
        """Returns when nothing waits for any channel and nothing more is decided."""
        with anyio.fail_after(within_s):
            while True:
                await anyio.sleep(60)
                floors = [self.post.places.get((r.settings.name, c.name)) for r in self.rules for c in r.channels]
                last = {r.settings.name: self.last(r.settings.name) for r in self.rules}
                names = [r.settings.name for r in self.rules for _ in r.channels]
                if all(p and p.floor >= last[name] for p, name in zip(floors, names, strict=True)):
                    return

    def last(self, alert: str) -> int:
        """Where the last alert of a rule lies; 0: nowhere."""
        return max((entry.seq for entry in self.stored(alert)), default=0)

    def stored(self, alert: str) -> list[Entry]:
        """The alerts of a rule as they lie in the stream."""
        return [entry for entry in self.ledger.events if entry.subject.startswith(f"events.bridge.{alert}.alert.")]

    async def _process(self) -> None:
        step = self._step
        self.ledger.on_step = self.post.on_step = step
        trails = MemoryTrails(self.ledger)
        trails.on_step = step
        for rule in self.rules:
            for channel in rule.channels:
                channel.step = step
        world = World(
            ledger=self.ledger, http=SimVendor(), quotas=Quotas(), encode=encode, wall=wall, roll=Random(1).random,
            masker=Masker(), owner={"instance": "test"}, tenancies=self._tenancies,
        )  # fmt: skip
        alarms = [Alarm(machine(rule.settings), rule.channels, alone=is_alone(rule.settings)) for rule in self.rules]
        self.alerts = Alerts(alarms, trails, self.post, world)
        await self.alerts.run()

    def _step(self, _: str) -> None:
        if not self._dead and self.chance and self.dice.random() < self.chance:
            self._dead = True
        if self._dead:
            raise Killed
