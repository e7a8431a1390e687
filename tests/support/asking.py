"""Plain nats-py with patience: its own half second for an answer is too short for a machine that is busy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

DEADLINE_S = 30.0


async def ask(client: Client, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None) -> Msg:
    """The answer to one request. Nobody listening is heard at once, as NoRespondersError."""
    return await client.request(subject, payload, timeout=DEADLINE_S, headers=dict(headers) if headers else None)


def plain_jetstream(client: Client) -> JetStreamContext:
    """nats-py's own JetStream client."""
    return client.jetstream(timeout=DEADLINE_S)


@asynccontextmanager
async def plain_client(url: str, **options: Any) -> AsyncIterator[Client]:
    """A connection of nats-py's own, while the block runs; `options` are those of `nats.connect`."""

    async def quiet(_: Exception) -> None:
        """Failures are seen by whoever asks."""

    client = await nats.connect(url, **{"error_cb": quiet, "connect_timeout": 10, **options})
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def lasting_client(urls: Sequence[str]) -> AsyncIterator[Client]:
    """A connection that comes back by itself, whatever befalls the servers and how often."""

    async def quiet(_: Exception) -> None:
        """It comes back by itself."""

    client = await nats.connect(
        [*urls],
        error_cb=quiet,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        ping_interval=1,
        max_outstanding_pings=2,
    )
    try:
        yield client
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.close()
