"""The daemon put together: NATS, the ledger, the HTTP client and every source, from one configuration."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import structlog

from bridge import __version__
from bridge.cli.broker import PermissionMissing, ledger_names, nats_options
from bridge.cli.sessions import Sessions
from bridge.core.errors import Away
from bridge.core.hooks.keys import VerifyEd25519
from bridge.core.lease import Tenant
from bridge.core.secret import Masker
from bridge.edge import process
from bridge.edge.codec import encode
from bridge.edge.config.loader import Config
from bridge.edge.embedded.server import embedded_nats
from bridge.edge.http import HttpClient
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.edge.ledger.ledger import RETRY_S, JetStreamLedger
from bridge.edge.nats.connection import NatsConnection, connect
from bridge.edge.nats.trouble import Denied
from bridge.edge.websocket import WebSockets
from bridge.engine.groups import task_group
from bridge.engine.quota import Quotas
from bridge.engine.source import World
from bridge.engine.supervisor import Supervisor
from bridge.engine.tenancy import LeaseOffice

if TYPE_CHECKING:
    from bridge.edge.ledger.post import JetStreamPost
    from bridge.engine.alerts import Alerts
    from bridge.engine.hooks import Hooks

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Daemon:
    """What runs. `failed` is set, with the reason in `denied`, when NATS refuses us a subject."""

    supervisor: Supervisor
    connection: NatsConnection
    ledger: JetStreamLedger
    _denied: list[Denied]
    _refused: anyio.Event
    alerts: Alerts | None = None

    async def run(self) -> None:
        """Hold every source until cancelled. Raises PermissionMissing."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.supervisor.run)
            if self.alerts is not None:
                group.start_soon(self.alerts.run)
            await self._refused.wait()
            group.cancel_scope.cancel()
        raise _permission_missing(self._denied)


@asynccontextmanager
async def daemon(config: Config, masker: Masker) -> AsyncIterator[Daemon]:
    """Everything connected and verified, nothing running yet.

    Raises EmbeddedNatsFailed, NatsMisconfigured, NatsUnauthorized, PermissionMissing, and LayoutError.
    """
    denied: list[Denied] = []
    refused = anyio.Event()
    ledgers: list[JetStreamLedger] = []
    buckets: list[JetStreamLeases] = []
    posts: list[JetStreamPost] = []

    def on_disconnect() -> None:
        for ledger in ledgers:
            ledger.disconnected()
        for post in posts:
            post.disconnected()
        for bucket in buckets:
            bucket.disconnected()

    def on_reconnect() -> None:
        for ledger in ledgers:
            ledger.reconnected()

    def on_permission_error(what: Denied) -> None:
        denied.append(what)
        refused.set()

    async with AsyncExitStack() as stack:
        if config.nats.embedded:
            server = await stack.enter_async_context(
                embedded_nats(Path(config.daemon.state_dir), sync_always=config.nats.sync_always)
            )
            options = server.options
        else:
            options = nats_options(config.nats)
        for secret in options.secrets():
            masker.add(secret)
        connection = await stack.enter_async_context(
            connect(
                options,
                on_disconnect=on_disconnect,
                on_reconnect=on_reconnect,
                on_permission_error=on_permission_error,
            )
        )
        names = ledger_names(config.nats)
        ledger = JetStreamLedger(connection.client, names)
        ledgers.append(ledger)
        leases = JetStreamLeases(connection.client, names)
        buckets.append(leases)
        await _ready(ledger, leases, refused, denied)
        http = await stack.enter_async_context(HttpClient())
        me = process.tenant(config.daemon.instance or "", __version__)
        roll = random.SystemRandom().random
        office = LeaseOffice(
            leases,
            me,
            lease_s=config.daemon.lease_s,
            wall=process.wall,
            roll=roll,
            alive=process.alive,
            clock=process.monotonic,
        )
        world = World(
            ledger=ledger,
            http=http,
            quotas=Quotas(process.wall),
            encode=encode,
            wall=process.wall,
            roll=roll,
            masker=masker,
            owner=_owner(me),
            tenancies=office,
            structured=config.nats.content_mode == "structured",
            trace=process.trace,
        )
        hooks = _hooks(config, ledger)
        sessions = Sessions(WebSockets(agent=f"bridged/{__version__}"), roll, hooks)
        sources = [sessions.source(config.adapter(settings)) for settings in config.sources]
        if hooks is not None:
            await stack.enter_async_context(_listening(config, hooks))
        alerts = None
        if config.alerts:
            # Only who has alerts waits for what they need.
            from bridge.cli.alerting import alerting

            alerts, post = alerting(config.alerts, connection, names, world)
            posts.append(post)
        yield Daemon(Supervisor(sources, world), connection, ledger, denied, refused, alerts)


def _hooks(config: Config, ledger: JetStreamLedger) -> Hooks | None:
    """Where webhooks come in; None where no source takes any."""
    if all(config.adapter(settings).hook is None for settings in config.sources):
        return None
    # Only who takes webhooks waits for it.
    from bridge.engine.hooks import Hooks

    return Hooks(
        process.wall,
        answer_timeout_s=config.ingress.answer_timeout_s,
        ed25519=_ed25519,
        # The other half of the largest message is for headers, and for what JSON spells longer than it came.
        room=lambda: ledger.max_payload // 2,
    )


@asynccontextmanager
async def _listening(config: Config, hooks: Hooks) -> AsyncIterator[None]:
    """The door for webhooks is open. Raises what `listening` does."""
    from bridge.edge.listener import listening

    async with listening(config.ingress, hooks) as listener:
        log.info("webhooks.listening", addresses=list(listener.addresses), sources=list(hooks.doors))
        yield


def _ed25519() -> VerifyEd25519:
    from bridge.edge import ed25519

    return ed25519.verify


async def _ready(ledger: JetStreamLedger, leases: JetStreamLeases, refused: anyio.Event, denied: list[Denied]) -> None:
    """Returns when the server's side is verified. A permission that is missing would keep it from ever being so."""
    async with task_group() as group:

        async def give_up() -> None:
            await refused.wait()
            group.cancel_scope.cancel()

        group.start_soon(give_up)
        while True:
            await ledger.wait_ready()
            try:
                await leases.prepare()
            except Away:
                await anyio.sleep(RETRY_S)
            else:
                break
        group.cancel_scope.cancel()
    if denied:
        raise _permission_missing(denied)


def _permission_missing(denied: list[Denied]) -> PermissionMissing:
    first = denied[0]
    subject = _to_grant(first.subject)
    return PermissionMissing(f"NATS denies this user {first.action} on {subject}; grant it and start again")


def _to_grant(subject: str) -> str:
    """What a permission names: of one acknowledgement, all of that consumer."""
    tokens = subject.split(".")
    return ".".join([*tokens[:4], ">"]) if tokens[:2] == ["$JS", "ACK"] and len(tokens) == 9 else subject


def _owner(me: Tenant) -> dict[str, str | int]:
    return {"instance": me.instance, "host": me.host, "pid": me.pid, "since_ms": process.wall(), "build": me.build}
