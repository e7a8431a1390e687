"""A ledger's stream filled by hand, with plain nats-py: what `tail` and `status` are shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.core.event import timestamp
from bridge.edge.ledger.layout import LedgerNames, lease_config, stream_config
from tests.support.asking import ask, plain_client


class HandmadeStream:
    """The stream `BRIDGE` of one server."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def make(self) -> None:
        """Make it, empty."""
        await self._ask("$JS.API.STREAM.CREATE.BRIDGE", stream_config(LedgerNames()))

    async def remove(self) -> None:
        """Remove it with all that is in it."""
        await self._ask("$JS.API.STREAM.DELETE.BRIDGE", None)

    async def put(self, subject: str, data: Any, observed_ms: int = 0, **headers: str) -> None:
        """Store one message below `bridge.`, observed then."""
        given = {"ce-observedtime": timestamp(observed_ms), **headers}
        await self._ask(f"bridge.{subject}", data, given)

    async def event(self, tail: str, after: Any, observed_ms: int = 0, **data: Any) -> None:
        """Store an event: `tail` is vendor, source, entity, change and id."""
        whole = {"id": tail.rpartition(".")[2], "after": after, **data}
        await self.put(f"in.{tail}", whole, observed_ms)

    async def lease(self, source: str, value: Any) -> None:
        """Make the bucket of leases, and store what lies there under the source's name."""
        await self._ask("$JS.API.STREAM.CREATE.KV_bridge-leases", lease_config(LedgerNames()))
        await self._ask(f"$KV.bridge-leases.{source}", value)

    async def _ask(self, subject: str, data: Any, headers: dict[str, str] | None = None) -> None:
        payload = b"" if data is None else json.dumps(data).encode()
        answer = await ask(self.client, subject, payload, headers)
        assert b'"error"' not in answer.data, answer.data


@asynccontextmanager
async def handmade_stream(url: str, **options: Any) -> AsyncIterator[HandmadeStream]:
    """The stream of the server at `url`, not made yet."""
    async with plain_client(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, **options) as client:
        yield HandmadeStream(client)
