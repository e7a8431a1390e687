"""The parts of a recovery: vendors over TLS, a nats-server, a daemon with any number of sources, what the stream says.

Times come from where they arise: what the vendor issued is dated by the vendor, what was stored by the server, what a
daemon did by its log; all of them are processes of one machine with one clock. So nothing has to be asked meanwhile.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import nats
from nats.js.api import AckPolicy, ConsumerConfig

from tests.bench.recovery_vendor import told
from tests.bench.serving import serving
from tests.support.certificates import Authority
from tests.support.nats_server import NatsServer
from tests.support.program import Child
from tests.support.stream import STREAM
from tests.support.waiting import wait_until

SUBJECTS = "events.platform.*.object-alarm.>"
PORTION = 1000
DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An event as the stream has it; when it was issued and when it was stored, in seconds since the Unix epoch."""

    number: int
    due: float
    stored: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What the vendor issued against what the stream holds."""

    issued: int
    lost: int
    doubled: int

    def __str__(self) -> str:
        return f"of {self.issued:,} issued {self.lost:,} lost, {self.doubled:,} doubled"


class Vendor:
    """A played platform's addresses, each as a vendor of its own, and what it is told and asked."""

    def __init__(self, ports: Sequence[int], trusted: Path, authority: Path) -> None:
        self.urls = [f"https://127.0.0.1:{port}" for port in ports]
        self.trusted = trusted
        self._tls = ssl.create_default_context(cafile=str(authority))

    async def control(self, rate: float | None = None) -> dict[str, Any]:
        """Its account; with `rate`, it issues so many events a second from now on."""
        method, body = ("GET", None) if rate is None else ("POST", {"rate": rate})
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
            http.request(method, f"{self.urls[0]}/control", json=body, ssl=self._tls) as answer,
        ):
            found: dict[str, Any] = await answer.json()
            return found


class Scene:
    """Everything that runs. `daemon`: not started yet."""

    def __init__(self, folder: Path, vendor: Vendor, server: NatsServer, sources: int, more: Mapping[str, Any]) -> None:
        self.vendor = vendor
        self.server = server
        self.sources = sources
        config = _configuration(folder, vendor, server.url, sources, more)
        environ = {"SSL_CERT_FILE": str(vendor.trusted)}
        environ |= {f"TOKEN_{number}": f"token-of-the-bench-{number:04d}" for number in range(sources)}
        self.daemon = Child(folder, "daemon", ["run", "--config", str(config)], environ)

    def live_at(self) -> list[float]:
        """By its log, when each source of its present life was live; in seconds since the Unix epoch."""
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in self.daemon.said("source.live", -1)]

    async def all_live(self) -> None:
        """Until each source is live in its present life."""
        await wait_until(
            lambda: len(self.live_at()) >= self.sources or not self.daemon.running,
            DEADLINE_S,
            "every source to be live",
        )
        if not self.daemon.running:
            raise RuntimeError(f"bridged ended by itself:\n{self.daemon.tail()}")

    async def judge(self, *, within_s: float = 30.0) -> tuple[list[Kept], Judged]:
        """The vendor stops; what the stream holds as soon as it holds all of it, or in the end."""
        account = await self.vendor.control(0)
        kept: list[Kept] = []
        with anyio.move_on_after(within_s):
            while len({one.number for one in kept}) < account["issued"]:
                await anyio.sleep(0.5)
                kept = await _stored(self.server.url)
        found = {one.number for one in kept}
        lost = len(set(range(account["issued"])) - found)
        return kept, Judged(account["issued"], lost, len(kept) - len(found))


@asynccontextmanager
async def scene(folder: Path, sources: int, *, vendors: int = 1, **more: Any) -> AsyncIterator[Scene]:
    """Vendors and server run, the daemon does not yet. At the end everything is gone. `more`: keys of each source."""
    await anyio.Path(folder).mkdir(parents=True)
    server = NatsServer(folder, extra="logtime_utc: true")
    made: Scene | None = None
    try:
        await server.start()
        async with _vendor(folder, vendors) as vendor:
            made = Scene(folder, vendor, server, sources, more)
            yield made
    finally:
        if made is not None:
            made.daemon.close()
        server.kill_blocking()


@asynccontextmanager
async def _vendor(folder: Path, count: int) -> AsyncIterator[Vendor]:
    authority = Authority(folder)
    certificate = authority.issue("platform", "127.0.0.1")
    trusted = _trusted(folder, authority)
    async with serving("tests.bench.recovery_vendor", str(count), *map(str, certificate)) as facts:
        yield Vendor(facts["ports"], trusted, authority.path)


def _trusted(folder: Path, authority: Authority) -> Path:
    # Beside the system's, whose hundred and forty are what this costs where it runs.
    path, system = folder / "trusted.pem", Path(ssl.get_default_verify_paths().cafile or os.devnull)
    path.write_bytes(system.read_bytes() + authority.path.read_bytes())
    return path


async def _stored(url: str) -> list[Kept]:
    client = await nats.connect(url)
    try:
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, headers_only=True, mem_storage=True, inactive_threshold=60)
        consumer = await client.jetstream().pull_subscribe(SUBJECTS, stream=STREAM, config=config)
        kept: list[Kept] = []
        while (await consumer.consumer_info()).num_pending:
            for message in await consumer.fetch(PORTION, timeout=10):
                number, due = told(message.subject.rpartition(".")[2])
                kept.append(Kept(number, due, message.metadata.timestamp.timestamp()))
        return kept
    finally:
        await client.close()


def _configuration(folder: Path, vendor: Vendor, url: str, sources: int, more: Mapping[str, Any]) -> Path:
    path = folder / "daemon.toml"
    lines = [
        "[nats]", f"url = {json.dumps(url)}", "[status]", "enabled = false", "[daemon]", 'log_format = "json"',
        f"state_dir = {json.dumps(str(folder / 'state-daemon'))}",
    ]  # fmt: skip
    for number in range(sources):
        lines += [
            "[[source]]", f'name = "plant{number:04d}"', 'adapter = "platform"',
            f"base_url = {json.dumps(vendor.urls[number % len(vendor.urls)])}",
            'auth = "issued"', f'token = {{ env = "TOKEN_{number}" }}', "packets = false",
            *(f"{key} = {json.dumps(value)}" for key, value in more.items()),
        ]  # fmt: skip
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path
