"""The daemon put together: NATS, the ledger, the HTTP client, every source, and the services beside them."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import anyio
import structlog
from anyio.abc import TaskGroup

from bridge import __version__
from bridge.cli.admission import Admission
from bridge.cli.broker import ledger_names, reached
from bridge.cli.entrance import Entrance
from bridge.cli.leasing import make_leasing
from bridge.cli.making import LateSockets, make_alerts, make_hooks, make_tracing, take_webhooks
from bridge.cli.reloading import FINISH_S, Reloading
from bridge.cli.services import serve
from bridge.cli.sessions import Sessions
from bridge.core.lease import Tenant
from bridge.core.reload import Change, ReloadResult
from bridge.core.secret import Masker, Secret
from bridge.edge import process
from bridge.edge.codec import encode, exact, spell
from bridge.edge.config.loader import Config
from bridge.edge.http import HttpClient
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import NatsConnection, unopened
from bridge.engine.pulse import Pulse
from bridge.engine.quota import Quotas
from bridge.engine.readiness import Readiness
from bridge.engine.seat import Seat
from bridge.engine.source import World
from bridge.engine.supervisor import Supervisor

if TYPE_CHECKING:
    from bridge.edge.ledger.post import JetStreamPost
    from bridge.edge.nats.options import NatsOptions
    from bridge.edge.otlp import SpanExporter
    from bridge.engine.alerts import Alerts
    from bridge.engine.hooks import Hooks

log = structlog.get_logger()

KNOCK_S = 2.0
"""How often a place for webhooks that was taken at the start is tried, in seconds."""

Phase = Literal["begin"] | tuple[Literal["end"], ReloadResult]
"""What `Daemon.on_reload` is told."""
Handed = Callable[[str], Sequence[socket.socket]]
"""Copies of the sockets of that name that whoever started us has handed over: `webhooks`, `status`."""


@dataclass(kw_only=True)
class Daemon:
    """What runs. `config` is what it runs with: after a reload, what of the new one was taken over.

    `tenant`: who we are. `handed`: see `Handed`. `on_reload`: each is called when a reload begins and when it has
    ended; they return at once and raise nothing. `hooks`, `alerts` and `spans` are None where no source takes webhooks,
    nobody is to be told anything, and nobody wants traces.
    """

    config: Config
    masker: Masker
    tenant: Tenant
    since_ms: int
    readiness: Readiness
    connection: NatsConnection
    ledger: JetStreamLedger
    leases: JetStreamLeases
    world: World
    sessions: Sessions
    supervisor: Supervisor
    entrance: Entrance
    admission: Admission
    handed: Handed
    load: Callable[[], Config] | None = None
    hooks: Hooks | None = None
    alerts: Alerts | None = None
    post: JetStreamPost | None = None
    spans: SpanExporter | None = None
    on_reload: list[Callable[[Phase], None]] = field(default_factory=list)
    started: anyio.Event = field(default_factory=anyio.Event)
    """Set once NATS is verified, every door is open, and the sources are about to begin."""
    _stopping: anyio.Event = field(default_factory=anyio.Event)
    _group: TaskGroup | None = None
    _alerting: Seat | None = None

    def __post_init__(self) -> None:
        self._reloading = Reloading(self, self.load)

    async def begin(self) -> None:
        """Returns when NATS is connected and verified. `run` does it, too, where it was not done before.

        Raises NatsMisconfigured, NatsUnauthorized, PermissionMissing and LayoutError.
        """
        await self.admission.verified(self.connection, self.ledger, self.leases, self.readiness)
        self.readiness.reach("nats")

    async def run(self) -> None:
        """Begin, then hold every source, until cancelled or told to `stop`.

        Raises what `begin` does, what `listening` does, and PermissionMissing.
        """
        async with anyio.create_task_group() as beside:
            await beside.start(self.entrance.hold)
            await serve(self, beside)
            async with anyio.create_task_group() as group:
                group.start_soon(self._obey, group.cancel_scope)
                group.start_soon(self._give_up, group.cancel_scope)
                await self.begin()
                if self.hooks is not None:
                    await self._let_in(group)
                self.started.set()
                log.info("bridged.started", nats=self.connection.server)
                group.start_soon(self.supervisor.run)
                self._group = group
                self.seat_alerts(self.alerts, self.post)
                group.start_soon(self._reloading.serve)
            beside.cancel_scope.cancel()
        self.admission.check()

    def stop(self) -> None:
        """End in order; `run` returns then. Returns at once.

        Nobody is to be sent here any more, no delivery is taken in, and those under way are stored; then sources end,
        then services. The connection to NATS is flushed and closed when the block of `daemon` ends.
        """
        self.readiness.stop()
        self._stopping.set()

    async def reload(self) -> ReloadResult:
        """Read the configuration anew and take over what has changed, as a whole or not at all. Raises nothing.

        Sources that have not changed keep their sessions. It takes up to half a minute where much hangs.
        """
        return await self._reloading.reload()

    @property
    def reload_refused(self) -> bool:
        """Whether the last reload was refused: what runs is not what the files say."""
        return self._reloading.refused

    def ask_reload(self) -> None:
        """Reload as soon as may be, after the start if need be. Asked again meanwhile, it is done once more."""
        self._reloading.ask()

    async def apply(self, config: Config) -> Change:
        """Take over another configuration; see `reload`. Returns what it changes.

        Raises what `listening` does, and has changed nothing then.
        """
        return await self._reloading.apply(config)

    def seat_alerts(self, alerts: Alerts | None, post: JetStreamPost | None, *, late: bool = False) -> None:
        """These alerts are decided and told once those before them have ended. Returns at once.

        `late`: they came by a reload, and end nobody who ran before.
        """
        assert self._group is not None, "nothing runs yet"
        self.alerts, self.post = alerts, post
        run = None if alerts is None else alerts.run_beside if late else alerts.run
        if self._alerting is not None and not self._alerting.over:
            self._alerting.give(run)
        elif run is not None:
            self._alerting = Seat(run)
            self._group.start_soon(self._alerting.hold)

    def secrets(self) -> Sequence[Secret]:
        """What must be masked whatever a new configuration says: a reload does not change it."""
        tracing = self.config.tracing
        ours = (self.config.status.token, None if tracing is None else tracing.token)
        return [*self.connection.options.secrets(), *(one for one in ours if one is not None)]

    async def _obey(self, scope: anyio.CancelScope) -> None:
        await self._stopping.wait()
        if self.hooks is not None:
            with anyio.move_on_after(FINISH_S):
                if self.entrance.handed:
                    # Whoever calls now waits for our successor, and is not refused.
                    await self.entrance.leave()
                await self.hooks.stop()
        scope.cancel()

    async def _let_in(self, group: TaskGroup) -> None:
        """Open the door for webhooks. Where its place is taken, all else begins, and it is tried again until it is
        free. Raises ListenForbidden and IngressMisconfigured.
        """
        from bridge.edge.ingress.trouble import CannotListen

        async def again() -> None:
            # Unless a reload opens another place meanwhile, or leaves nobody to take anything in.
            while (hooks := self.hooks) is not None and self.entrance.listener is None:
                await anyio.sleep(KNOCK_S)
                with suppress(CannotListen):
                    await self.entrance.open(self.config.ingress, hooks)
            self.readiness.reach("webhooks")

        assert self.hooks is not None, "there is nobody to let in to"
        try:
            await self.entrance.open(self.config.ingress, self.hooks)
            self.readiness.reach("webhooks")
        except CannotListen as error:
            log.warning("webhooks.closed", reason=str(error), again_every_s=KNOCK_S)
            self.readiness.hinder("webhooks", str(error))
            group.start_soon(again)

    async def _give_up(self, scope: anyio.CancelScope) -> None:
        await self.admission.refused.wait()
        scope.cancel()


@asynccontextmanager
async def daemon(
    config: Config,
    masker: Masker,
    *,
    load: Callable[[], Config] | None = None,
    handed: Handed = lambda _: (),
    pulse: Pulse | None = None,
    nats: NatsOptions | None = None,
) -> AsyncIterator[Daemon]:
    """Everything made, nothing running yet, and NATS not connected, though an embedded one runs.

    `load` reads the configuration anew, for a reload; it may take its time. `pulse`: where loops say what must end in
    time. `nats`: what `reached` has yielded, where it was entered before. Raises EmbeddedNatsFailed.
    """
    made: Daemon | None = None

    def proven() -> list[str]:
        if made is None:
            return []
        return [one.name for one in made.supervisor.statuses() if one.completed_ms or one.counts.stored]

    admission = Admission(proven)

    def on_disconnect() -> None:
        if made is not None:
            made.ledger.disconnected()
            made.leases.disconnected()
            if made.post is not None:
                made.post.disconnected()

    def on_reconnect() -> None:
        if made is not None:
            made.ledger.reconnected()

    async with AsyncExitStack() as stack:
        options = await stack.enter_async_context(reached(config)) if nats is None else nats
        for secret in options.secrets():
            masker.add(secret)
        connection = await stack.enter_async_context(
            unopened(
                options, on_disconnect=on_disconnect, on_reconnect=on_reconnect, on_permission_error=admission.deny
            )
        )
        names = ledger_names(config.nats)
        ledger = JetStreamLedger(connection.client, names)
        leases = JetStreamLeases(connection.client, names)
        http = await stack.enter_async_context(HttpClient())
        me = process.tenant(config.daemon.instance or "", __version__)
        tracing, spans = make_tracing(config, me)
        roll = random.SystemRandom().random
        office, sharing = make_leasing(config, leases, me, roll)
        world = World(
            ledger=ledger,
            http=http,
            quotas=Quotas(process.wall),
            encode=encode,
            spell=spell,
            exact=exact,
            wall=process.wall,
            roll=roll,
            masker=masker,
            owner=_owner(me),
            tenancies=office,
            sharing=sharing,
            structured=config.nats.content_mode == "structured",
            trace=process.trace if tracing is None else tracing.begin,
            pulse=pulse or Pulse(),
            tracing=tracing,
        )
        adapters = [config.adapter(settings) for settings in config.sources]
        hooks = make_hooks(config, ledger) if take_webhooks(adapters) else None
        sessions = Sessions(LateSockets(f"bridged/{__version__}"), roll, hooks)
        made = Daemon(
            config=config,
            masker=masker,
            tenant=me,
            since_ms=process.wall(),
            readiness=Readiness(_conditions(config, hooks)),
            connection=connection,
            ledger=ledger,
            leases=leases,
            world=world,
            sessions=sessions,
            supervisor=Supervisor([sessions.source(adapter) for adapter in adapters], world),
            entrance=Entrance(partial(handed, "webhooks")),
            admission=admission,
            handed=handed,
            load=load,
            hooks=hooks,
            spans=spans,
        )
        made.alerts, made.post = make_alerts(config, connection, world)
        yield made


def _conditions(config: Config, hooks: Hooks | None) -> list[str]:
    """What must hold before this instance is ready: see `Readiness`."""
    status = config.status.enabled and config.status.listen is not None
    return ["nats", *(["webhooks"] if hooks is not None else ()), *(["status"] if status else ())]


def _owner(me: Tenant) -> dict[str, str | int]:
    return {"instance": me.instance, "host": me.host, "pid": me.pid, "since_ms": process.wall(), "build": me.build}
