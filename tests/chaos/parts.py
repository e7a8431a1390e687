"""The parts of a run: vendors, a sender, one broker or three, two daemons, a proxy between each two of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio

from tests.chaos.schedule import INSTANCES, LEASE_S, SHOP
from tests.chaos.sender import Sender
from tests.support.adversity import Clock
from tests.support.live_scene import LiveVendor
from tests.support.live_webhooks import EVENTS, KEY
from tests.support.nats_cluster import nats_cluster
from tests.support.nats_server import NatsServer, free_port, nats_server
from tests.support.program import Child
from tests.support.proxy import Proxy, proxy

LAG_S: Final = 1.0
PINGS: Final = {"ping_interval_ms": 2000, "ping_timeout_ms": 3000}
VENDORS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "support": ("pcvisit", {"companies": 1, "history": 3, "recent_samples": True, "jwt_lifetime_s": 30}),
    "travel": ("x_assist", {"history": 3, "lag_s": LAG_S, "token_lifetime_s": 30, "requests_per_hour": None}),
    "plant": (
        "platform",
        {"token_s": 30, "objects": 4, "history": 6, **PINGS},
    ),
    "roster": ("agyletime", {"users": 8, "shifts": 12, "tasks": 30, "token_s": 30}),
    "office": ("prosonata", {"size": 4, "flips": 0.3, "quota": 400, "block_s": 2.0}),
}
"""By source: whom it reads, and how the vendor behaves while it behaves."""
UNBRAKED: Final = {"delete_brake_share": 1.0}
"""In half a minute of faults a played vendor deletes more than a real one does in a week, and no operator looks on."""
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "travel": {"settle_delay_s": 2 * LAG_S, "late_backfill_delay_s": 4 * LAG_S},
    "plant": {"stores": ["objects", "models"]},
    "roster": UNBRAKED,
    "office": UNBRAKED,
}
LESS: Final[Mapping[str, Mapping[str, Any]]] = {
    "support": {"rate_limit": 1, "rate_period": "second"},
    "travel": {"requests_per_hour": 1000.0, "burst": 2},
    "roster": {"requests_per_30s": 3},
    "office": {"quota": 2},
}
"""What cuts a vendor's quota. The platform knows none, and answers 429 instead."""
ENOUGH: Final[Mapping[str, Mapping[str, Any]]] = {
    "support": {"rate_limit": None, "rate_period": "minute"},
    "travel": {"requests_per_hour": None, "burst": 26},
    "roster": {"requests_per_30s": None},
    "office": {"quota": 400},
}
ACCOUNT: Final = "B"
USER: Final = "bridge"
NO_ROOM: Final = 1
"""Bytes that the account may store while its disk is said to be full: less than it has stored."""


@dataclass
class Parts:
    """Everything that runs, and the secrets that were planted."""

    folder: Path
    replicas: int
    vendors: dict[str, LiveVendor]
    password: str
    servers: list[NatsServer] = field(default_factory=list)
    daemons: dict[str, Child] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    ways: dict[str, list[Proxy]] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    """Of each server: what its configuration holds besides the account."""
    sender: Sender = field(default_factory=lambda: Sender([], 0, 0.0))

    @property
    def sources(self) -> list[str]:
        """All of them, the sender's last."""
        return [*self.vendors, SHOP]

    @property
    def secrets(self) -> dict[str, str]:
        """What must not be in any artefact, by name."""
        return {
            "the password for NATS": self.password,
            "the key of the webhooks": KEY,
            **{name: value for vendor in self.vendors.values() for name, value in vendor.environment.items()},
        }

    @property
    def environ(self) -> dict[str, str]:
        """What the configuration's secret references name."""
        found = {"NATS_PASSWORD": self.password, "SHOP_KEY": f"whsec_{KEY}"}
        for vendor in self.vendors.values():
            found |= vendor.environment
        return found

    async def room(self, most: int = -1) -> None:
        """How many bytes the broker's account may store from now on; -1: as many as there is room for."""
        for server, routes in zip(self.servers, self.routes, strict=True):
            server.configure(routes + _account(self.password, most))
            if server.running:
                server.reload()

    def begin_sending(self, rate: float) -> None:
        """So many deliveries per second, from now on."""
        self.sender.rate = rate

    def stop(self) -> None:
        """Whoever runs is told to end, so that nothing more is written."""
        for daemon in self.daemons.values():
            daemon.close()

    def close(self) -> None:
        """Whatever state they are in: gone."""
        for daemon in self.daemons.values():
            daemon.close()
        for vendor in self.vendors.values():
            vendor.close()


@asynccontextmanager
async def parts(folder: Path, seed: int, replicas: int) -> AsyncIterator[Parts]:
    """Vendors, brokers and proxies run, the daemons do not yet. At the end everything is gone."""
    played = {name: LiveVendor(folder, kind, name, seed=seed, **how) for name, (kind, how) in VENDORS.items()}
    found = Parts(folder, replicas, played, "planted-" + secrets.token_hex(12))
    extra = _account(found.password)
    try:
        async with AsyncExitStack() as stack:
            if replicas == 1:
                found.servers = [await stack.enter_async_context(nats_server(folder, extra=extra))]
            else:
                cluster = nats_cluster(folder, size=replicas, extra=extra, advertise=False)
                found.servers = await stack.enter_async_context(cluster)
            found.routes = [server.extra.removesuffix(extra) for server in found.servers]
            async with anyio.create_task_group() as tasks:
                for vendor in played.values():
                    tasks.start_soon(vendor.begin)
            doors = {name: free_port() for name in INSTANCES}
            for name, door in doors.items():
                found.ways[name] = [await stack.enter_async_context(proxy(server.port)) for server in found.servers]
                found.daemons[name] = _daemon(found, name, door)
                found.clocks[name] = Clock(found.daemons[name])
            urls = [f"http://127.0.0.1:{door}/hooks/{SHOP}" for door in doors.values()]
            found.sender = Sender(urls, seed, 0.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(found.sender.work)
                yield found
                tasks.cancel_scope.cancel()
    finally:
        found.close()


def _account(password: str, most: int = -1) -> str:
    """The broker's account, with a user for us beside the daemons'."""
    users = f"{{ user: root, password: root }}, {{ user: {USER}, password: {json.dumps(password)} }}"
    room = f"jetstream: {{ max_file: {most}, max_mem: -1 }}"
    return f"accounts {{ {ACCOUNT} {{ {room}, users: [ {users} ] }} }}\nno_auth_user: root\n"


def _daemon(found: Parts, name: str, door: int) -> Child:
    path = found.folder / f"{name}.toml"
    daemon = Child(found.folder, name, ["run", "--config", str(path)], found.environ)
    lines = [
        "[nats]",
        f"url = {json.dumps([way.url for way in found.ways[name]])}",
        f'user = "{USER}"',
        'password = { env = "NATS_PASSWORD" }',
        f"replicas = {found.replicas}",
        "[status]",
        "enabled = false",
        "[daemon]",
        f'instance = "{name}"',
        f"lease_s = {LEASE_S}",
        f"state_dir = {json.dumps(str(daemon.state_dir))}",
        'log_format = "json"',
        "[ingress]",
        f'listen = "127.0.0.1:{door}"',
        *(vendor.source(source, **SETTINGS.get(source, {})) for source, vendor in found.vendors.items()),
        "[[source]]",
        f'name = "{SHOP}"',
        'adapter = "webhook"',
        'verify = "standard"',
        'secrets = [{ env = "SHOP_KEY" }]',
        EVENTS,
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return daemon
