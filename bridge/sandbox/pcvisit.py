"""The pcvisit sandbox: a real GraphQL server on loopback that plays the vendor, and keeps an honest ledger.

In a test or in the demo:

    async with pcvisit_sandbox(Options(seed=7)) as sandbox:
        sandbox.url, sandbox.integrator_tokens[0], sandbox.users[0].token
        sandbox.make_change(5)
        sandbox.faults.plan("http_503", times=3)

In a process of its own: `bridged sandbox pcvisit --json`, with the interface of `control`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bridge.sandbox.control import PREFIX
from bridge.sandbox.delivery import Exchange
from bridge.sandbox.faults import ANSWER, ROWS, SEND
from bridge.sandbox.graphql_player import GraphqlPlayer
from bridge.sandbox.ledger import Change, Clock
from bridge.sandbox.live import ON_EXPIRY, LiveOptions
from bridge.sandbox.pcvisit_api import PERIODS, Api, Call, Failed
from bridge.sandbox.pcvisit_live import Subscriptions
from bridge.sandbox.pcvisit_pages import EDITED, spoil
from bridge.sandbox.pcvisit_schema import executable
from bridge.sandbox.pcvisit_tokens import Tokens, User
from bridge.sandbox.pcvisit_world import World
from bridge.sandbox.player import played, seeded, wall_ms
from bridge.sandbox.session import Guest
from bridge.sandbox.setup import Setup
from bridge.sandbox.socket import Socket


@dataclass(slots=True)
class Options(LiveOptions):
    """How the vendor behaves. Those of the API may be altered while it runs.

    The published samples lie in 2021, as published, and so outside any short window: read with a long one, or
    set `recent_samples`, which moves them to yesterday by whole days.
    """

    seed: int = 0
    companies: int = 3
    history: int = 20
    """Sessions of the last 30 days that each company starts with."""
    rate: float = 0.0
    """Changes per second that happen by themselves."""
    deletes: bool = False
    recent_samples: bool = False
    jwt_lifetime_s: float | None = 600.0
    """None: the JWT has no `exp`."""
    rate_limit: int | None = None
    """Requests per `rate_period` and integrator; None: no limit."""
    rate_period: str = "minute"
    rate_error: str = "TryAgainLater"
    """Or `TimeOut`: the manual names both."""
    limit_text_first: bool = False
    """Whether `Rate limit: …` stands before `Retry-After: …`."""
    rate_counts_logins: bool = True
    error_prefix: bool = False
    """`ErrorIDs.AccessDenied` instead of `AccessDenied`."""
    float_milliseconds: bool = False
    """`1.6094592e12` instead of `1609459200000`."""
    max_page: int = 100
    refuse_long_pages: bool = False
    """Whether a longer page is refused (InvalidValue) instead of cut to `max_page`."""
    newest_first: bool = False
    port: int = 0
    tls: tuple[Path, Path] | None = None
    """Certificate file and key file."""
    clock: Clock = field(default=wall_ms)

    def __post_init__(self) -> None:
        if self.rate_period not in PERIODS:
            raise ValueError(f"rate_period must be one of {', '.join(PERIODS)}, not {self.rate_period!r}")
        if self.on_expiry not in ON_EXPIRY:
            raise ValueError(f"on_expiry must be one of {', '.join(ON_EXPIRY)}, not {self.on_expiry!r}")
        if self.companies < 1 or self.max_page < 1 or self.rate < 0:
            raise ValueError("companies and max_page must be at least 1, rate at least 0")


class PcvisitSandbox(GraphqlPlayer):
    """The server's state and its ASGI application.

    `companies`: company ids, the first being the published samples'. `users[i]` sees company i; the last user
    sees them all. Any integrator token goes with any user token.
    """

    vendor = "pcvisit"

    def __init__(self, options: Options) -> None:
        rng = seeded(options, "credentials")
        world = World(
            seeded(options, "world"),
            options.clock,
            companies=options.companies,
            history=options.history,
            deletes=options.deletes,
            recent_samples=options.recent_samples,
        )
        super().__init__(options, world)
        self.companies = list(world.companies)
        views = [(id_,) for id_ in self.companies] + [tuple(self.companies)]
        self.users = [User(f"user-{n}", f"pcv-user-{rng.getrandbits(96):024x}", ids) for n, ids in enumerate(views, 1)]
        self.integrator_tokens = [f"pcv-integrator-{rng.getrandbits(96):024x}" for _ in range(2)]
        integrators = {token: f"integrator-{n}" for n, token in enumerate(self.integrator_tokens, 1)}
        self.tokens = Tokens(options.clock, {user.token: user for user in self.users}, integrators)
        self._api = Api(options, options.clock, world, self.tokens, self.faults)
        self._subscriptions = Subscriptions(self._api, self.tokens, world)
        self._serve(executable(self._api, self._subscriptions, lambda: options.float_milliseconds))
        self._subscriptions.feed = self.live.feed

    def revoke_tokens(self) -> None:
        """Every JWT handed out so far is refused from now on."""
        self.tokens.revoke()

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and `login_requests`, `logins`, `history_requests`, `rate_limited`, `expired_tokens`,
        `invalid_tokens`, `failed_<id>`.
        """
        return {**super().counters(), **self._api.counters}

    def describe(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "url": self.url,
            "ws_url": self.ws_url,
            "control": self.base_url + PREFIX,
            "integrator_tokens": self.integrator_tokens,
            "users": [{"token": user.token, "companies": list(user.companies)} for user in self.users],
            "companies": self.companies,
            **self.setup().to_json(),
        }

    def setup(self) -> Setup:
        integrator, user = "PCVISIT_INTEGRATOR_TOKEN", "PCVISIT_USER_TOKEN"
        return Setup(
            keys={"name": "support", "adapter": "pcvisit", "http_url": self.url, "ws_url": self.ws_url},
            secrets={"integrator_token": integrator, "user_token": user},
            environment={integrator: self.integrator_tokens[0], user: self.users[0].token},
            subscriptions="pcvisit_subscriptions.toml",
        )

    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:  # noqa: ARG002  # parameters only
        return self._subscriptions.admit(params)

    def call(self, guest: Guest) -> Call:
        return Call({}, guest=guest.identity)

    def failure(self, error: str, comment: str) -> dict[str, Any]:
        return self._api.failure(Failed(error, comment))

    def announce(self, change: Change) -> None:
        self._subscriptions.announce(change)

    async def answer(self, exchange: Exchange) -> None:
        if exchange.path != "/graphql":
            await exchange.deliver(b"Not Found", status=404, kind="text/plain")
        elif exchange.method != "POST":
            await exchange.deliver(b"Method Not Allowed", status=405, kind="text/plain", allow="POST")
        else:
            await self._graphql(exchange)

    async def _graphql(self, exchange: Exchange) -> None:
        self._counters["requests"] += 1
        body = await exchange.body()
        if body is None:
            return
        try:
            data = msgspec.json.decode(body)
        except msgspec.DecodeError:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("query"), str):
            await exchange.deliver(b'{"errors":[{"message":"the body holds no query"}]}', status=400)
            return
        operation = _operation(data)
        fault = self.faults.draw(ANSWER, operation)
        if fault is not None:
            await exchange.misbehave(fault)
            return
        call = Call(exchange.headers)
        success, result = await self.executor(data, call)
        self._spoil_rows(operation, result, call)
        answer = msgspec.json.encode(result, enc_hook=str)
        spoilt = self.faults.draw(SEND, operation)
        if not await exchange.deliver(
            answer,
            status=200 if success else 400,
            fault=spoilt,
            whole=lambda: self._count_served(data["query"], call),
        ):
            self._counters["unfinished"] += 1

    def _spoil_rows(self, operation: str, result: Any, call: Call) -> None:
        for page in call.pages:
            nodes = ((result.get("data") or {}).get(page.name) or {}).get("nodes")
            if nodes:
                fault = self.faults.draw(ROWS, operation, ids=frozenset(page.ids))
                if fault is not None:
                    spoil(fault, nodes, page, self.faults.rng)

    def _count_served(self, query: str, call: Call) -> None:
        asked_for_all = set(re.findall(r"\w+", query)) >= EDITED
        for page in call.pages:
            self._counters["pages"] += 1
            self._counters["rows"] += len(page.ids)
            if asked_for_all:
                self.ledger.served(seq for seq in page.seqs if seq)


@asynccontextmanager
async def pcvisit_sandbox(options: Options | None = None) -> AsyncIterator[PcvisitSandbox]:
    """A pcvisit sandbox that serves while the block runs. Needs the asyncio backend."""
    async with played(PcvisitSandbox(options or Options())) as sandbox:
        yield sandbox


def _operation(data: Mapping[str, Any]) -> str:
    """What is asked for, as far as faults tell requests apart."""
    if "SiRetrieveSignedJwt" in data["query"]:
        return "login"
    if "AcQuerySessionsHistory" not in data["query"]:
        return "other"
    variables = data.get("variables")
    pagination = variables.get("pagination") if isinstance(variables, dict) else None
    return "next page" if isinstance(pagination, dict) and pagination.get("cursor") else "page"
