"""The shell that carries a plain WebSocket stream: every text message is one JSON value, and we say nothing."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus

from bridge.core.ending import Ending, marked
from bridge.core.errors import Malformed, Retry
from bridge.core.record import Json
from bridge.core.session import StreamSession
from bridge.core.url import place
from bridge.core.wire import closing
from bridge.engine import courtesy
from bridge.engine.groups import task_group
from bridge.engine.ports import Disconnected, Offer, Socket, Sockets, UpgradeRefused
from bridge.engine.vigil import SessionStatistics, Vigil

UNREADABLE_IN_A_ROW = 100
"""So many messages that are no JSON, and not one that is: this is another kind of stream. Each is quarantined."""


class StreamFeed:
    """Implements `Feed`. Frames are the JSON values as they were sent, in order.

    `decode` reads JSON and raises Malformed. What cannot be read, and every binary message, is offered as `Malformed`.
    `statistics` may be shared by sessions that follow one another.
    """

    def __init__(
        self,
        session: StreamSession,
        sockets: Sockets,
        decode: Callable[[bytes], Json],
        *,
        statistics: SessionStatistics | None = None,
    ) -> None:
        self.statistics = statistics or SessionStatistics()
        self._session = session
        self._sockets = sockets
        self._decode = decode
        self._where = f"live session with {place(session.url)}"

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Connect, settle, `task_status.started()`, then offer every message until the session ends.

        Messages are offered from the first on. Never returns normally: raises Retry, Unauthorized or Refused, by what
        happens next. Once cancelled it closes the socket, within `courtesy.LEAVE_S`.
        """
        session = self._session
        try:
            async with self._sockets.connect(session) as socket:
                self.statistics.sessions += 1
                self.statistics.off = {}
                vigil = Vigil(None, session.idle_timeout_s, self.statistics)
                try:
                    async with task_group() as group:
                        group.start_soon(self._settle, task_status)
                        if session.idle_timeout_s is not None:
                            group.start_soon(self._watch, vigil)
                        await self._read(socket, vigil, offer)
                finally:
                    await courtesy.leave(socket, None, 1000)
        except UpgradeRefused as error:
            raise closing.upgrade_refused(error.status, error.headers, error.subprotocol, session) from None

    async def _settle(self, task_status: TaskStatus[None]) -> None:
        await anyio.sleep(self._session.settle_s)
        task_status.started()

    async def _watch(self, vigil: Vigil) -> None:
        raise marked(Retry(f"{self._where}: {await vigil.expire()}"), Ending.SILENT)

    async def _read(self, socket: Socket, vigil: Vigil, offer: Offer) -> None:
        in_a_row = 0
        while True:
            try:
                frame = await socket.receive_raw()
            except Disconnected as gone:
                raise closing.closed(gone.code, gone.reason, self._session) from None
            data = frame.encode(errors="replace") if isinstance(frame, str) else frame
            vigil.heard(len(data))
            try:
                value = self._decode(data) if isinstance(frame, str) else _binary(frame)
            except Malformed as error:
                self.statistics.unreadable += 1
                in_a_row += 1
                offer(error, len(data))
                if in_a_row >= UNREADABLE_IN_A_ROW:
                    text = f"{self._where}: {in_a_row} messages in a row cannot be read, at last: {error}"
                    raise marked(Retry(text), Ending.PROTOCOL) from None
            else:
                in_a_row = 0
                offer(value, len(data))
            if offer.crowded:
                await vigil.away(offer.room())


def _binary(frame: bytes) -> Json:
    raise Malformed("a binary frame, where JSON text was promised", raw=frame)
