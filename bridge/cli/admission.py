"""What NATS must grant before anything runs: connection, streams, leases; and who is told what is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import anyio
import structlog

from bridge.cli.broker import PermissionMissing
from bridge.core.errors import Away
from bridge.core.subject import token
from bridge.edge.ledger.leases import JetStreamLeases
from bridge.edge.ledger.ledger import RETRY_S, JetStreamLedger
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.nats.trouble import Denied
from bridge.engine.groups import task_group
from bridge.engine.readiness import Readiness

log = structlog.get_logger()

SAID_S = 1.0
"""How often readiness is told why NATS is away, in seconds."""


class Admission:
    """Collects what NATS denies us. `refused` is set at the first one that ends the daemon."""

    def __init__(self, proven: Callable[[], Collection[str]] = tuple) -> None:
        """`proven`: the sources that have worked here. What they could do once is denied by mistake, and comes back."""
        self._proven = proven
        self.denied: list[Denied] = []
        self.refused = anyio.Event()
        self._newcomers: frozenset[str] = frozenset()

    def deny(self, what: Denied) -> None:
        """NATS has said no, and only an operator can change that.

        It ends a daemon that cannot begin. One that works goes on with what it may, and with the rest once it is
        granted: of a subject that names a source, if that has worked; of any other, if one has.
        """
        advice = f"grant {what.action} on {what.grant}; it is tried again until then"
        tokens, proven = what.subject.split("."), {token(name) for name in self._proven()}
        if not self._newcomers.isdisjoint(tokens):
            log.error("reload.denied", action=what.action, subject=what.subject, advice=advice)
        elif proven and (tokens[0] != "bridge" or not proven.isdisjoint(tokens)):
            log.error("permission.withdrawn", action=what.action, subject=what.grant, advice=advice)
        else:
            self.denied.append(what)
            self.refused.set()

    def spare(self, sources: Iterable[str]) -> None:
        """These came by a reload: what they lack holds up them, and does not end those that were there before."""
        self._newcomers |= {token(name) for name in sources}

    def check(self) -> None:
        """Returns where nothing was denied. Raises PermissionMissing."""
        if self.denied:
            first = self.denied[0]
            raise PermissionMissing(f"NATS denies this user {first.action} on {first.grant}; grant it and start again")

    async def verified(
        self, connection: NatsConnection, ledger: JetStreamLedger, leases: JetStreamLeases, readiness: Readiness
    ) -> None:
        """Returns when NATS is connected and the server's side is verified. A permission that is missing would keep it
        from ever being so. Raises PermissionMissing, NatsMisconfigured, NatsUnauthorized and LayoutError.
        """
        async with task_group() as group:

            async def give_up() -> None:
                await self.refused.wait()
                group.cancel_scope.cancel()

            async def say() -> None:
                while True:
                    why = connection.problem or "NATS is connected, and JetStream is being asked for the streams."
                    readiness.hinder("nats", why)
                    await anyio.sleep(SAID_S)

            group.start_soon(give_up)
            group.start_soon(say)
            await connection.open()
            while True:
                await ledger.wait_ready()
                try:
                    await leases.prepare()
                except Away:
                    await anyio.sleep(RETRY_S)
                else:
                    break
            group.cancel_scope.cancel()
        self.check()
