"""Three real nats-servers that form one JetStream cluster."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
from nats.js.errors import APIError

from tests.support.nats_server import NatsServer, free_port
from tests.support.waiting import wait_until


async def _has_leader(server: NatsServer) -> bool:
    """Whether JetStream answers there: it does once the cluster has elected a leader."""
    client = await nats.connect(server.url)
    try:
        await client.jetstream(timeout=1).account_info()
    except (APIError, nats.errors.Error):
        return False
    else:
        return True
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def nats_cluster(
    folder: Path, *, size: int = 3, sync_always: bool = False, extra: str = ""
) -> AsyncIterator[list[NatsServer]]:
    """Running servers that know one another; JetStream is ready. Killed at the end.

    Each can be killed, paused and started on its own; `extra` is appended to every configuration.
    """
    route_ports: list[int] = []
    while len(route_ports) < size:
        port = free_port()
        if port not in route_ports:
            route_ports.append(port)
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in route_ports)
    servers = [
        NatsServer(
            folder,
            name=f"n{number}",
            sync_always=sync_always,
            extra=f"cluster {{ name: test, listen: 127.0.0.1:{port}, routes: [{routes}] }}\n{extra}",
        )
        for number, port in enumerate(route_ports, 1)
    ]
    try:
        for server in servers:
            await server.start()
        for server in servers:
            await wait_until(lambda one=server: _has_leader(one), 30, "the cluster to elect a leader")
        yield servers
    finally:
        for server in servers:
            server.kill_blocking()
