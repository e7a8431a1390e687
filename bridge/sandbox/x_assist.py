"""The X-Assist sandbox: OAuth, GraphQL with stale queries, a GCRA limiter and live sessions, and an honest ledger.

In a test or in the demo:

    async with x_assist_sandbox(Options(seed=7, lag_s=2)) as sandbox:
        sandbox.url, sandbox.issuer, sandbox.client_id, sandbox.client_secret
        sandbox.make_change(5)
        sandbox.faults.plan("withheld", times=None, probability=0.2)

In a process of its own: `bridged sandbox x_assist --json`, with the interface of `control`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from graphql import GraphQLError

from bridge.sandbox.control import PREFIX
from bridge.sandbox.delivery import Exchange
from bridge.sandbox.dialect import Refused
from bridge.sandbox.faults import ANSWER, ROWS, SEND
from bridge.sandbox.feed import Item
from bridge.sandbox.gcra import Gcra, Verdict
from bridge.sandbox.graphql_player import GraphqlPlayer
from bridge.sandbox.ledger import Change
from bridge.sandbox.player import played, seeded
from bridge.sandbox.session import Guest
from bridge.sandbox.setup import Setup
from bridge.sandbox.socket import Socket
from bridge.sandbox.x_assist_api import TOPIC, Api, Call
from bridge.sandbox.x_assist_ids import canonical
from bridge.sandbox.x_assist_options import Options
from bridge.sandbox.x_assist_rows import spoil
from bridge.sandbox.x_assist_schema import executable
from bridge.sandbox.x_assist_tokens import DISCOVERY_PATH, TOKEN_PATH, NotAccepted, OAuth
from bridge.sandbox.x_assist_world import SCOPE, World

__all__ = ["Options", "XAssistSandbox", "x_assist_sandbox"]


class XAssistSandbox(GraphqlPlayer):
    """The server's state and its ASGI application. There is one tenant, whom any client of `oauth` may read."""

    vendor = "x-assist"

    def __init__(self, options: Options) -> None:
        rng = seeded(options, "credentials")
        world = World(seeded(options, "world"), options.clock, history=options.history, deletes=options.deletes)
        super().__init__(options, world)
        self.client_id = f"bridge-{rng.getrandbits(64):016x}"
        self.client_secret = f"xas-secret-{rng.getrandbits(96):024x}"
        self.oauth = OAuth(rng, options.clock, {self.client_id: self.client_secret})
        self._gcra = Gcra(options.clock)
        self._api = Api(options, options.clock, world, self.faults, seeded(options, "replicas"))
        self._serve(executable(self._api))
        self._api.feed = self.live.feed

    @property
    def issuer(self) -> str:
        """Base of the IAM: the discovery document and the token endpoint are below it."""
        return self.base_url

    @property
    def token_url(self) -> str:
        """The OAuth token endpoint."""
        return self.base_url + TOKEN_PATH

    def revoke_tokens(self) -> None:
        """Every token handed out so far is refused from now on."""
        self.oauth.revoke()

    @staticmethod
    def canonical(id_: str) -> str:
        """The ledger's name of an event, from any id that was ever handed out."""
        return canonical(id_)

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and `login_requests`, `logins`, `rate_limited`, `too_complex`, `expired_tokens`,
        `invalid_tokens`.
        """
        return {**super().counters(), **self.oauth.counters}

    def describe(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "url": self.url,
            "ws_url": self.ws_url,
            "cable_url": self.cable_url,
            "issuer": self.issuer,
            "token_url": self.token_url,
            "control": self.base_url + PREFIX,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            **self.setup().to_json(),
        }

    def setup(self) -> Setup:
        secret = "X_ASSIST_CLIENT_SECRET"  # noqa: S105  # a variable's name
        return Setup(
            keys={
                "name": "travel",
                "adapter": "x_assist",
                "graphql_url": self.url,
                "issuer": self.issuer,
                "client_id": self.client_id,
                "transport": "graphql-transport-ws",
                "ws_url": self.ws_url,
            },
            secrets={"client_secret": secret},
            environment={secret: self.client_secret},
            subscriptions="x_assist_subscriptions.toml",
        )

    def announce(self, change: Change) -> None:
        if change.record is not None:  # nothing in the assumed type could say that an event is gone
            self.live.feed.publish(TOPIC, SCOPE, Item({"event": change.record}, change.id, change.seq))

    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:
        given = (
            _bearer(socket.headers.get("authorization")),
            socket.query.get("access_token"),
            *(_bearer(params.get(name)) for name in ("Authorization", "authorization", "authToken")),
            params.get("access_token"),
        )
        token = next((text for text in given if isinstance(text, str) and text), "")
        try:
            _, expires_ms = self.oauth.check(token)
        except NotAccepted as refusal:
            raise Refused(str(refusal)) from refusal
        return Guest(_language(socket.headers), expires_ms)

    def call(self, guest: Guest) -> Call:
        return Call(str(guest.identity))

    async def answer(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case "GET", path if path == DISCOVERY_PATH:
                await exchange.deliver(msgspec.json.encode(self.oauth.discovery(self.base_url)))
            case "POST", path if path == TOKEN_PATH:
                await self._login(exchange)
            case "POST", "/graphql":
                await self._graphql(exchange)
            case _, path if path in ("/graphql", TOKEN_PATH):
                await exchange.deliver(b"Method Not Allowed", status=405, kind="text/plain", allow="POST")
            case _:
                await exchange.deliver(b"Not Found", status=404, kind="text/plain")

    async def _login(self, exchange: Exchange) -> None:
        body = await exchange.body()
        if body is None:
            return
        if (fault := self.faults.draw(ANSWER, "login")) is not None:
            await exchange.misbehave(fault)
            return
        garbage = False
        try:
            garbage = self._strike("login")
        except GraphQLError as failed:
            await exchange.deliver(msgspec.json.encode({"error": "server_error", "error_description": str(failed)}))
            return
        await self.oauth.issue(exchange, body, self.options.token_lifetime_s, garbage=garbage)

    async def _graphql(self, exchange: Exchange) -> None:
        self._counters["requests"] += 1
        body = await exchange.body()
        data = _decoded(body) if body is not None else None
        if data is None:
            await exchange.deliver(_errors("the body holds no query"), status=400)
            return
        operation = _operation(data)
        if (fault := self.faults.draw(ANSWER, operation)) is not None:
            await exchange.misbehave(fault)
            return
        call = Call(_language(exchange.headers), operation, self._api.replica_ms())
        verdict = None
        try:
            self._strike(operation)
            client, _ = self.oauth.check(_token(exchange))
            verdict = self._charge(client, data)
            success, result = await self.executor(data, call) if verdict.passes else (False, None)
        except NotAccepted as refusal:
            await exchange.deliver(_errors(str(refusal)), status=401, www_authenticate='Bearer realm="x-assist"')
            return
        except GraphQLError as failed:
            await exchange.deliver(msgspec.json.encode({"data": None, "errors": [failed.formatted]}))
            return
        if not verdict.passes:
            await exchange.deliver(_errors("Too many requests"), status=429, beside=verdict.headers)
            return
        self._spoil_rows(operation, result, call)
        if not await exchange.deliver(
            msgspec.json.encode(result, enc_hook=str),
            status=200 if success else 400,
            fault=self.faults.draw(SEND, operation),
            whole=lambda: self._count_served(call),
            beside=verdict.headers,
        ):
            self._counters["unfinished"] += 1

    def _strike(self, operation: str) -> bool:
        struck = self._api.strike(operation)
        if struck and operation != "login":
            self.oauth.revoke()
        return struck

    def _charge(self, client: str, data: Mapping[str, Any]) -> Verdict:
        per_hour = self.options.requests_per_hour
        if per_hour is None:
            return Verdict(True, {})
        cost = self._api.cost(self.executor.parse(data["query"]), data.get("variables") or {})
        verdict = self._gcra.spend(client, cost, per_hour=per_hour, burst=self.options.burst)
        if not verdict.passes:
            self._counters["too_complex" if not verdict.headers["retry_after"] else "rate_limited"] += 1
        return verdict

    def _spoil_rows(self, operation: str, result: Any, call: Call) -> None:
        for name, (ids, seqs) in call.pages.items():
            page = (result.get("data") or {}).get(name)
            nodes = page.get("nodes") if isinstance(page, dict) else None
            if nodes and (fault := self.faults.draw(ROWS, operation, ids=frozenset(ids))) is not None:
                spoil(fault, result, name, nodes, ids, seqs, self.faults.rng)

    def _count_served(self, call: Call) -> None:
        for ids, seqs in call.pages.values():
            self._counters["pages"] += 1
            self._counters["rows"] += len(ids)
            self.ledger.served(seq for seq in seqs if seq)


@asynccontextmanager
async def x_assist_sandbox(options: Options | None = None) -> AsyncIterator[XAssistSandbox]:
    """An X-Assist sandbox that serves while the block runs. Needs the asyncio backend."""
    async with played(XAssistSandbox(options or Options())) as sandbox:
        yield sandbox


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        data = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get("query"), str) else None


def _operation(data: Mapping[str, Any]) -> str:
    """What is asked for, as far as faults tell requests apart."""
    variables = data.get("variables")
    if "events" not in data["query"] and "nodes" not in data["query"]:
        return "other"
    return "next page" if isinstance(variables, dict) and variables.get("after") else "page"


def _errors(text: str) -> bytes:
    return msgspec.json.encode({"errors": [{"message": text}]})


def _bearer(text: Any) -> str | None:
    return text.removeprefix("Bearer ") if isinstance(text, str) else None


def _token(exchange: Exchange) -> str:
    given = exchange.headers.get("authorization", "")
    return given[7:] if given.startswith("Bearer ") else exchange.parameters().get("access_token", "")


def _language(headers: Mapping[str, str]) -> str:
    return headers.get("accept-language", "en").partition(",")[0].partition(";")[0].strip() or "en"
