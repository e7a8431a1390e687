"""Where figures are taken: a real nats-server, the real ledger, and beside them a connection of plain nats-py."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import anyio
import nats
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from bridge.core.omit import parse
from bridge.core.secret import Masker
from bridge.edge import process
from bridge.edge.codec import encode, exact, spell
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Http, Ledger
from bridge.engine.quota import Quotas
from bridge.engine.scribe import Scribe
from bridge.engine.source import World
from tests.bench.vendor import BenchAdapter
from tests.support.nats_server import NatsServer, nats_server

BARE = "BARE"
"""A plain stream with file storage and nothing else: what a script would publish into."""
SETTLE_DEADLINE_S = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Stamp(NamedTuple):
    """A moment: wall time, and CPU used so far by this process and by the server, all in seconds."""

    wall: float
    own_cpu: float
    server_cpu: float

    def since(self, start: Stamp) -> Stamp:
        """What has passed between the two."""
        return Stamp(self.wall - start.wall, self.own_cpu - start.own_cpu, self.server_cpu - start.server_cpu)


@dataclass(slots=True)
class Stage:
    """One server. `client` and `ledger` are the bridge's, on one connection; `js` is plain nats-py's, on another."""

    server: NatsServer
    client: Client
    ledger: JetStreamLedger
    api: JetStream
    js: JetStreamContext
    sync: str
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def fresh(self, what: str) -> str:
        """A name no source of this stage has had."""
        return f"{what}{next(self._numbers)}"

    def stamp(self) -> Stamp:
        """Now."""
        return Stamp(time.perf_counter_ns() / 1e9, time.process_time_ns() / 1e9, cpu_s(self.server.pid))

    async def settle(self) -> None:
        """Return when the server has nothing left to do: the view has stood still for a moment."""
        names = LedgerNames()
        with anyio.fail_after(SETTLE_DEADLINE_S):
            last = -1
            while (now := (await self.api.state(names.state_stream)).last_seq) != last:
                last = now
                await anyio.sleep(0.15)


@asynccontextmanager
async def stage(folder: Path, *, sync_always: bool) -> AsyncIterator[Stage]:
    """A fresh server with everything on it."""
    name = "always" if sync_always else "default"
    async with (
        nats_server(folder, sync_always=sync_always, name=name) as server,
        connect(NatsOptions(urls=(server.url,))) as connection,
    ):
        ledger = JetStreamLedger(connection.client)
        await ledger.prepare()
        bare: Client = await nats.connect(server.url)
        try:
            js = bare.jetstream()
            await js.add_stream(name=BARE, subjects=["bare.>"])
            yield Stage(server, connection.client, ledger, JetStream(connection.client), js, name)
        finally:
            await bare.close()


def world(ledger: Ledger, http: Http) -> World:
    """What a runner needs, as the daemon makes it."""
    return World(
        ledger=ledger,
        http=http,
        quotas=Quotas(),
        encode=encode,
        spell=spell,
        exact=exact,
        wall=lambda: time.time_ns() // 1_000_000,
        roll=Random(0).random,
        masker=Masker(),
        owner={"instance": "bench"},
        trace=process.trace,
    )


def scribe(adapter: BenchAdapter, limit: int) -> Scribe:
    """The scribe a runner would make for this adapter."""
    return Scribe(
        vendor=adapter.vendor,
        source=adapter.settings.name,
        type_prefix=adapter.type_prefix,
        mapping_version=adapter.mapping_version,
        omits=[parse(path) for path in adapter.omit],
        keep_raw=False,
        encode=encode,
        spell=spell,
        limit=limit,
        wall=lambda: time.time_ns() // 1_000_000,
        masker=Masker(),
    )


def cpu_s(pid: int) -> float:
    """CPU seconds a process and its threads have used so far; 0 where the system does not tell."""
    try:
        # Linux' number of that process's own clock (clock_getcpuclockid), which counts nanoseconds.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        pass
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
