"""A runner over the real ledger: one simulated vendor, one nats-server, and everything that was ever published."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.adapter import Record, Walk
from bridge.core.content import data_of
from bridge.core.facts import Ask
from bridge.core.record import Json
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class News:
    """One event as a plain subscriber of `live.>` saw it."""

    entity: str
    change: str
    id: str
    expected: int
    data: Any


class SourceRig:
    """`news` outlives retention: it is what was published, not what is left of it."""

    def __init__(self, client: Client, names: LedgerNames, adapter: type[SimAdapter], settings: SimSettings) -> None:
        self.client = client
        self.names = names
        self.js = JetStream(client, deadline_s=30)
        self.ledger = JetStreamLedger(client, names, deadline_s=30, patience_s=60)
        self.vendor = SimVendor()
        self.news: list[News] = []
        self.runner: Runner | None = None
        self.structured = False
        """In which content mode the next runner writes."""
        self._adapter = adapter(settings)

    async def see(self, message: Msg) -> None:
        """A subscriber's callback."""
        vendor, _, entity, change, id_ = message.subject.split(".")[-5:]
        headers = message.headers or {}
        expected = int(headers["Nats-Expected-Last-Subject-Sequence"])
        self.news.append(News(f"{vendor}.{entity}", change, id_, expected, data_of(headers, json.loads(message.data))))

    def told(self, entity: str = "sim.thing") -> list[tuple[str, str]]:
        """(id, change) of what was published of one kind of entity, in order."""
        return [(news.id, news.change) for news in self.news if news.entity == entity]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A fresh runner holds the source while the block runs; it has read everything once when the block begins."""
        world = World(
            ledger=self.ledger,
            http=self.vendor,
            quotas=Quotas(),
            encode=encode,
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={"instance": "test"},
            structured=self.structured,
        )
        self.runner = Runner(Source(self._adapter), world)
        async with anyio.create_task_group() as group:
            group.start_soon(self.runner.run)
            await self.pass_completed()
            yield
            group.cancel_scope.cancel()

    async def pass_completed(self) -> None:
        """Every walk has had a complete pass that began after now."""
        now = wall()
        await wait_until(lambda: self._completed_since(now), what="a complete pass")
        await self.client.flush()

    def _completed_since(self, ms: int) -> bool:
        assert self.runner is not None
        completed = self.runner.status.completed_ms
        return bool(completed) and min(completed.values()) > ms

    async def events_left(self) -> int:
        """How many events the stream still holds."""
        info = await self.js.stream(self.names.stream, subjects="events.sim.>")
        return len(info["state"].get("subjects") or {})

    async def all_aged(self) -> None:
        """Everything the vendor's source has published so far has reached its age."""
        await wait_until(lambda: self._none_left(), what="events to age out")

    async def _none_left(self) -> bool:
        return await self.events_left() == 0


class Beeps(SimAdapter):
    """The vendor's things occur once, when their value says, in milliseconds since the Unix epoch."""

    def walks(self, token: Any) -> Any:
        """One walk of what occurs once."""
        return [Walk("beeps", "beep", self.settings.every_s, page_size=50, once=True)]

    def record(self, ask: Ask, row: Json) -> Record:
        """A beep."""
        return Record("beep", row["id"], {"at": row["value"]}, at_ms=int(row["value"]), occurred=True)


class Packets(Beeps):
    """The vendor's things are measurements."""

    def walks(self, token: Any) -> Any:
        """One walk of telemetry."""
        return [Walk("packets", "packet", self.settings.every_s, page_size=50, once=True, telemetry=True)]

    def record(self, ask: Ask, row: Json) -> Record:
        """A packet."""
        return Record("packet", row["id"], {"at": row["value"]}, at_ms=int(row["value"]), occurred=True)


@asynccontextmanager
async def source_rig(
    url: str,
    *,
    max_age_s: float = 90 * 86_400,
    telemetry_max_age_s: float = 7 * 86_400,
    adapter: type[SimAdapter] = SimAdapter,
    **settings: Any,
) -> AsyncIterator[SourceRig]:
    """A rig on an empty server."""
    made: list[SourceRig] = []
    async with connect(
        NatsOptions(urls=(url,), reconnect_wait_s=0.2),
        on_disconnect=lambda: made[0].ledger.disconnected(),
        on_reconnect=lambda: made[0].ledger.reconnected(),
    ) as connection:
        chosen = SimSettings(name="acme", adapter="sim", **{"every_s": 0.05, "page_size": 50, **settings})
        made.append(
            SourceRig(
                connection.client,
                LedgerNames(max_age_s=max_age_s, telemetry_max_age_s=telemetry_max_age_s),
                adapter,
                chosen,
            )
        )
        await connection.client.subscribe("live.>", cb=made[0].see)
        await made[0].ledger.wait_ready()
        yield made[0]
