"""The generic IoT platform's sandbox: its REST side with journal and packets, its sockets, and an honest ledger.

In a test or in the demo:

    async with platform_sandbox(Options(seed=7, token_s=5, cap=50)) as sandbox:
        sandbox.url, sandbox.login, sandbox.password, sandbox.issued_token
        sandbox.make_change(5), sandbox.world.packet(), sandbox.world.occur("door-opened", {})
        sandbox.faults.plan("http_401", times=3, on="page")

In a process of its own: `bridged sandbox platform --json`, with the interface of `control`.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import msgspec

from bridge.sandbox.control import PREFIX as CONTROL
from bridge.sandbox.delivery import Exchange, Receive, Send
from bridge.sandbox.dialect import Refused
from bridge.sandbox.faults import ANSWER, RESOLVE, ROWS, SEND, Fault
from bridge.sandbox.ledger import Change
from bridge.sandbox.platform_api import PREFIX, Answer, Api, error, path_kind
from bridge.sandbox.platform_live import PlatformLive, PlatformLiveOptions
from bridge.sandbox.platform_options import PlatformOptions
from bridge.sandbox.platform_packets import DEFAULT_RECORDING
from bridge.sandbox.platform_rows import spoil
from bridge.sandbox.platform_tokens import NotAccepted, Pass, Tokens
from bridge.sandbox.platform_world import PlatformWorld
from bridge.sandbox.player import Player, played, seeded
from bridge.sandbox.recording import nino
from bridge.sandbox.session import Guest
from bridge.sandbox.setup import Setup
from bridge.sandbox.socket import Socket

__all__ = ["Options", "PlatformSandbox", "platform_sandbox"]

LOGINS: Final = {"cookie": "/api/v1/auth", "token": "/api/v1/auth/token"}
CENTURY_S: Final = 100 * 365 * 86_400.0


@dataclass(slots=True)
class Options(PlatformOptions, PlatformLiveOptions):
    """How the vendor behaves: its REST side, and its sockets."""

    def __post_init__(self) -> None:
        PlatformLiveOptions.__post_init__(self)
        self.check()


class PlatformSandbox(Player):
    """The server's state and its ASGI application. There is one project, and one user who may read all of it."""

    vendor = "platform"
    unchangeable = Player.unchangeable | {"objects", "models", "users", "history", "recording"}
    live: PlatformLive

    def __init__(self, options: Options) -> None:
        rng = seeded(options, "credentials")
        self.login = f"bridge-{rng.getrandbits(32):08x}"
        self.password = f"plt-secret-{rng.getrandbits(96):024x}"
        self.tokens = Tokens(rng, options.clock, {self.login: self.password})
        world = PlatformWorld(
            seeded(options, "world"),
            options.clock,
            objects=options.objects,
            models=options.models,
            users=options.users,
            history=options.history,
            packet_share=options.packet_share,
            deletes=options.deletes,
            whole=options.store_pushes == "entity",
            recording=nino() if options.recording == "nino" else DEFAULT_RECORDING,
        )
        super().__init__(options, world)
        self.issued_token = self.tokens.issue(self.login, "issued", None).text
        """A token as one issues by hand in the user interface: it does not expire."""
        self._api = Api(options, options.clock, world)
        self.live = PlatformLive(self, options.clock, self.closing)
        world.listeners.append(self.live.publish)

    @property
    def url(self) -> str:
        """Base of everything: the API is below `/api/v1/`."""
        return self.base_url

    @property
    def ws_url(self) -> str:
        """Base of the sockets: `/socket.io/` and `/events/stream`."""
        return "ws" + self.base_url.removeprefix("http")

    def revoke_tokens(self) -> None:
        self.tokens.revoke()

    def alter(self, options: Mapping[str, Any]) -> None:
        super().alter(options)
        self.world.packet_share, self.world.deletes = self.options.packet_share, self.options.deletes
        self.world.whole = self.options.store_pushes == "entity"

    def announce(self, change: Change) -> None:
        """Nothing is left to do: the world tells its listeners itself."""

    def acks(self, since: int = 0) -> Mapping[str, Any]:
        return self.live.acks(since)

    def issued(self, since: int = 0) -> Mapping[str, Any]:
        """`occurred`: changes of the ledger `occurrences` after number `since`; `packets`: data by `_oid` and `_ts`;
        `rows`: `[store, event]` for every change of a row, since who does not read the store may take it for an event.
        """
        packets: dict[str, dict[str, Any]] = {oid: {} for oid in self.world.packets}
        for oid, ts, data in self.world.issued_packets():
            packets[oid][str(ts)] = data
        occurred = [change.to_json() for change in self.world.occurrences.since(since)]
        rows = list(self.world.row_events())
        return {"occurred": occurred, "last": len(self.world.occurrences), "packets": packets, "rows": rows}

    def counters(self) -> dict[str, Any]:
        """As every sandbox's, and `occurred`, `packets`, `login_requests`, those of `Tokens`, `forbidden`,
        `bad_requests`, `not_found`, `writes` (tried), `read_<kind>` by what was read, and those of the live half.
        """
        packets = sum(len(log) for log in self.world.packets.values())
        happened = {"occurred": len(self.world.occurrences), "packets": packets}
        own = {name: count for name, count in {**happened, **self.tokens.counters}.items() if count}
        return {**super().counters(), **own, **self.live.counters()}

    def describe(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "url": self.url,
            "ws_url": self.ws_url,
            "control": self.base_url + CONTROL,
            "login": self.login,
            "password": self.password,
            "issued_token": self.issued_token,
            **self.setup().to_json(),
        }

    def setup(self) -> Setup:
        secret = "PLATFORM_PASSWORD"  # noqa: S105  # a variable's name
        return Setup(
            keys={
                "name": "plant",
                "adapter": "platform",
                "base_url": self.url,
                "auth": "token",
                "login": self.login,
                "transport": "socketio",
                "engineio": int(str(self.options.engineio).split()[0]),
            },
            secrets={"password": secret},
            environment={secret: self.password},
        )

    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:  # noqa: ARG002  # nothing is sent after the upgrade
        """Let a client into a live session, by its upgrade request. Raises Refused.

        The stream takes no cookie. Socket.IO takes one always, and a token unless `socketio_bearer` says otherwise.
        """
        shut = "cookie" if socket.path.startswith("/events/") else ""
        if not shut and not self.options.socketio_bearer:
            shut = "authorization"
        try:
            held = self.tokens.admit(
                {name: text for name, text in socket.headers.items() if name != shut}, socket.query
            )
        except NotAccepted as refusal:
            raise Refused(str(refusal)) from refusal
        return Guest(held, held.expires_ms)

    async def upgrade(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await self.live(Socket(scope, receive, send))

    async def answer(self, exchange: Exchange) -> None:
        self._counters["requests"] += 1
        body = await exchange.body()
        if body is None:
            return
        parameters = dict(urllib.parse.parse_qsl(exchange.query, keep_blank_values=True))
        login = next((kind for kind, path in LOGINS.items() if path == exchange.path), "")
        operation = "login" if login else path_kind(exchange.path, parameters)
        if (fault := self.faults.draw(ANSWER, operation)) is not None:
            await self._misbehave(exchange, fault)
            return
        struck = self.faults.draw(RESOLVE, operation)
        if struck is not None and struck.kind == "revoked":
            self.revoke_tokens()
        if login:
            garbage = struck is not None and struck.kind == "garbage_token"
            await self._login(exchange, login, body, garbage=garbage)
            return
        answer = self._answered(exchange, parameters)
        told = answer.told
        if answer.rows and (fault := self.faults.draw(ROWS, operation, ids=_ids(answer.rows))) is not None:
            spoil(fault, answer.rows, self.faults.rng)
            told = _nothing  # who cannot read a row was not told of it; of the others nobody asks
        whole = await exchange.deliver(
            msgspec.json.encode(answer.body),
            status=answer.status,
            fault=self.faults.draw(SEND, operation),
            whole=told,
        )
        if not whole:
            self._counters["unfinished"] += 1

    def _answered(self, exchange: Exchange, parameters: Mapping[str, str]) -> Answer:
        try:
            self.tokens.admit(exchange.headers, parameters)
        except NotAccepted:
            return Answer(401, error(401))
        if exchange.method != "GET":
            self._counters["writes"] += 1
            return Answer(403, error(403))
        answer = self._api.get(exchange.path, parameters)
        parts = exchange.path.removeprefix(PREFIX).split("/")
        read = f"read_{parts[2] if len(parts) == 3 else parts[0]}"
        self._counters[{200: read, 400: "bad_requests", 403: "forbidden"}.get(answer.status, "not_found")] += 1
        if answer.rows is not None:
            self._counters["pages"] += 1
            self._counters["rows"] += len(answer.rows)
        return answer

    async def _login(self, exchange: Exchange, kind: str, body: bytes, *, garbage: bool) -> None:
        self._counters["login_requests"] += 1
        try:
            given = msgspec.json.decode(body)
        except msgspec.DecodeError:
            given = None
        if exchange.method != "POST" or not isinstance(given, dict):
            await exchange.deliver(msgspec.json.encode(error(400)), status=400)
            return
        if not self.tokens.known(given.get("login"), given.get("password")):
            # Which status wrong credentials get is not said; 403's tags name credentials, 401's an absent login.
            await exchange.deliver(msgspec.json.encode(error(403)), status=403)
            return
        life_s = self.options.token_s
        if kind == "token":
            held = self.tokens.issue(
                self.login, kind, CENTURY_S if life_s is None else life_s, alone=self.options.alone
            )
            answer = _token(held)
            if garbage:
                answer |= {"token": {"no": "text"}, "expiresAt": "soon"}
            await exchange.deliver(msgspec.json.encode(answer), fault=self.faults.draw(SEND, "login"))
            return
        held = self.tokens.issue(self.login, kind, life_s, alone=self.options.alone)
        cookie = "sid=; Path=/; HttpOnly" if garbage else _cookie(held)
        body = msgspec.json.encode({"sucess": True})
        await exchange.deliver(body, fault=self.faults.draw(SEND, "login"), set_cookie=cookie)

    @staticmethod
    async def _misbehave(exchange: Exchange, fault: Fault) -> None:
        if fault.kind in ("http_401", "http_403"):
            status = int(fault.kind.removeprefix("http_"))
            await exchange.deliver(msgspec.json.encode(error(status)), status=status)
        else:
            await exchange.misbehave(fault)


@asynccontextmanager
async def platform_sandbox(options: Options | None = None) -> AsyncIterator[PlatformSandbox]:
    """A sandbox of the generic platform that serves while the block runs. Needs the asyncio backend."""
    async with played(PlatformSandbox(options or Options())) as sandbox:
        yield sandbox


def _token(held: Pass) -> dict[str, Any]:
    """The vendor's answer, misspelt as it is."""
    return {
        "sucess": True,
        "type": "access",
        "token": held.text,
        "issuedAt": held.issued_ms,
        "expiresAt": held.expires_ms,
    }


def _cookie(held: Pass) -> str:
    if held.expires_ms is None:
        return f"sid={held.text}; Path=/; HttpOnly"
    expires = format_datetime(datetime.fromtimestamp(held.expires_ms // 1000, UTC), usegmt=True)
    return f"sid={held.text}; Path=/; Expires={expires}; HttpOnly"


def _ids(rows: list[Any]) -> frozenset[str]:
    return frozenset(str(row.get(key)) for row in rows for key in ("_id", "_msgid") if key in row)


def _nothing() -> None:
    pass
