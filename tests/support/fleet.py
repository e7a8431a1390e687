"""Many sources over several daemons on one nats-server: real processes, one cheap played vendor, and a witness.

The witness reads the bucket of leases by nats-py alone, every message in the order in which the server stored it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from bridge.edge.ledger.layout import LedgerNames, lease_config
from tests.support.asking import plain_client
from tests.support.nats_server import NatsServer
from tests.support.program import Child, PlayedVendor
from tests.support.waiting import wait_until

LEASE_S = 10
HZ = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Bucket:
    """What the bucket said. `lives`: by boot, the instance's name and process.

    `handovers`: sources that went to another instance; `seized`: of those, the ones that were not given up before, and
    whose they were. `messages`: all that was stored.
    """

    owner: dict[str, str] = field(default_factory=dict)
    lives: dict[str, tuple[str, int]] = field(default_factory=dict)
    handovers: int = 0
    seized: list[tuple[str, str, str]] = field(default_factory=list)
    messages: int = 0
    ended: dict[str, str] = field(default_factory=dict)

    def take(self, message: Msg) -> None:
        """One message of the bucket, in order."""
        self.messages += 1
        key, headers = message.subject.split(".")[-1], message.headers or {}
        before = self.owner.pop(key, "")
        if "KV-Operation" in headers or "Nats-Marker-Reason" in headers:
            return
        claim = json.loads(message.data)
        boot = claim["boot"]
        self.lives[boot] = claim["instance"], claim["pid"]
        if key.startswith("=40"):
            return
        self.owner[key] = boot
        if self.ended.get(key) not in ("", None, boot):
            self.handovers += 1
        self.ended[key] = boot
        if before not in ("", boot):
            self.seized.append((key, before, boot))

    def counts(self) -> dict[str, int]:
        """How many sources each life holds, by name and process."""
        found = Counter(self.owner.values())
        return {f"{name}:{pid}": found[boot] for boot, (name, pid) in self.lives.items() if found[boot]}

    def of(self, daemon: Child) -> int:
        """How many sources the present life of a daemon holds."""
        return self.counts().get(f"{daemon.name}:{daemon.pid}", 0) if daemon.running else 0


class Fleet:
    """The parts. `count`: sources."""

    def __init__(self, folder: Path, count: int, names: tuple[str, ...], vendor: PlayedVendor, url: str) -> None:
        self.vendor = vendor
        self.count = count
        self.bucket = Bucket()
        self.daemons = {name: self._daemon(folder, name, url) for name in names}
        self.peak = 0.0
        """Requests at the vendor in the busiest second."""

    def _daemon(self, folder: Path, name: str, url: str) -> Child:
        path = folder / f"{name}.toml"
        integrator, user = self.vendor.secrets
        lines = [
            "[nats]", f"url = {json.dumps(url)}", "[status]", "enabled = false", "[daemon]",
            f'instance = "{name}"', f"lease_s = {LEASE_S}", 'log_format = "json"',
            f"state_dir = {json.dumps(str(folder / f'state-{name}'))}",
        ]  # fmt: skip
        for number in range(self.count):
            lines += [
                "[[source]]", f'name = "s{number:04d}"', 'adapter = "pcvisit"',
                f"http_url = {json.dumps(self.vendor.facts['url'])}",
                f"companies = {json.dumps(self.vendor.facts['companies'][:1])}",
                "requests_per_minute = 1_000_000", "request_timeout_s = 15.0",
                "history_fast_every_s = 600.0", "history_slow_every_s = 3600.0",
                'integrator_token = { env = "INTEGRATOR_TOKEN" }', 'user_token = { env = "USER_TOKEN" }',
            ]  # fmt: skip
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return Child(folder, name, ["run", "--config", str(path)], {"INTEGRATOR_TOKEN": integrator, "USER_TOKEN": user})

    async def shared_by(self, *names: str, within_s: float, slack: int = 1) -> float:
        """Wait until these hold all of them, evenly; after how many seconds."""
        start = time.monotonic()

        def even() -> bool:
            held = [self.bucket.of(self.daemons[name]) for name in names]
            return sum(held) == self.count and max(held) - min(held) <= slack

        await wait_until(even, within_s, f"{names} to share evenly; they hold {self.bucket.counts()}")
        return time.monotonic() - start

    def cpu_s(self, name: str) -> float:
        """CPU of a daemon so far, in seconds."""
        fields = Path(f"/proc/{self.daemons[name].pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / HZ

    def rss_mb(self, name: str) -> float:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.daemons[name].pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def watch_vendor(self) -> None:
        """Notes the busiest second; never returns."""
        asked, at = await self.vendor.requests(), time.monotonic()
        while True:
            with anyio.move_on_after(1.0):
                await anyio.sleep_forever()
            now, then = await self.vendor.requests(), time.monotonic()
            self.peak = max(self.peak, (now - asked) / (then - at))
            asked, at = now, then


@asynccontextmanager
async def fleet(folder: Path, count: int, names: tuple[str, ...]) -> AsyncIterator[Fleet]:
    """Vendor, server and witness run, the daemons do not yet. At the end everything is gone."""
    broker = NatsServer(folder)
    vendor = PlayedVendor(folder, rate=0, seed=7)
    made: Fleet | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.start)
            tasks.start_soon(vendor.begin)
        made = Fleet(folder, count, names, vendor, broker.url)
        async with (
            plain_client(broker.url) as client,
            _witness(client, made.bucket),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(made.watch_vendor)
            yield made
            tasks.cancel_scope.cancel()
    finally:
        for daemon in () if made is None else made.daemons.values():
            daemon.close()
        vendor.close()
        broker.kill_blocking()


@asynccontextmanager
async def _witness(client: Client, bucket: Bucket) -> AsyncIterator[None]:
    names = LedgerNames()
    config = lease_config(names)
    await client.request(f"$JS.API.STREAM.CREATE.{names.lease_stream}", json.dumps(config).encode(), timeout=10)

    async def take(message: Msg) -> None:
        bucket.take(message)

    subscription = await client.jetstream().subscribe(
        names.lease_subject(">"), stream=names.lease_stream, ordered_consumer=True, cb=take,
        deliver_policy=DeliverPolicy.ALL,
    )  # fmt: skip
    try:
        yield
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()
