"""The pcvisit sandbox: a real GraphQL server on loopback that plays the vendor, and keeps an honest ledger.

In a test or in the demo:

    async with pcvisit_sandbox(Options(seed=7)) as sandbox:
        sandbox.url, sandbox.integrator_tokens[0], sandbox.users[0].token
        sandbox.make_change(5)
        sandbox.faults.plan("http_503", times=3)

In a process of its own: `bridged sandbox pcvisit --json`, with the interface of `control`.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec

from bridge.sandbox.control import PREFIX, control
from bridge.sandbox.delivery import Exchange, Receive, Send
from bridge.sandbox.faults import ANSWER, ROWS, SEND, Faults
from bridge.sandbox.ledger import Change, Clock, Ledger
from bridge.sandbox.pcvisit_api import PERIODS, Api, Call
from bridge.sandbox.pcvisit_pages import EDITED, spoil
from bridge.sandbox.pcvisit_schema import Executor
from bridge.sandbox.pcvisit_tokens import Tokens, User
from bridge.sandbox.pcvisit_world import World
from bridge.sandbox.serving import serving


def wall_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Options:
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
        if self.companies < 1 or self.max_page < 1 or self.rate < 0:
            raise ValueError("companies and max_page must be at least 1, rate at least 0")


class PcvisitSandbox:
    """The server's state and its ASGI application.

    `companies`: company ids, the first being the published samples'. `users[i]` sees company i; the last user
    sees them all. Any integrator token goes with any user token.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.base_url = ""
        rng = _seeded(options, "credentials")
        self.world = World(
            _seeded(options, "world"),
            options.clock,
            companies=options.companies,
            history=options.history,
            deletes=options.deletes,
            recent_samples=options.recent_samples,
        )
        self.companies = list(self.world.companies)
        views = [(id_,) for id_ in self.companies] + [tuple(self.companies)]
        self.users = [User(f"user-{n}", f"pcv-user-{rng.getrandbits(96):024x}", ids) for n, ids in enumerate(views, 1)]
        self.integrator_tokens = [f"pcv-integrator-{rng.getrandbits(96):024x}" for _ in range(2)]
        integrators = {token: f"integrator-{n}" for n, token in enumerate(self.integrator_tokens, 1)}
        self.tokens = Tokens(options.clock, {user.token: user for user in self.users}, integrators)
        self.faults = Faults(_seeded(options, "faults"))
        self.closing = anyio.Event()
        self._api = Api(options, options.clock, self.world, self.tokens, self.faults)
        self._execute = Executor(self._api, lambda: options.float_milliseconds)
        self._counters: Counter[str] = Counter()
        self._rate = options.rate
        self._rate_set = anyio.Event()

    @property
    def url(self) -> str:
        """The GraphQL endpoint."""
        return f"{self.base_url}/graphql"

    @property
    def ledger(self) -> Ledger:
        """Every change so far."""
        return self.world.ledger

    def make_change(self, n: int = 1, kind: str = "") -> list[Change]:
        """Make n changes now, of one kind or of those the seed decides. See `World.change`."""
        return [self.world.change(kind) for _ in range(n)]

    def revoke_tokens(self) -> None:
        """Every JWT handed out so far is refused from now on."""
        self.tokens.revoke()

    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """What the vendor holds now: records by company and id."""
        return self.world.state()

    def counters(self) -> dict[str, Any]:
        """How often what happened; what is absent never did.

        `requests`, `login_requests`, `logins`, `history_requests`, `pages`, `rows`, `unfinished` (answers that did
        not leave in full), `rate_limited`, `expired_tokens`, `invalid_tokens`, `failed_<id>`, `changes`, and
        `faults` by kind.
        """
        api = {**self._counters, **self._api.counters}
        return {**api, "changes": len(self.ledger), "faults": dict(self.faults.served)}

    def set_rate(self, changes_per_s: float) -> None:
        """Changes per second that happen by themselves; 0 stops them."""
        if not 0 <= changes_per_s <= 10_000:
            raise ValueError("changes per second must be between 0 and 10000")
        self._rate = changes_per_s
        self._rate_set.set()
        self._rate_set = anyio.Event()

    def describe(self) -> dict[str, Any]:
        """What a client needs to know: addresses, credentials, companies."""
        return {
            "vendor": "pcvisit",
            "url": self.url,
            "control": self.base_url + PREFIX,
            "integrator_tokens": self.integrator_tokens,
            "users": [{"token": user.token, "companies": list(user.companies)} for user in self.users],
            "companies": self.companies,
        }

    async def keep_changing(self) -> None:
        """Make changes at the rate that is set, for ever."""
        due, last = 0.0, anyio.current_time()
        while True:
            with anyio.move_on_after(max(0.02, 1 / self._rate) if self._rate else None):
                await self._rate_set.wait()
                due, last = 0.0, anyio.current_time()
                continue
            now = anyio.current_time()
            due = min(due + (now - last) * self._rate, max(1.0, self._rate))
            last = now
            # Half a change of slack: the timer may fire a moment early.
            count = int(due + 0.5)
            self.make_change(max(0, count))
            due -= count

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        exchange = Exchange(scope, receive, send, self.closing)
        if exchange.path.startswith(PREFIX):
            await control(self, exchange)
        elif exchange.path != "/graphql":
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
        success, result = await self._execute(data, call)
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
    sandbox = PcvisitSandbox(options or Options())
    async with (
        serving(sandbox, port=sandbox.options.port, tls=sandbox.options.tls) as base_url,
        anyio.create_task_group() as tasks,
    ):
        sandbox.base_url = base_url
        tasks.start_soon(sandbox.keep_changing)
        try:
            yield sandbox
        finally:
            sandbox.closing.set()
            tasks.cancel_scope.cancel()


def _seeded(options: Options, purpose: str) -> random.Random:
    # One stream of chance for each purpose: a fault drawn does not alter which changes come.
    return random.Random(f"{options.seed}:{purpose}")  # noqa: S311  # guessable on purpose: tests repeat it


def _operation(data: Mapping[str, Any]) -> str:
    """What is asked for, as far as faults tell requests apart."""
    if "SiRetrieveSignedJwt" in data["query"]:
        return "login"
    if "AcQuerySessionsHistory" not in data["query"]:
        return "other"
    variables = data.get("variables")
    pagination = variables.get("pagination") if isinstance(variables, dict) else None
    return "next page" if isinstance(pagination, dict) and pagination.get("cursor") else "page"
