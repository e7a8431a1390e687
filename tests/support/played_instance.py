"""Instances as others see them over NATS: no daemon, but the micro service that it has, with any answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bridge.core.micro import Identity, parts
from bridge.edge.codec import encode
from bridge.edge.micro import Endpoint, MicroService
from bridge.edge.nats.connection import NatsOptions, connect
from tests.support.waiting import wait_until

Json = dict[str, Any]
SINCE = "2026-01-01T00:00:00.000Z"


def told_source(name: str, **more: Any) -> Json:
    """A source of a report, that this instance works for."""
    return {
        "name": name, "vendor": "pcvisit", "adapter": "pcvisit", "state": "live", "state_since": SINCE,
        "state_reason": "", "here": True, "owner": None, "takes": None, "condition": "", "since": None, "reason": "",
        "half": "", "failing_since": None, "again": None, "problems": [], "freshness": None, "session": None,
        "walks": [], "quota": None, "subscriptions": [],
        "token": {"age_s": 61.0, "expires_in_s": 600.0, "renew_in_s": 300.0, "renewals": 1}, "inbox": None,
        "counts": None, "rate": [0] * 57 + [7, 5, 1], "open_gaps": [], "quarantined": 0, "last_quarantine": None,
        "last_event": None, "seen": None, **more,
    }  # fmt: skip


def told_report(instance: str, *sources: Json, phase: str = "ready", refused: Json | None = None, **more: Any) -> Json:
    """A report, as an instance of this name gives it."""
    return {
        "version": 1,
        "instance": {
            "name": instance, "host": "h", "pid": 7, "build": "0.1.0", "since": SINCE, "now": SINCE, "phase": phase,
            "refused": refused,
        },
        "headline": f"{len(sources)} sources", "ok": True, "conditions": [], "stream": None, "webhooks": None,
        "nats": {"server": "s", "version": "v", "connected": True, "away_since": None},
        "sources": list(sources), "alerts": [], "events": [], **more,
    }  # fmt: skip


def reloaded(ok: bool = True, text: str = "nothing has changed", **details: Any) -> Json:
    """The answer to `reload`."""
    return {"ok": ok, "text": text, "details": details}


@asynccontextmanager
async def played_instance(
    url: str, name: str, *, report: Json | None = None, reload: Json | None = None, id_: str | None = None
) -> AsyncIterator[list[str]]:
    """One that answers while the block runs, on a connection of its own. Yields what it was asked, as it comes.

    Without `report`, or `reload`, that endpoint never answers in time.
    """
    asked: list[str] = []

    def endpoint(what: str, given: Json | None) -> Endpoint:
        async def answer() -> Sequence[bytes]:
            asked.append(what)
            if given is None:
                await anyio.sleep_forever()
            return parts(given, 262_144, encode) if given and "sources" in given else [json.dumps(given).encode()]

        handle: Callable[[], Awaitable[Sequence[bytes]]] = answer
        return Endpoint(what, handle, 0.05 if given is None else 30.0)

    metadata = {"instance": name, "host": "h", "pid": "7", "build": "0.1.0"}
    identity = Identity(id_ or f"id{abs(hash(name))}", name, "0.1.0", metadata, 0)
    async with connect(NatsOptions(urls=(url,))) as connection:
        service = MicroService(connection, identity, (endpoint("status", report), endpoint("reload", reload)))
        async with anyio.create_task_group() as group:
            group.start_soon(service.run)
            await wait_until(lambda: service.listening, what="the instance to listen")
            yield asked
            group.cancel_scope.cancel()
