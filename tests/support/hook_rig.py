"""A source that takes webhooks: its door, its runner over any ledger, and a sender that signs. On any anyio backend."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio

from adapters.webhook import Adapter
from bridge.adapter import Json, Secret, WebhookSettings
from bridge.core.hooks import standard
from bridge.core.hooks.event_table import EventTable
from bridge.core.hooks.keys import Key, VerifyEd25519
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.engine.hooks import HookFeed, Hooks
from bridge.engine.ports import Incoming, Ledger, Reply
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import Source, World
from bridge.engine.tenancy import Freehold, Tenancies
from tests.support.sim_vendor import SimVendor, wall
from tests.support.waiting import wait_until

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cy0wMDAx"
TOKEN = "token-of-the-tests-0001"

ORDERS = EventTable(
    when={"body.type": "order"}, entity="order", id="body.id", change="changed", version="body.version",
    gone="body.gone", fields={"state": "body.state"},
)  # fmt: skip
OTHERS = EventTable(entity="body.type")


def settings(**given: Any) -> WebhookSettings:
    """A source called `shop`, proven by Standard Webhooks, which knows orders and publishes all else as it is."""
    default: dict[str, Any] = {
        "name": "shop",
        "adapter": "webhook",
        "verify": "standard",
        "secrets": [Secret(SECRET, "env SHOP_SECRET")],
        "event": [ORDERS, OTHERS],
    }
    return WebhookSettings(**default | given)


def bearer(**given: Any) -> WebhookSettings:
    """The same, proven by a token."""
    return settings(**{"verify": "bearer", "secrets": [Secret(TOKEN, "env SHOP_TOKEN")], **given})


def signed(id_: str, body: Json | bytes, *, at_ms: int | None = None, **headers: str) -> Incoming:
    """A delivery as Standard Webhooks has it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamps = standard.sign([Key.parse(Secret(SECRET))], id_, wall() if at_ms is None else at_ms, data)
    return post(data, **stamps, **headers)


def tokened(body: Json | bytes, **headers: str) -> Incoming:
    """A delivery with the token."""
    return post(
        body if isinstance(body, bytes) else json.dumps(body).encode(), authorization=f"Bearer {TOKEN}", **headers
    )


def post(body: bytes, path: str = "/hooks/shop", **headers: str) -> Incoming:
    """Any request; names of headers may have _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Incoming("POST", path, {"content-type": "application/json", **named}, body)


def hub_signature(secret: str, body: bytes) -> str:
    """As senders write it that do not follow the standard."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Instance:
    """One process's half: hooks and a runner, with a ledger that others may share."""

    def __init__(
        self,
        ledger: Ledger,
        given: WebhookSettings,
        *,
        answer_timeout_s: float = 10.0,
        tenancies: Tenancies | None = None,
        owner: str = "test",
        ed25519: Callable[[], VerifyEd25519] | None = None,
    ) -> None:
        self.hooks = Hooks(
            wall, answer_timeout_s=answer_timeout_s, ed25519=ed25519, room=lambda: ledger.max_payload // 2
        )
        adapter = Adapter(given)
        self.door = self.hooks.door(given.name, adapter.hook)
        self.world = World(
            ledger=ledger, http=SimVendor(), quotas=Quotas(), encode=encode, wall=wall, roll=Random(0).random,
            masker=Masker(given.secrets), owner={"instance": owner}, tenancies=tenancies or Freehold(),
        )  # fmt: skip
        source = Source(adapter, lambda _: HookFeed(self.door), session=self.door.statistics, shared=True)
        self.runner = Runner(source, self.world)

    async def __call__(self, request: Incoming) -> Reply:
        """Deliver."""
        return await self.hooks(request)

    @property
    def live(self) -> bool:
        """Whether it takes deliveries."""
        return self.door.open and self.runner.status.state is State.LIVE

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The runner holds the source while the block runs; its door is open when the block begins."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.runner.run)
            await wait_until(lambda: self.live, what="the door to open")
            yield
            group.cancel_scope.cancel()


async def deliver(instance: Instance, *requests: Incoming) -> list[Reply]:
    """All at once; the replies in order."""
    replies: dict[int, Reply] = {}

    async def one(index: int, request: Incoming) -> None:
        replies[index] = await instance(request)

    async with anyio.create_task_group() as group:
        for index, request in enumerate(requests):
            group.start_soon(one, index, request)
    return [replies[index] for index in range(len(requests))]


def order(id_: str, version: int, state: str = "new", **more: Json) -> Mapping[str, Json]:
    """What the shop says of an order."""
    return {"type": "order", "id": id_, "version": version, "state": state, **more}
