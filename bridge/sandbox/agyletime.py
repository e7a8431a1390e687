"""The AgyleTime sandbox: two hosts, JWTs that end, a planner's rosters and timelines page by page, an honest ledger.

In a test or in the demo:

    async with agyletime_sandbox(Options(seed=7, token_s=5, most_per_page=10)) as sandbox:
        sandbox.tenant_url, sandbox.regional_url, sandbox.key_id, sandbox.secret
        sandbox.make_change(5), sandbox.make_change(kind="corrected")
        sandbox.faults.plan("cursor_refused", times=3)

In a process of its own: `bridged sandbox agyletime --json`, with the interface of `control`. Without a socket, on any
clock: `sandbox.api.respond`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bridge.sandbox.agyletime_api import REGIONAL, TENANT, TOKEN_PATH, Api
from bridge.sandbox.agyletime_options import Options
from bridge.sandbox.agyletime_tokens import Tokens
from bridge.sandbox.agyletime_world import World
from bridge.sandbox.control import PREFIX as CONTROL
from bridge.sandbox.delivery import Exchange, Receive, Send
from bridge.sandbox.faults import ANSWER, KINDS
from bridge.sandbox.ledger import Change
from bridge.sandbox.player import Player, played, seeded
from bridge.sandbox.setup import Setup
from bridge.sandbox.silent import Silent

__all__ = ["AgyletimeSandbox", "Options", "agyletime_sandbox"]


class AgyletimeSandbox(Player):
    """The server's state and its ASGI application: one organisation, and one access key that may read all of it."""

    vendor = "agyletime"
    pushes = False
    unchangeable = Player.unchangeable | {"users", "shifts", "tasks", "contacts"}

    def __init__(self, options: Options) -> None:
        world = World(
            seeded(options, "world"),
            options.clock,
            users=options.users,
            shifts=options.shifts,
            tasks=options.tasks,
            contacts=options.contacts,
            deletes=options.deletes,
            late_days=options.late_days,
        )
        super().__init__(options, world)
        self.tokens = Tokens(seeded(options, "credentials"), options)
        self.api = Api(options, world, self.tokens, self.faults, seeded(options, "answers"))
        self.live = Silent()

    @property
    def url(self) -> str:
        """Where both hosts are."""
        return self.base_url

    @property
    def tenant_url(self) -> str:
        """The tenant's host: its resources are below `/api/`."""
        return self.base_url + TENANT.removesuffix("/api/")

    @property
    def regional_url(self) -> str:
        """The region's host."""
        return self.base_url + REGIONAL.rstrip("/")

    @property
    def key_id(self) -> str:
        """The identifier of the access key."""
        return self.tokens.key_id

    @property
    def secret(self) -> str:
        """The access key's secret."""
        return self.tokens.secret

    def revoke_tokens(self) -> None:
        self.tokens.revoke()

    def alter(self, options: Mapping[str, Any]) -> None:
        super().alter(options)
        self.world.deletes, self.world.late_days = self.options.deletes, self.options.late_days

    def announce(self, change: Change) -> None:
        """Nobody is told: this vendor pushes nothing."""

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and those of `agyletime_api.Api` and `agyletime_tokens.Tokens`."""
        return {**super().counters(), **self.api.counters, **self.tokens.counters}

    def describe(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "url": self.url,
            "tenant_url": self.tenant_url,
            "regional_url": self.regional_url,
            "token_url": self.base_url + TOKEN_PATH,
            "control": self.base_url + CONTROL,
            "key_id": self.key_id,
            "secret": self.secret,
            **self.setup().to_json(),
        }

    def setup(self) -> Setup:
        secret = "AGYLETIME_SECRET"  # noqa: S105  # a variable's name
        return Setup(
            keys={
                "name": "workforce",
                "adapter": "agyletime",
                "tenant_url": self.tenant_url,
                "regional_url": self.regional_url,
                "key_id": self.key_id,
            },
            secrets={"secret": secret},
            environment={secret: self.secret},
        )

    async def upgrade(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "websocket.close", "code": 1008})

    async def answer(self, exchange: Exchange) -> None:
        self._counters["requests"] += 1
        if await exchange.body() is None:
            return
        reply = self.api.respond(exchange.method, exchange.path, exchange.query, exchange.headers)
        if reply.struck is not None and KINDS[reply.struck.kind][0] == ANSWER:
            await exchange.misbehave(reply.struck)
            return
        headers = {name.replace("-", "_"): value for name, value in reply.headers.items()}
        if not await exchange.deliver(
            reply.body, status=reply.status, fault=reply.struck, whole=reply.told, beside=headers
        ):
            self._counters["unfinished"] += 1


@asynccontextmanager
async def agyletime_sandbox(options: Options | None = None) -> AsyncIterator[AgyletimeSandbox]:
    """An AgyleTime sandbox that serves while the block runs. Needs the asyncio backend."""
    async with played(AgyletimeSandbox(options or Options())) as sandbox:
        yield sandbox
