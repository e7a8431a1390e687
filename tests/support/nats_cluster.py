"""Three real nats-servers that form one JetStream cluster."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats.errors
from nats.js.errors import APIError

from bridge.core.errors import Away
from bridge.edge.nats.jetstream import ApiError, JetStream
from tests.support.asking import plain_client
from tests.support.nats_server import NatsServer, free_port
from tests.support.waiting import wait_until


async def _has_leader(server: NatsServer) -> bool:
    """Whether JetStream answers there: it does once the cluster has elected a leader."""
    async with plain_client(server.url) as client:
        try:
            # Before there is a leader nobody answers.
            await client.jetstream(timeout=2).account_info()
        except (APIError, nats.errors.Error):
            return False
        return True


def _members(folder: Path, size: int, sync_always: bool, extra: str, advertise: bool = True) -> list[NatsServer]:
    route_ports: list[int] = []
    while len(route_ports) < size:
        port = free_port()
        if port not in route_ports:
            route_ports.append(port)
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in route_ports)
    silent = "" if advertise else "no_advertise: true, "
    return [
        NatsServer(
            folder,
            name=f"n{number}",
            sync_always=sync_always,
            extra=f"cluster {{ name: test, {silent}listen: 127.0.0.1:{port}, routes: [{routes}] }}\n{extra}",
        )
        for number, port in enumerate(route_ports, 1)
    ]


@contextlib.asynccontextmanager
async def nats_cluster(
    folder: Path, *, size: int = 3, sync_always: bool = False, extra: str = "", advertise: bool = True
) -> AsyncIterator[list[NatsServer]]:
    """Running servers that know one another; JetStream is ready. Killed at the end.

    Each can be killed, paused and started on its own; `extra` is appended to every configuration. Unless they
    `advertise`, clients know only the addresses they were given: none finds its way around a proxy.
    """
    servers = _members(folder, size, sync_always, extra, advertise)
    try:
        for server in servers:
            await server.start()
        await cluster_ready(servers)
        yield servers
    finally:
        for server in servers:
            server.kill_blocking()


@contextlib.contextmanager
def nats_cluster_blocking(folder: Path, *, size: int = 3, extra: str = "") -> Iterator[list[NatsServer]]:
    """The same for fixtures without an event loop; whoever uses it first waits for `cluster_ready`."""
    servers = _members(folder, size, False, extra)
    try:
        for server in servers:
            server.start_blocking()
        yield servers
    finally:
        for server in servers:
            server.kill_blocking()


async def cluster_ready(servers: list[NatsServer]) -> None:
    """Returns when the cluster has elected a leader that every server knows."""
    for server in servers:
        await wait_until(lambda one=server: _has_leader(one), what="the cluster to elect a leader")


async def step_down(js: JetStream, stream: str) -> str:
    """Another server becomes the stream's leader; returns its name when it answers."""
    former = await leader(js, stream)
    await js.call(f"STREAM.LEADER.STEPDOWN.{stream}")
    await wait_until(lambda: _is_another(js, stream, former), 150, f"another leader of {stream}")
    return await leader(js, stream)


async def leader(js: JetStream, stream: str) -> str:
    """The name of the server that leads the stream; "" if none does."""
    try:
        return str((await js.stream(stream))["cluster"].get("leader", ""))
    except (ApiError, Away):
        return ""


async def _is_another(js: JetStream, stream: str, former: str) -> bool:
    return await leader(js, stream) not in ("", former)
