"""One live session of a client with a sandbox: admission, operations, signs of life, expiry, and its end.

The sub-protocol's own words are its `Dialect`'s; what a push holds is the vendor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from bridge.sandbox.dialect import Dialect, Frame, Refused
from bridge.sandbox.executor import Executor, Operation, Payload, Stream
from bridge.sandbox.faults import ADMIT, BEAT, INIT, LIFE, REGISTER, Faults
from bridge.sandbox.feed import Feed
from bridge.sandbox.ledger import Clock, Ledger
from bridge.sandbox.pusher import Pusher, if_there
from bridge.sandbox.socket import Gone, Socket

CODES = (1000, 1001, 1006, 1011, 1012, 4401, 4403)


class Rules(Protocol):
    """The options of live sessions, read anew each time. See `live.LiveOptions`."""

    ka_s: float | None
    ping_s: float | None
    cable_ping_s: float | None
    cable_channel: str
    beats: int | None
    on_expiry: str
    expiry_code: int
    refuse_code: int | None
    init_wait_s: float


@dataclass(slots=True)
class Guest:
    """Who was admitted, as the vendor knows them. `expires_ms`: when their token does; None: never."""

    identity: Any
    expires_ms: float | None = None


class Host(Protocol):
    """The vendor behind the socket."""

    def admit(self, params: Mapping[str, Any], socket: Socket) -> Guest:
        """Check the credentials. Raises Refused."""

    def call(self, guest: Guest) -> Operation:
        """The context of one operation of a guest."""

    def failure(self, error: str, comment: str) -> dict[str, Any] | None:
        """The vendor's failure as a value of a subscription field; None if it has none and uses `errors`."""


class Session:
    """One socket. `run` returns when it is over."""

    def __init__(
        self,
        socket: Socket,
        dialect: Dialect,
        host: Host,
        rules: Rules,
        executor: Executor,
        feed: Feed,
        faults: Faults,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.rules = rules
        self.operations: dict[str, anyio.CancelScope] = {}
        self._calls: dict[anyio.CancelScope, Operation] = {}
        self.guest: Guest | None = None
        self.over = False
        self._expired = False
        self._socket, self._dialect, self._host, self._executor = socket, dialect, host, executor
        self._feed, self._faults, self._ledger, self._clock = feed, faults, ledger, clock
        self._tasks: TaskGroup
        self._pusher: Pusher

    @property
    def admitted(self) -> bool:
        """Whether the client has shown good credentials."""
        return self.guest is not None

    async def run(self) -> None:
        """Serve the socket, which has been accepted, until either side ends it."""
        async with anyio.create_task_group() as self._tasks:
            self._pusher = Pusher(
                self._socket, self._dialect, self._faults, self._ledger, self._host.failure, self._tasks
            )
            try:
                await self._dialect.opened(self)
                if not self.admitted:
                    self._tasks.start_soon(self._await_init)
                while not self.over:
                    frame = await self._socket.read()
                    message = _decoded(frame)
                    await (self._dialect.rubbish(self) if message is None else self._dialect.take(self, message))
            except Gone:
                self.over = True
            self._tasks.cancel_scope.cancel()

    # What dialects ask for.

    async def admit(self, params: Mapping[str, Any]) -> None:
        """Let the client in, or raise Refused: for bad credentials, or for the fault `init_refused`."""
        guest = self._host.admit(params, self._socket)
        fault = self._faults.draw(ADMIT, "session")
        if fault is not None:
            raise Refused(fault.comment or "refused", fault.code)
        self.guest = guest

    async def acknowledge(self, frame: Frame) -> None:
        """Say that the client is in, and begin what runs beside a session."""
        fault = self._faults.draw(INIT, "session")
        if fault is not None and fault.kind == "ping_first":
            await self.send(self._dialect.beat(self._clock()))
        if fault is None or fault.kind != "ack_withheld":
            await self.send(frame)
        self._tasks.start_soon(self._beat)
        self._tasks.start_soon(self._expire)
        life = self._faults.draw(LIFE, "session")
        if life is not None:
            seconds = 3.0 if life.seconds is None else life.seconds
            seconds *= self._faults.rng.uniform(0.5, 1.5)
            code = life.code or self._faults.rng.choice(CODES)
            self._tasks.start_soon(self._die, life.kind, seconds, code)

    async def start(self, id_: str, data: Any) -> None:
        """Carry out an operation. When this returns, its subscription is registered (but for a fault)."""
        scope = self.operations[id_] = anyio.CancelScope()
        await self._tasks.start(self._operate, id_, data, scope)

    def stop(self, id_: str) -> None:
        """End an operation; unknown ids are ignored."""
        if (scope := self.operations.pop(id_, None)) is not None:
            scope.cancel()

    async def send(self, frame: Frame) -> None:
        """Send a frame. Raises Gone."""
        await self._socket.send(frame)

    async def end(self, code: int, reason: str = "", *, back: bool = True) -> None:
        """Close the socket (1006: cut it) and stop everything that runs on it. `back`: the client may return."""
        if not self.over:
            self.over = True
            word = self._dialect.leaving(reason or "server_restart", back=back)
            if word is not None and code not in (1005, 1006):
                with anyio.move_on_after(1):
                    await if_there(self.send(word))
            await self._socket.close(code, reason)
        self._tasks.cancel_scope.cancel()

    def drop(self, code: int) -> None:
        """End it from outside, at once."""
        if not self.over:
            self._tasks.start_soon(self.end, code)

    # What runs on its own.

    async def _operate(self, id_: str, data: Any, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        assert self.guest is not None, "dialects start operations of admitted clients only"
        call = self._calls[scope] = self._host.call(self.guest)
        started = False
        try:
            with scope:
                late = self._faults.draw(REGISTER, "session")
                if late is not None:
                    started = True
                    task_status.started()
                    await anyio.sleep(1.0 if late.seconds is None else late.seconds)
                made = await self._executor.open(data, call)
                if not started:
                    started = True
                    task_status.started()
                await self._answer(id_, made)
        except Gone:
            self._tasks.cancel_scope.cancel()
        finally:
            if not started:
                task_status.started()
            if call.source is not None:
                self._feed.leave(call.source)
            del self._calls[scope]
            if self.operations.get(id_) is scope:
                del self.operations[id_]

    async def _answer(self, id_: str, made: Stream | Payload) -> None:
        if not isinstance(made, Stream):
            if "data" not in made:
                for frame in self._dialect.unfit(id_, made["errors"]):
                    await self.send(frame)
                return
            await self.send(self._dialect.data(id_, made))
        else:
            begun = self._dialect.begun(id_)
            if begun is not None:
                await self.send(begun)
            async for payload, item in made:
                item = item if made.whole else replace(item, seq=0)
                if not self._expired and not await self._pusher.push(id_, payload, item):
                    return
        await self.send(self._dialect.complete(id_))

    async def _beat(self) -> None:
        given = 0
        while (every_s := self._dialect.beat_s(self)) is not None and given != self.rules.beats:
            given += 1
            if self._faults.draw(BEAT, "session") is None:
                await if_there(self.send(self._dialect.beat(self._clock())))
            await anyio.sleep(every_s)

    async def _expire(self) -> None:
        if self.guest is None or self.guest.expires_ms is None or self.rules.on_expiry == "nothing":
            return
        while (left_ms := self.guest.expires_ms - self._clock()) > 0:  # noqa: ASYNC110  # the clock may be moved
            await anyio.sleep(left_ms / 1000)
        self._expired = True
        if self.rules.on_expiry == "close":
            await self.end(self.rules.expiry_code, "token expired")
            return
        failure = self._host.failure("TokenExpired", "jwt expired")
        for id_, scope in list(self.operations.items()):
            field = self._calls[scope].field
            payload: Payload = {"data": {field: failure}} if failure else {"errors": [{"message": "token expired"}]}
            await if_there(self.send(self._dialect.data(id_, payload)))

    async def _die(self, kind: str, seconds: float, code: int) -> None:
        await anyio.sleep(seconds)
        if kind == "frozen":
            self._socket.freeze()
        else:
            await self.end(code)

    async def _await_init(self) -> None:
        await anyio.sleep(self.rules.init_wait_s)
        if not self.admitted:
            await self.end(4408, "Connection initialisation timeout")


def _decoded(frame: str | bytes) -> Frame | None:
    try:
        value = msgspec.json.decode(frame) if isinstance(frame, str) else None
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None
