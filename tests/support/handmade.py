"""A ledger's stream filled by hand, with plain nats-py: what `tail` and `status` are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.core.event import timestamp
from bridge.core.subject import untoken
from bridge.edge.ledger.layout import LedgerNames, lease_config, state_config, stream_config
from tests.support.asking import ask, plain_client

WHEN_MS = 1_700_000_000_000


class HandmadeStream:
    """The stream `BRIDGE` of one server."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def make(self) -> None:
        """Make it, empty."""
        await self._ask("$JS.API.STREAM.CREATE.BRIDGE", stream_config(LedgerNames()))

    async def make_view(self) -> None:
        """Make the view of it."""
        await self._ask("$JS.API.STREAM.CREATE.KV_bridge-state", state_config(LedgerNames()))

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

    async def whole(self, tail: str, after: Any, **data: Any) -> None:
        """Store an event as the bridge would write it: with all its attributes, and all fields of its data."""
        vendor, source, entity, change, id_ = tail.split(".")
        plain = untoken(id_)
        full = {"id": plain, "change": change, "version": None, "after": after, "before": None}
        full |= {"changed": [], "raw": None, "omitted": [], **data}
        attributes = {
            "specversion": "1.0",
            "id": hashlib.sha256(f"{tail} {after}".encode()).hexdigest()[:32],
            "source": f"/{vendor}/{source}",
            "type": f"org.example.{entity}.{change}",
            "time": timestamp(WHEN_MS),
            "via": "live",
        }
        headers = {f"ce-{name}": value for name, value in attributes.items()}
        if change == "deleted":
            headers["KV-Operation"] = "DEL"
        await self.put(f"in.{tail}", full, WHEN_MS, **headers)

    async def structured(self, tail: str, after: Any) -> None:
        """The same as one document with everything in it."""
        vendor, source, entity, change, id_ = tail.split(".")
        data = {"id": untoken(id_), "change": change, "version": None, "after": after, "before": None}
        document = {
            "specversion": "1.0",
            "id": "0" * 32,
            "source": f"/{vendor}/{source}",
            "type": f"org.example.{entity}.{change}",
            "time": timestamp(WHEN_MS),
            "observedtime": timestamp(WHEN_MS),
            "via": "live",
            "data": data | {"changed": [], "raw": None, "omitted": []},
        }
        await self._ask(f"bridge.in.{tail}", document, {"Content-Type": "application/cloudevents+json; charset=UTF-8"})

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
