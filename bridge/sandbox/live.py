"""All live sessions of a sandbox: the upgrade, the choice of sub-protocol, and a vendor that restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio

from bridge.sandbox.cable import Cable
from bridge.sandbox.dialect import Dialect, Legacy, Modern
from bridge.sandbox.executor import Executor
from bridge.sandbox.faults import UPGRADE, Faults
from bridge.sandbox.feed import Feed
from bridge.sandbox.ledger import Clock, Ledger
from bridge.sandbox.session import Host, Rules, Session
from bridge.sandbox.socket import Gone, Socket

DIALECTS: Final[dict[str, type[Dialect]]] = {dialect.name: dialect for dialect in (Legacy, Modern, Cable)}
ON_EXPIRY: Final = ("close", "failure", "nothing")


@dataclass(slots=True)
class LiveOptions:
    """How live sessions behave. May be altered while the sandbox runs."""

    subprotocols: str = "graphql-ws graphql-transport-ws"
    """Those accepted at `/graphql`, the preferred first. `actioncable-v1-json` is accepted at `/cable`, if at all."""
    ka_s: float | None = None
    """How often sub-protocol `graphql-ws` sends `ka`; None: never."""
    ping_s: float | None = None
    """How often sub-protocol `graphql-transport-ws` sends `ping`."""
    cable_ping_s: float | None = 3.0
    cable_channel: str = "GraphqlChannel"
    beats: int | None = None
    """How many signs of life each session gives, of whichever kind; None: it goes on. 1: `ka` once."""
    on_expiry: str = "close"
    """What a token that expires does to its open socket: `close`, `failure` (told in the stream) or `nothing`."""
    expiry_code: int = 4401
    refuse_code: int | None = None
    """Closes the socket of a client with bad credentials; None: as the sub-protocol's stock server does."""
    init_wait_s: float = 10.0
    """How long a client may take to send `connection_init`."""


class Vendor(Host, Protocol):
    """What the live sessions need of a sandbox."""

    @property
    def options(self) -> Any: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def ledger(self) -> Ledger: ...


class Live:
    """Takes sockets in and knows those that are open. `closing`: set when the sandbox stops."""

    def __init__(self, vendor: Vendor, executor: Executor, clock: Clock, closing: anyio.Event) -> None:
        self.feed = Feed()
        self.sessions: set[Session] = set()
        self.opened = 0
        self.refused = 0
        self.down_until = 0.0
        self._vendor = vendor
        self._executor = executor
        self._clock = clock
        self._closing = closing

    async def __call__(self, socket: Socket) -> None:
        """Serve one socket from its upgrade to its end."""
        fault = self._vendor.faults.draw(UPGRADE, "upgrade")
        if self.down or (fault is not None and fault.kind == "upgrade_refused"):
            self.refused += 1
            wait = None if fault is None or self.down else fault.seconds
            status = 503 if fault is None or self.down else fault.status
            await socket.refuse(status, b"refused", {} if wait is None else {"retry-after": f"{wait:g}"})
            return
        if socket.path not in ("/graphql", "/cable"):
            self.refused += 1
            await socket.refuse(404)
            return
        dialect = self._dialect(socket)
        self.refused += dialect is None
        named = dialect.name if dialect is not None else None
        if fault is not None:
            named = None if fault.shape in ("", "none") else "graphql-ws" if named != "graphql-ws" else "soap"
        try:
            await socket.accept(named)
            if dialect is None:
                await socket.close(4406, "Subprotocol not acceptable")
                return
        except Gone:
            return
        await self._serve(socket, dialect)

    @property
    def down(self) -> bool:
        """Whether the vendor is restarting: everything is answered with 503."""
        return anyio.current_time() < self.down_until

    def drop(self, code: int = 1012) -> int:
        """Close every socket at once; how many there were."""
        sessions = list(self.sessions)
        for session in sessions:
            session.drop(code)
        return len(sessions)

    async def _serve(self, socket: Socket, dialect: Dialect) -> None:
        vendor = self._vendor
        rules: Rules = vendor.options
        session = Session(
            socket, dialect, vendor, rules, self._executor, self.feed, vendor.faults, vendor.ledger, self._clock
        )
        self.sessions.add(session)
        self.opened += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._close_in_time, session)
                await session.run()
                tasks.cancel_scope.cancel()
        finally:
            self.sessions.discard(session)

    async def _close_in_time(self, session: Session) -> None:
        await self._closing.wait()
        session.drop(1001)

    def _dialect(self, socket: Socket) -> Dialect | None:
        accepted = str(self._vendor.options.subprotocols).split()
        at_cable = socket.path == "/cable"
        for name in accepted:
            if name in socket.offered and name in DIALECTS and (name == Cable.name) == at_cable:
                return DIALECTS[name]()
        return None
