"""All live connections of the played platform: who may come in, by which protocol, and what is pushed to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio

from bridge.sandbox.acks import Acks
from bridge.sandbox.dialect import Refused
from bridge.sandbox.engineio3 import Engineio3
from bridge.sandbox.engineio4 import Engineio4, Engineio4Server
from bridge.sandbox.events_stream import PATHS, EventsStream
from bridge.sandbox.faults import UPGRADE, Faults
from bridge.sandbox.feed import Item
from bridge.sandbox.ledger import Clock
from bridge.sandbox.link import Json, Link, Scene
from bridge.sandbox.platform_odd import RAW_HTTP
from bridge.sandbox.session import Guest
from bridge.sandbox.socket import Gone, Socket

ON_EXPIRY: Final = ("keep", "41", "close")
UNAUTHORIZED: Final = b'{"success":false,"code":"401","message":"Unauthorized","tags":["error_unauthorized"]}'


@dataclass
class PlatformLiveOptions:
    """How live connections behave. May be altered while the sandbox runs; each takes its heartbeat from its start."""

    engineio: str = "3 4"
    """The revisions served. `3`: as socket.io 2, which speaks it whatever is asked for. `4`: as socket.io 4, which
    says so to a client of revision 3 by HTTP, inside the socket. Both: as socket.io 4 with `allowEIO3`."""
    ping_interval_ms: int = 25_000
    ping_timeout_ms: int = 60_000
    open_sid: bool = True
    """False: the open packet is the vendor's published sample, which holds the two intervals and no more."""
    namespace: str = "/"
    """Where events are emitted. Not to be altered while it runs."""
    ask_acks: bool = False
    """Whether every event wants to be acknowledged."""
    stream_ping_s: float | None = 30.0
    """How often the event stream's clients are pinged; None: never."""
    on_expiry: str = "keep"
    """What a token that expires does to its open connections: nothing, `41`, or `41` and the end."""
    expiry_code: int = 4401
    """Closes an event stream whose token expired."""
    refuse_status: int | None = None
    """Answers an upgrade with bad credentials; None: 400 at `/socket.io/`, as the stock servers do, else 401."""

    def __post_init__(self) -> None:
        if self.on_expiry not in ON_EXPIRY:
            raise ValueError(f"on_expiry must be one of {', '.join(ON_EXPIRY)}, not {self.on_expiry!r}")
        if not set(str(self.engineio).split()) <= {"3", "4"} or not str(self.engineio).split():
            raise ValueError(f"engineio must be 3, 4 or both, not {self.engineio!r}")
        if min(self.ping_interval_ms, self.ping_timeout_ms) < 1:
            raise ValueError("ping_interval_ms and ping_timeout_ms must be at least 1")


class Vendor(Protocol):
    """What live connections need of the sandbox. `options` are `PlatformLiveOptions`, at least."""

    options: Any
    faults: Faults
    world: Any

    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:
        """Check the upgrade request's credentials. Raises Refused."""

    def make_change(self, n: int = 1, kind: str = "") -> Any:
        """Make something happen, and publish it."""


class PlatformLive:
    """Takes sockets in and knows those that are open. `closing`: set when the sandbox stops."""

    def __init__(self, vendor: Vendor, clock: Clock, closing: anyio.Event) -> None:
        self.sessions: set[Link] = set()
        self.opened = 0
        self.refused = 0
        self.down_until = 0.0
        self._vendor, self._closing = vendor, closing
        self._acks = Acks()
        self._scene = Scene(
            vendor.options,
            vendor.faults,
            clock,
            self._acks,
            vendor.world.told,
            lambda: vendor.make_change(1, "custom"),
        )
        self._server = Engineio4Server(vendor.options)

    async def __call__(self, socket: Socket) -> None:
        """Serve one socket from its upgrade to its end."""
        guest = await self._let_in(socket)
        if guest is None:
            return
        try:
            await socket.accept(None)
            socket.quiet()
            link = self._link(socket, guest)
            if link is None:
                socket.write(RAW_HTTP)
                await socket.close(1006)
            else:
                await self._serve(link)
        except Gone:
            return

    def publish(self, record: Mapping[str, Any]) -> None:
        """Push an event record to every connection that listens: by Socket.IO under its type's name."""
        self._offer(record["event"], [record], record.get("_oid") or record["_msgid"], record["_msgid"])

    def emit(self, name: str, *args: Any) -> None:
        """Push something else: an event of any name, with any JSON. Event streams are sent its first argument."""
        self._offer(name, list(args), "", "")

    def acks(self, since: int = 0) -> dict[str, Any]:
        """`asked`: how many; `acknowledged`: the `_msgid`s after the first `since` of them; `last`: their count."""
        return self._acks.to_json(since)

    def counters(self) -> dict[str, int]:
        """`subscriptions`: how many connections events reach now; absent if none."""
        listening = sum(link.listening for link in self.sessions)
        return {"subscriptions": listening} if listening else {}

    @property
    def down(self) -> bool:
        """Whether the vendor is restarting: everything is answered with 503."""
        return anyio.current_time() < self.down_until

    def drop(self, code: int = 1012) -> int:
        """Close every socket at once (1006: cut it, 1005: without a code); how many there were."""
        links = list(self.sessions)
        for link in links:
            link.drop(code)
        return len(links)

    def _offer(self, name: str, args: list[Any], id_: str, msgid: str) -> None:
        json = Json(args[0] if args else None)
        item = Item({"name": name, "args": args, "json": json, "msgid": msgid}, id_)
        for link in self.sessions:
            link.offer(item)

    async def _let_in(self, socket: Socket) -> Guest | None:
        """Who is there; None if they were turned away."""
        fault = self._vendor.faults.draw(UPGRADE, "upgrade")
        wait = None if fault is None or self.down else fault.seconds
        if fault is not None and fault.kind == "upgrade_hangs":
            await self._closing.wait()
        status, body = 0, b"refused"
        if self.down or fault is not None:
            status = 503 if self.down or fault is None else fault.status
        elif socket.path in PATHS:
            status, body = 401, UNAUTHORIZED
        elif socket.path.rstrip("/") != "/socket.io":
            status, body = 404, b"Not Found"
        elif socket.query.get("transport") != "websocket":
            status, body = 400, b'{"code":0,"message":"Transport unknown"}'
        guest: Guest | None = None
        if status in (0, 401) and fault is None:
            try:
                return self._vendor.admit({}, socket)
            except Refused:
                status = self._vendor.options.refuse_status or status or 400
        self.refused += 1
        await socket.refuse(status, body, {} if wait is None else {"retry-after": f"{wait:g}"})
        return guest

    def _link(self, socket: Socket, guest: Guest) -> Link | None:
        if socket.path in PATHS:
            return EventsStream(socket, guest, self._scene)
        served, asked = str(self._vendor.options.engineio).split(), socket.query.get("EIO")
        if "4" in served and asked == "4":
            return Engineio4(socket, guest, self._scene, self._server)
        return Engineio3(socket, guest, self._scene) if "3" in served else None

    async def _serve(self, link: Link) -> None:
        self.sessions.add(link)
        self.opened += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._close_in_time, link)
                await link.run()
                tasks.cancel_scope.cancel()
        finally:
            self.sessions.discard(link)
            if self._closing.is_set() and not self.sessions:
                self._server.stop()

    async def _close_in_time(self, link: Link) -> None:
        await self._closing.wait()
        link.drop(1001)
