"""The ProSonata sandbox: an agency's data behind a small quota, read page by page, and an honest ledger.

In a test or in the demo:

    async with prosonata_sandbox(Options(seed=7, quota=200, block_s=60)) as sandbox:
        sandbox.url, sandbox.app_id, sandbox.key
        sandbox.make_change(5, "projects-update"), sandbox.world.delete("projecttimes", id_)
        sandbox.faults.plan("total_lies", rows=-3)

In a process of its own: `bridged sandbox prosonata --json`, with the interface of `control`. Without a socket:
`prosonata_api.Api.respond`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bridge.sandbox.control import PREFIX as CONTROL
from bridge.sandbox.delivery import Exchange, Receive, Send
from bridge.sandbox.faults import ANSWER, KINDS
from bridge.sandbox.ledger import Change
from bridge.sandbox.player import Player, played, seeded
from bridge.sandbox.prosonata_api import Api
from bridge.sandbox.prosonata_options import Options
from bridge.sandbox.prosonata_world import ProsonataWorld
from bridge.sandbox.setup import Setup
from bridge.sandbox.silent import Silent

__all__ = ["Options", "ProsonataSandbox", "prosonata_sandbox"]


class ProsonataSandbox(Player):
    """The server's state and its ASGI application: one account, with one key that may read everything."""

    vendor = "prosonata"
    pushes = False
    unchangeable = Player.unchangeable | {"size"}
    live: Silent

    def __init__(self, options: Options) -> None:
        world = ProsonataWorld(seeded(options, "world"), options.clock, size=options.size, deletes=options.deletes)
        super().__init__(options, world)
        self.api = Api(options, options.clock, world, self.faults, seeded(options, "answers"))
        self.live = Silent()

    @property
    def url(self) -> str:
        """Base of the API: resources are below `/api/v1/`."""
        return self.base_url

    @property
    def key(self) -> str:
        """The key that opens the API now."""
        return self.api.key

    @property
    def app_id(self) -> str:
        """The id of the app integration; "" where a user's key is asked for."""
        return self.api.app_id if self.options.auth == "app" else ""

    def revoke_tokens(self) -> None:
        """Somebody makes a new key: the old one is refused from now on."""
        self.api.renew()

    def alter(self, options: Mapping[str, Any]) -> None:
        super().alter(options)
        self.world.deletes = self.options.deletes

    def announce(self, change: Change) -> None:
        """Nobody is told: this vendor pushes nothing."""

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and those of `prosonata_api.Api` and `prosonata_quota.Quota`."""
        return {**super().counters(), **self.api.counters, **self.api.quota.counters}

    def describe(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "url": self.url,
            "control": self.base_url + CONTROL,
            "key": self.key,
            "app_id": self.app_id,
            "quota": self.options.quota,
            "block_s": self.options.block_s,
            **self.setup().to_json(),
        }

    def setup(self) -> Setup:
        app = {"app_id": "PROSONATA_APP_ID"} if self.app_id else {}
        environment = {"PROSONATA_API_KEY": self.key} | ({"PROSONATA_APP_ID": self.app_id} if app else {})
        return Setup(
            keys={
                "name": "agency",
                "adapter": "prosonata",
                "base_url": self.url,
                "requests_per_block": self.options.quota,
                "block_s": self.options.block_s,
            },
            secrets={"api_key": "PROSONATA_API_KEY", **app},
            environment=environment,
        )

    async def upgrade(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.live.refused += 1
        await send({"type": "websocket.close", "code": 1008})

    async def answer(self, exchange: Exchange) -> None:
        self._counters["requests"] += 1
        if await exchange.body() is None:
            return
        reply = self.api.respond(exchange.method, exchange.path, exchange.query, exchange.headers)
        if reply.struck is not None and KINDS[reply.struck.kind][0] == ANSWER:
            await exchange.misbehave(reply.struck)
            return
        whole = await exchange.deliver(
            reply.body, status=reply.status, kind=reply.kind, fault=reply.struck, whole=reply.told
        )
        if not whole:
            self._counters["unfinished"] += 1


@asynccontextmanager
async def prosonata_sandbox(options: Options | None = None) -> AsyncIterator[ProsonataSandbox]:
    """A ProSonata sandbox that serves while the block runs. Needs the asyncio backend."""
    async with played(ProsonataSandbox(options or Options())) as sandbox:
        yield sandbox
