"""The shell that carries a Socket.IO session: it waits, counts and gives up; the protocol's machine decides.

One feed is one attempt: a fresh socket and a fresh machine. Its parts are the reader, which waits for nothing but the
socket, and the heartbeat. As there may be thousands of sessions, whatever else is to be done has a task only while it
is done: waiting to be accepted, or sending the acknowledgements that are owed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup, TaskStatus

from bridge.core.ending import Ending, ending_of, marked
from bridge.core.errors import BridgeError, Retry
from bridge.core.session import SocketioSession
from bridge.core.url import place
from bridge.core.wire import closing
from bridge.core.wire.moves import Beat, Close, Odd, Phase, Ready
from bridge.core.wire.packets import Happened, Heartbeat, Machine, Move, Unreadable, Wire
from bridge.engine import courtesy
from bridge.engine.groups import task_group
from bridge.engine.heartbeat import Pulse
from bridge.engine.ports import Disconnected, Offer, Socket, Sockets, UpgradeRefused
from bridge.engine.vigil import SessionStatistics

OWED = 10_000
"""Acknowledgements that wait to be sent: a peer that lets more wait does not read what it asked for."""
UNREADABLE_IN_A_ROW = 100
"""So many packets that cannot be read, and not one that can: what speaks there is no Socket.IO. Each is quarantined."""

log = structlog.get_logger()


class SocketioFeed:
    """Implements `Feed`. Frames are `{"name": the event's name, "args": [its arguments, as JSON]}`, in wire order.

    `machine` makes the protocol's machine for one connection. `statistics` may be shared by sessions that follow one
    another. A packet that cannot be read is offered as `Malformed`. An event that asks for an acknowledgement gets it
    once the ledger has it, or at once if `session.wants` filters it: what is not wanted need not be sent again.
    """

    def __init__(
        self,
        session: SocketioSession,
        sockets: Sockets,
        machine: Callable[[SocketioSession], Machine],
        *,
        statistics: SessionStatistics | None = None,
    ) -> None:
        self.statistics = statistics or SessionStatistics()
        self._session = session
        self._sockets = sockets
        self._machine = machine

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Connect, be accepted, settle, `task_status.started()`, then offer every event until the session ends.

        Events are offered from the first on. Never returns normally: raises Retry, Unauthorized or Refused, by what
        happens next. Once cancelled it says good-bye and closes the socket, within `courtesy.LEAVE_S`.
        """
        session = self._session
        try:
            async with self._sockets.connect(session) as socket:
                self.statistics.sessions += 1
                self.statistics.off = {}
                await _Holding(session, socket, offer, self.statistics, self._machine(session)).run(task_status)
        except UpgradeRefused as error:
            raise closing.upgrade_refused(error.status, error.headers, error.subprotocol, session) from None


class _Holding:
    """One open connection, from the open packet to the good-bye."""

    # Shared by thousands: a dictionary for each would weigh more than all that stands in it.
    __slots__ = (
        "_accepted",
        "_acknowledging",
        "_ending",
        "_gone",
        "_group",
        "_in_a_row",
        "_machine",
        "_offer",
        "_over",
        "_owed",
        "_pulse",
        "_session",
        "_size",
        "_socket",
        "_statistics",
        "_waiting",
        "_where",
    )

    _group: TaskGroup

    def __init__(
        self, session: SocketioSession, socket: Socket, offer: Offer, statistics: SessionStatistics, machine: Machine
    ) -> None:
        self._session = session
        self._socket = socket
        self._offer = offer
        self._statistics = statistics
        self._machine = machine
        self._where = f"live session with {place(session.url)}"
        self._pulse: Pulse | None = None
        self._accepted: anyio.Event | None = None
        """There only while somebody waits for it."""
        self._owed: deque[int] | None = None
        """Numbers of events that are stored and not acknowledged yet, in the order in which they were stored."""
        self._acknowledging = False
        self._size = 0
        """Bytes of the packet that is being read, its attachments included."""
        self._waiting: tuple[int, float] | None = None
        """The packet that waited for attachments when the heart beat last, and since when (seconds)."""
        self._in_a_row = 0
        self._over = self._gone = False
        self._ending: Close | None = None

    async def run(self, task_status: TaskStatus[None]) -> None:
        """See `SocketioFeed.hold`."""
        greeting = self._machine.opened()
        try:
            async with task_group() as self._group:
                try:
                    self._group.start_soon(self._begin, greeting, task_status)
                    await self._read()
                finally:
                    # What is stored from now on is not acknowledged: the server sends it to the next session.
                    self._over = True
        finally:
            code = 1000 if self._ending is None else self._ending.code
            await courtesy.leave(self._socket, None if self._gone else self._say_goodbye, code)

    # --- the parts ---

    async def _begin(self, greeting: Sequence[Move], task_status: TaskStatus[None]) -> None:
        patience_s = self._session.accept_timeout_s
        with anyio.move_on_after(patience_s) as scope:
            for move in greeting:
                await self._make(move)
            if self._machine.phase is not Phase.READY:
                self._accepted = anyio.Event()
                await self._accepted.wait()
                self._accepted = None
        if scope.cancelled_caught:
            lacking = "sent no open packet" if self._pulse is None else f"not connected {self._session.namespace}"
            text = (
                f"{self._where}: the server has {lacking} within {patience_s:g} s; "
                f"check that it speaks Socket.IO over Engine.IO {self._session.revision}"
            )
            raise marked(Retry(text), Ending.UNANSWERED)
        await anyio.sleep(self._session.settle_s)
        task_status.started()

    async def _read(self) -> None:
        socket, machine, statistics = self._socket, self._machine, self._statistics
        while True:
            try:
                frame = await socket.receive_raw()
            except Disconnected as gone:
                self._gone = True
                raise self._closed(gone) from None
            size = len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode(errors="replace"))
            statistics.heard(size)
            self._size += size
            for move in machine.received(frame):
                if type(move) is Happened:
                    self._happen(move)
                else:
                    await self._make(move)
            if not machine.incomplete:
                self._size = 0
            if self._offer.crowded and machine.phase is Phase.READY:
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        """The server keeps what we do not read; it goes on being asked for signs of life."""
        if self._pulse is not None:
            await self._pulse.away(self._offer.room())

    async def _keep_beating(self, pulse: Pulse) -> None:
        raise marked(Retry(f"{self._where}: {await pulse.expire()}"), Ending.SILENT)

    async def _acknowledge(self) -> None:
        """Tell the server what is stored, as long as there is something to tell."""
        while self._owed:
            await anyio.lowlevel.checkpoint()
            if self._over or self._machine.phase is not Phase.READY:
                return
            for move in self._machine.acknowledge(self._owed.popleft()):
                await self._make(move)
            self._statistics.acks += 1
        self._owed, self._acknowledging = None, False

    # --- steps ---

    async def _make(self, move: Move) -> None:
        """Do what a move says."""
        match move:
            case Happened():
                self._happen(move)
            case Wire():
                await courtesy.send(self._socket.send_text(move.text, move.json), self._where)
            case Beat():
                await self._beat()
            case Unreadable():
                self._set_aside(move)
            case Heartbeat():
                ping = self._ping if self._session.revision == 3 else None
                self._pulse = Pulse(move, self._statistics, ping)
                self._group.start_soon(self._keep_beating, self._pulse)
            case Ready():
                if self._accepted is not None:
                    self._accepted.set()
            case Odd():
                self._odd(move.what)
            case Close():
                self._ending = move
                raise move.error

    def _happen(self, event: Happened) -> None:
        self._in_a_row = 0
        wants = self._session.wants
        if wants is not None and not wants(event.name, event.args):
            self._statistics.filtered += 1
            if event.ack is not None:
                self._owe(event.ack)
            return
        stored = None if event.ack is None else partial(self._owe, event.ack)
        self._offer({"name": event.name, "args": event.args}, self._size, stored)

    def _set_aside(self, packet: Unreadable) -> None:
        """Offer it to the quarantine. Raises Retry when nothing else comes any more."""
        self._statistics.unreadable += 1
        self._in_a_row += 1
        self._offer(packet.error, self._size)
        if self._in_a_row >= UNREADABLE_IN_A_ROW:
            text = f"{self._where}: {self._in_a_row} packets in a row cannot be read, at last: {packet.error}"
            raise marked(Retry(text), Ending.PROTOCOL)

    def _owe(self, id_: int) -> None:
        """The ledger has the event, or nobody wants it. Never raises, never waits."""
        if self._over:
            return
        if self._owed is None:
            self._owed = deque()
        if len(self._owed) >= OWED:
            self._over = True
            reason = f"{self._where}: {OWED} acknowledgements wait to be sent: the server does not take them"
            self._group.start_soon(self._fail, marked(Retry(reason), Ending.SILENT))
            return
        self._owed.append(id_)
        if not self._acknowledging:
            self._acknowledging = True
            self._group.start_soon(self._acknowledge)

    async def _fail(self, error: BridgeError) -> None:
        raise error

    async def _ping(self, within_s: float) -> None:
        if self._over:
            # The reader has just ended the session; this task has not been told yet.
            return
        for move in self._machine.beat():
            if isinstance(move, Wire):
                # Of thousands of sessions this is most of what there is to do: a deadline costs as much as the ping.
                if move.json is not None or not self._socket.say(move.text):
                    sending = self._socket.send_text(move.text, move.json)
                    await courtesy.send(sending, self._where, min(within_s, courtesy.SEND_S))
            else:
                await self._make(move)

    async def _beat(self) -> None:
        """A sign of life. What has waited for attachments for a whole heartbeat has waited long enough."""
        if self._pulse is None or not self._pulse.beat():
            self._odd("an answer to a ping that we have not sent")
            return
        machine, before = self._machine, self._waiting
        if not machine.incomplete:
            self._waiting = None
        elif before is None or before[0] != machine.partials:
            self._waiting = machine.partials, anyio.current_time()
        # A server that pings more often than it said must not hurry us.
        elif anyio.current_time() - before[1] >= (self._statistics.beat_interval_s or 0.0) / 2:
            self._waiting = None
            for move in machine.give_up():
                await self._make(move)

    def _odd(self, what: str) -> None:
        self._statistics.odd += 1
        log.debug("session.odd", session=place(self._session.url), what=what)

    def _closed(self, gone: Disconnected) -> BridgeError:
        for move in self._machine.received(gone.http) if gone.http else ():
            if isinstance(move, Close):
                return move.error
        error = closing.closed(gone.code, gone.reason, self._session)
        if self._pulse is None and type(error) is Retry:
            revision = self._session.revision
            text = f"{error}, before an open packet; check that the server speaks Engine.IO {revision}"
            return marked(Retry(text), ending_of(error))
        return error

    async def _say_goodbye(self) -> None:
        for move in self._machine.leave():
            if isinstance(move, Wire):
                await self._socket.send_text(move.text, move.json)
