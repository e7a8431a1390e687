"""One live connection of the played platform, whatever is spoken on it: what waits for it, pushes, faults, its end."""

from __future__ import annotations

import abc
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup

from bridge.sandbox.acks import Acks
from bridge.sandbox.dialect import Frame
from bridge.sandbox.faults import BEAT, INIT, LIFE, REGISTER, Fault, Faults
from bridge.sandbox.feed import Item
from bridge.sandbox.ledger import Clock, Ledger
from bridge.sandbox.platform_odd import OPENINGS, RAW_HTTP, SHAPES
from bridge.sandbox.pusher import Oddities, Pusher
from bridge.sandbox.session import Guest
from bridge.sandbox.socket import Gone, Socket

MOST_WAITING: Final = 200_000
"""Events that may wait for one client; with one more its connection is cut, as a server short of memory would."""
AT_ONCE: Final = 500
CODES: Final = (1000, 1001, 1005, 1006, 1011, 1012)
NO_CODE: Final = b"\x88\x00"
"""A close frame without a code, which is how a Socket.IO server closes."""


class Json:
    """A value and its JSON text, which is made once for all who are sent it."""

    __slots__ = ("_text", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._text: str | None = None

    def __str__(self) -> str:
        if self._text is None:
            self._text = msgspec.json.encode(self.value).decode()
        return self._text


@dataclass(frozen=True, slots=True)
class Scene:
    """What all connections share. `told` is called with an event record before it is sent to anyone.

    `alert` makes one event happen now, for the fault `last_event`. `options`: see `PlatformLiveOptions`.
    """

    options: Any
    faults: Faults
    clock: Clock
    acks: Acks
    told: Callable[[Mapping[str, Any]], None]
    alert: Callable[[], object]


class Wire(Protocol):
    """How a connection is dropped from outside."""

    def drop(self, code: int) -> None: ...


class Link(abc.ABC):
    """One socket. `run` returns when it is over. Events are offered to it at any time, and never make anyone wait."""

    transport: ClassVar[str]
    """`socketio` or `stream`: which odd frames it knows."""

    def __init__(self, socket: Socket, guest: Guest, scene: Scene) -> None:
        self.listening = False
        """Whether events reach it."""
        self.over = False
        self.frozen = False
        self._socket, self._guest, self.scene = socket, guest, scene
        self._waiting: deque[Item] = deque()
        self._more = anyio.Event()
        self._batch: list[str | bytes] = []
        self._gathering = self._begun = False
        self._opening: Fault | None = None
        self._tasks: TaskGroup
        self._pusher: Pusher

    async def run(self) -> None:
        """Serve the socket, which has been accepted, until either side ends it."""
        scene = self.scene
        async with anyio.create_task_group() as self._tasks:
            oddities = Oddities(SHAPES[self.transport], self.odd)
            ledger = Ledger(scene.clock)  # its own, never written to: `told` says what was pushed
            self._pusher = Pusher(self, self, scene.faults, ledger, _no_failure, self._tasks, oddities)
            with contextlib.suppress(Gone):
                await self._welcome()
            self.listening, self.over = False, True
            self._tasks.cancel_scope.cancel()

    def offer(self, item: Item) -> None:
        """One more event for the client."""
        if not self.listening or self.frozen:
            return  # of what is sent to a frozen peer nothing is kept
        if len(self._waiting) >= MOST_WAITING:
            self.drop(1006)
            return
        self._waiting.append(item)
        self._more.set()

    def drop(self, code: int) -> None:
        """End it from outside, at once. 1006: cut; 1005: closed without a code."""
        if not self.over:
            self.over, self.listening = True, False
            self._waiting.clear()
            self._tasks.start_soon(self._end, code)

    # What a kind of connection adds.

    @abc.abstractmethod
    async def converse(self) -> None:
        """Open the session, then read until the client leaves. Raises Gone."""

    @abc.abstractmethod
    async def send(self, frame: Frame) -> None:
        """Send an event that `data` made. Raises Gone."""

    @abc.abstractmethod
    def odd(self, shape: str, id_: str) -> Sequence[str | bytes]:
        """The frames of a shape of `platform_odd`."""

    @abc.abstractmethod
    async def expire(self) -> None:
        """The client's token has expired, and the options say that this ends something."""

    async def send_raw(self, frame: str | bytes) -> None:
        """Send a frame as it is, or `RAW_HTTP`, in its turn. Raises Gone."""
        await self.send_all(frame)

    async def send_all(self, *frames: str | bytes) -> None:
        """Send frames with nothing in between. Raises Gone."""
        self._batch += frames
        if not self._gathering:
            await self.flush()

    async def flush(self) -> None:
        """Send what was gathered, in one go. Raises Gone."""
        batch, self._batch = self._batch, []
        while RAW_HTTP in batch:
            place = batch.index(RAW_HTTP)
            await self._socket.send_many(batch[:place])
            self._socket.write(RAW_HTTP)
            batch = batch[place + 1 :]
        await self._socket.send_many(batch)

    # What all have. `data` and `complete` are what the pusher asks for.

    def data(self, id_: str, payload: Any) -> Frame:  # noqa: ARG002  # nothing is subscribed to by a name
        """An event as `send` takes it: `name`, `args`, `json` (of the first), `msgid`, `attachment` if there is one."""
        if "name" not in payload:  # an error in the place of an event
            return {"name": "error", "args": [payload], "json": Json(payload), "msgid": ""}
        frame = {name: payload[name] for name in ("name", "args", "json", "msgid")}
        if "extensions" in payload:
            record = {**payload["args"][0], **payload["extensions"]}
            frame |= {"args": [record, *payload["args"][1:]], "json": Json(record)}
        if "attachment" in payload:
            frame["attachment"] = payload["attachment"]
        return frame

    def complete(self, id_: str) -> Frame:  # noqa: ARG002
        """The word that no more events come."""
        return {"name": "", "args": [], "json": Json(None), "msgid": ""}

    def begin(self) -> None:
        """The session is established: from now on events reach it, its token expires, faults may end it."""
        if self._begun:  # it had left the namespace, and has come back
            self.listening = True
            return
        self._begun = True
        late = self.scene.faults.draw(REGISTER, "session")
        self.listening = late is None
        if late is not None:
            self._tasks.start_soon(self._listen_later, 1.0 if late.seconds is None else late.seconds)
        self._tasks.start_soon(self._pump)
        self._tasks.start_soon(self._expire)
        life = self.scene.faults.draw(LIFE, "session")
        if life is not None:
            self._tasks.start_soon(self._die, life)

    def alive(self, missed_s: float) -> bool:
        """Whether a sign of life may be given. `missed_s`: after how long the client would miss it."""
        fault = self.scene.faults.draw(BEAT, "session")
        if fault is not None and fault.kind == "last_event":
            self._tasks.start_soon(self._alert, missed_s if fault.seconds is None else fault.seconds)
        return fault is None and not self.frozen

    async def close(self, code: int, reason: str = "") -> None:
        """Close the socket; 1005 without a code, 1006 by cutting it. The reader then raises Gone."""
        if code == 1005 and not self.frozen:
            await self.flush()
            self._socket.write(NO_CODE)
        else:
            await self._socket.close(code, reason)

    async def hold(self) -> None:
        """Nothing is done for the client any more, but the connection stays."""
        await anyio.sleep_forever()

    async def _welcome(self) -> None:
        fault = self.scene.faults.draw(INIT, "session")
        if fault is not None and fault.kind == "raw_http":
            self._socket.write(RAW_HTTP)
            await self._socket.read()  # the client must be the one to leave
        elif fault is not None and fault.kind == "closed_at_once":
            await self.close(fault.code or 1005)
            await self.leave()
        else:
            self._opening = fault
            await self.converse()

    def opening(self) -> Fault | None:
        """The fault that spoils how the session is opened, if one does."""
        fault = self._opening
        if fault is not None and fault.kind == "odd_open" and fault.shape not in OPENINGS:
            fault.shape = self.scene.faults.rng.choice(sorted(OPENINGS))
        return fault

    async def _pump(self) -> None:
        try:
            while True:
                await self._more.wait()
                self._more = anyio.Event()
                while self._waiting and self.listening:
                    await self._turn()
                    await anyio.lowlevel.checkpoint()
        except Gone:
            self.listening = False

    async def _turn(self) -> None:
        """Push some of what waits. What is sent meanwhile is gathered, so that it leaves in one go."""
        self._gathering = True
        try:
            for _ in range(min(AT_ONCE, len(self._waiting))):
                item = self._waiting.popleft()
                if not await self._pusher.push("", item.value, item):
                    self.listening = False
                    break
        finally:
            self._gathering = False
        await self.flush()

    async def _listen_later(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.listening = True

    async def _alert(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.scene.alert()

    async def _expire(self) -> None:
        if self._guest.expires_ms is None:
            return
        while (left_ms := self._guest.expires_ms - self.scene.clock()) > 0:  # noqa: ASYNC110  # the clock may be moved
            await anyio.sleep(left_ms / 1000)
        if self.scene.options.on_expiry != "keep" and not self.over:
            await self.expire()

    async def _die(self, life: Fault) -> None:
        rng = self.scene.faults.rng
        await anyio.sleep((3.0 if life.seconds is None else life.seconds) * rng.uniform(0.5, 1.5))
        if life.kind == "frozen":
            self.frozen = True
            self._waiting.clear()
            self._socket.freeze()
        else:
            self.drop(life.code or rng.choice(CODES))

    async def _end(self, code: int) -> None:
        try:
            await self.close(code)
            if code == 1005:
                await anyio.sleep(1)  # for the client to answer the closing frame; the reader notices
                self._socket.abort()
        except Gone:
            pass
        self._tasks.cancel_scope.cancel()

    async def leave(self) -> None:
        """Wait a moment for the client to answer the closing frame, then cut. Raises Gone."""
        with anyio.move_on_after(1):
            while True:
                await self._socket.read()
        self._socket.abort()


def _no_failure(error: str, comment: str) -> None:
    """This vendor has no failures as data."""
