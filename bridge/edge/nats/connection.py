"""The connection to NATS: made, kept, watched and closed. Reconnects for ever; says so once when it breaks or heals."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import nats.errors
import structlog

from bridge.core.secret import Masker
from bridge.edge.nats.client import SteadyClient
from bridge.edge.nats.options import NatsMisconfigured, NatsOptions, tls_context
from bridge.edge.nats.trouble import Denied, NatsUnauthorized, NatsUnreachable, Trouble, denied, diagnose

__all__ = [
    "Denied", "NatsConnection", "NatsMisconfigured", "NatsOptions", "NatsUnauthorized", "NatsUnreachable", "connect",
]  # fmt: skip

log = structlog.get_logger(__name__)

_MOST_DENIED = 1000
_LEAVE_DEADLINE_S = 5.0


class NatsConnection:
    """One connection, alive from `connect` until its block ends, whatever happens in between.

    `client` is nats-py's, the same object all the time: subscriptions survive a reconnect, what was in flight does
    not. `epoch` rises with each connection made, so knowledge gained under one epoch can be dropped under the next.
    While NATS is away, publishing raises `nats.errors.OutboundBufferLimitError` at once: nothing is kept for later.
    """

    def __init__(
        self,
        options: NatsOptions,
        on_disconnect: Callable[[], None] | None,
        on_reconnect: Callable[[], None] | None,
        on_permission_error: Callable[[Denied], None] | None,
    ) -> None:
        self.options = options
        self.client = SteadyClient(options)
        self.epoch = 0
        self.denied: list[Denied] = []
        """Subjects we were refused, each once, oldest first."""
        self.slow_consumer_drops = 0
        """Messages nats-py dropped because a subscription was read too slowly."""
        self.excuse: Callable[[Denied], bool] | None = None
        """Asked first of each refusal. One that it says True to is its own business: neither kept, logged nor told."""
        self._on_disconnect = on_disconnect
        self._on_reconnect = on_reconnect
        self._on_permission_error = on_permission_error
        self._masker = Masker(options.secrets())
        self._closing = self._tried = False
        self._up = anyio.Event()
        self._down_since = time.time()
        self._round: dict[str, Trouble] = {}
        self._said: tuple[tuple[str, str], ...] = ()

    @property
    def connected(self) -> bool:
        """Whether NATS answered last time we asked."""
        return self._up.is_set()

    @property
    def away_since_ms(self) -> int | None:
        """Since when NATS is away, in milliseconds since the Unix epoch; None while connected."""
        return None if self.connected else round(self._down_since * 1000)

    @property
    def server(self) -> str:
        """Host and port of the server in use, or tried last."""
        return self.client.address

    @property
    def info(self) -> Mapping[str, Any]:
        """What the server said of itself: `version`, `max_payload`, `jetstream`, `cluster`, …"""
        return self.client.server_info

    @property
    def problem(self) -> str:
        """Why NATS is away, as a sentence; "" while connected."""
        if self.connected:
            return ""
        return " ".join(self._sentences()) or f"NATS at {self.server}: not connected yet."

    async def wait_connected(self) -> None:
        """Returns when connected, at once if it is. Deadlines are the caller's."""
        await self._up.wait()

    def _sentences(self) -> list[str]:
        troubles = self._round.values()
        return [self._masker.mask(trouble.sentence(self._down_since, self.client.attempts)) for trouble in troubles]

    def _connected(self) -> None:
        away_s = round(time.time() - self._down_since, 3)
        self.epoch += 1
        self._round.clear()
        self._said = ()
        self._up.set()
        version = str(self.info.get("version", "?"))
        log.info("nats.connected", server=self.server, version=version, away_s=away_s, epoch=self.epoch)

    async def _lost(self) -> None:
        if self._closing or not self.connected:
            return
        self._up = anyio.Event()
        self._down_since = time.time()
        log.warning("nats.lost", server=self.server, reason=" ".join(self._sentences()) or "connection closed")
        if self._on_disconnect is not None:
            self._on_disconnect()

    async def _found(self) -> None:
        if self._closing:
            return
        self._connected()
        if self._on_reconnect is not None:
            self._on_reconnect()

    async def _lame_duck(self) -> None:
        others = self.client.servers_known > 1
        log.info("nats.lame_duck", server=self.server, action="moving" if others else "waiting for it to end")
        if others:
            await self.client.force_reconnect()

    async def _failed(self, error: Exception) -> None:
        """nats-py's error callback: everything that goes wrong passes here."""
        refused = denied(str(error))
        if refused is not None:
            self._note_denied(refused)
            return
        if isinstance(error, nats.errors.SlowConsumerError):
            self.slow_consumer_drops += 1
            if self.slow_consumer_drops == 1:
                log.error("nats.slow_consumer", subject=error.subject, action="a message was dropped")
            return
        if self._closing:
            return
        trouble = diagnose(error, self.server, self.options)
        self._round[self.server] = trouble
        if trouble.kind == "bug":
            log.error("nats.unexpected", server=self.server, exc_info=error.__cause__ or error)
        if self.connected or self.client.attempts < self.client.servers_known:
            return
        # A round of all servers is over. Say so, unless it ended like the one before.
        news = tuple(sorted((one.server, one.kind) for one in self._round.values()))
        if news != self._said:
            self._said = news
            log.warning("nats.away", reason=self.problem, action="trying on")
        if self.epoch == 0 and any(one.kind == "unauthorized" for one in self._round.values()):
            # nats-py lets the callback's exception pass: this ends the first connect, and nothing else.
            raise NatsUnauthorized(self.problem)

    def _note_denied(self, refused: Denied) -> None:
        if self.excuse is not None and self.excuse(refused):
            return
        # Of a thousand entities whose events are denied it is one grant that is missing.
        same = any((one.action, one.grant) == (refused.action, refused.grant) for one in self.denied)
        if same or len(self.denied) >= _MOST_DENIED:
            return
        self.denied.append(refused)
        log.error("nats.denied", server=self.server, action=refused.action, subject=refused.grant)
        if self._on_permission_error is not None:
            self._on_permission_error(refused)

    def settings(self) -> dict[str, Any]:
        """nats-py's settings. Raises NatsMisconfigured when a file cannot be used."""
        options = self.options
        if options.encrypted:
            tls_context(options)
        return {
            "servers": list(options.urls),
            "name": options.name,
            "inbox_prefix": options.inbox_prefix,
            "connect_timeout": options.connect_timeout_s,
            "ping_interval": options.ping_interval_s,
            "max_outstanding_pings": options.max_outstanding_pings,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 1,  # only how long closing waits for a reconnect under way; pauses are ours
            "pending_size": 0,
            "tls_hostname": options.tls_hostname,
            "tls_handshake_first": options.tls_handshake_first,
            "error_cb": self._failed,
            "disconnected_cb": self._lost,
            "reconnected_cb": self._found,
            "lame_duck_mode_cb": self._lame_duck,
            **self.client.login(),
        }

    async def open(self) -> None:
        """Connect, trying until it succeeds. For one that `unopened` made; does nothing where it was opened before.

        Raises NatsMisconfigured, and NatsUnauthorized when a server refuses our credentials.
        """
        if not self.epoch:
            settings = self.settings()
            self._tried = True
            await self.client.connect(**settings)
            self._connected()

    async def _close(self) -> None:
        self._closing = True
        if not self._tried:
            return
        with anyio.move_on_after(_LEAVE_DEADLINE_S, shield=True), contextlib.suppress(nats.errors.Error, OSError):
            if self.client.is_connected:
                # All that was published has arrived then. Not nats-py's `drain`: whoever subscribed here has ended, and
                # where the server is silent what it leaves behind is logged as an error nobody asked for.
                await self.client.flush()
        with anyio.move_on_after(_LEAVE_DEADLINE_S, shield=True), contextlib.suppress(nats.errors.Error, OSError):
            await self.client.shut()
        if self.connected:
            self._up = anyio.Event()


@contextlib.asynccontextmanager
async def connect(
    options: NatsOptions,
    *,
    on_disconnect: Callable[[], None] | None = None,
    on_reconnect: Callable[[], None] | None = None,
    on_permission_error: Callable[[Denied], None] | None = None,
    give_up_after_s: float | None = None,
) -> AsyncIterator[NatsConnection]:
    """A connection to NATS, made before the block begins, flushed and closed after it.

    Keeps trying until it is connected; after the first connection it comes back by itself, for ever. The callbacks
    run in the event loop: they must neither wait nor raise. `on_permission_error` is told each subject once.

    Raises NatsMisconfigured for files and addresses that cannot be used, NatsUnauthorized when a server refuses our
    credentials at the first connect, NatsUnreachable after `give_up_after_s` seconds (None: never).
    """
    async with unopened(
        options, on_disconnect=on_disconnect, on_reconnect=on_reconnect, on_permission_error=on_permission_error
    ) as connection:
        with anyio.move_on_after(give_up_after_s) as patience:
            await connection.open()
        if patience.cancelled_caught or not connection.epoch:
            raise NatsUnreachable(f"given up after {give_up_after_s:g} s. {connection.problem}")
        yield connection


@contextlib.asynccontextmanager
async def unopened(
    options: NatsOptions,
    *,
    on_disconnect: Callable[[], None] | None = None,
    on_reconnect: Callable[[], None] | None = None,
    on_permission_error: Callable[[Denied], None] | None = None,
) -> AsyncIterator[NatsConnection]:
    """As `connect`, but whoever has it calls `open`: for what is to be there before NATS is. Raises nothing itself."""
    connection = NatsConnection(options, on_disconnect, on_reconnect, on_permission_error)
    try:
        yield connection
    finally:
        await connection._close()
