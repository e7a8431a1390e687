"""A connection of `websockets` that nobody waits on for ever: pings without a task, an end to every closing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.streams import StreamReader

CLOSE_S = 1.0
"""How long the peer has to finish closing, whoever began it."""
SLICE = 8192
"""Bytes taken in at once. A frame may be two bytes long, and a read of the socket a quarter of a megabyte: all of it at
once would hold up every other session for more than a second."""
LAST = 65_536
"""Bytes taken in at most when the connection ends: what lies behind is lost with it, rather than hold up others."""
MOST_UNSENT = 262_144
"""Bytes of our answers that may wait: a peer that asks and asks and does not read is given up."""
SECOND_LOOK_S = 0.05
"""A pong may lie unread because we were held up ourselves: the socket is read once more before the peer is given up."""

_TEXT = 0x81
"""How a frame begins that is a whole text and no extension's. The next byte says how long it is, as no server masks: up
to 125 bytes, or with `_LONGER` as long as the two bytes behind it say."""
_LONGER = 126
_HEAD = 4
_TEXT_BEGINS = bytes([_TEXT])
_OF_MESSAGES = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_BETWEEN = StreamReader.at_eof.__code__
"""Where the library's parser waits for a frame to begin."""

_HTTP = re.compile(rb"(?:\A|\r\n\r\n)(HTTP/1\.[01] [2-5][0-9][0-9][^\r\n]{0,80})")
"""A status line where a frame should begin: at the start of what was read, or right behind the answer to the upgrade.
Not 101, which is that answer."""


class Connect(connect):
    """Follows no redirect: a vendor that has moved is the operator's to judge, and no other host gets a token."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Every redirect is a refusal."""
        return exc


class Wire(ClientConnection):
    """Whatever bytes arrive count as life. `dead` says why we gave the peer up; "" while we have not.

    `http`: the status line with which the peer went over to plain HTTP, as npm engine.io refuses what it has upgraded
    already, and as proxies may when what is behind them goes away; "" as long as it has not.

    The library's own keepalive is one more task for each connection, and most of what an idle one costs. A timer
    that sends only when nothing was heard does the same.
    """

    # Instances share the keys of their dictionaries, while these are few and set at once: ours are many, and the last
    # two of the library are set when TCP is connected. Without this each would have a dictionary of 1.5 kB.
    __slots__ = (
        "_asked",
        "_begun",
        "_cutter",
        "_heard",
        "_inside",
        "_interval_s",
        "_late",
        "_lost",
        "_timeout_s",
        "_timer",
        "dead",
        "http",
        "most",
        "recv_messages",
        "transport",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dead = self.http = ""
        self._heard = 0.0
        self._asked = 0.0
        self.most = 0
        """Bytes of the longest message that is taken; what is said of it before it is set, the library judges."""
        self._late = b""
        self._begun = b""
        """The beginning of a text frame."""
        self._inside = False
        """Whether a message has begun that is to be gone on with in further frames."""
        self._lost = False
        self._interval_s = 0.0
        self._timeout_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cutter: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        """Let go of what the handshake leaves behind: the token in plain text, and kilobytes nobody asks for again."""
        self.request = None
        # The answer itself has to stay, or the library takes the next frame for it; and its parser holds it, too.
        if self.response is not None:
            self.response.headers.clear()
        # The certificate as the interpreter took it apart. It has been checked, and OpenSSL keeps its own.
        certificate: dict[str, Any] = self.transport.get_extra_info("peercert") or {}
        certificate.clear()

    def at_hand(self) -> str | None:
        """The next message, if it is a text and here in one frame: what `recv` would give, at a tenth of its price.

        None says nothing of it: `recv` does. Only for the one task that receives, while it does not.
        """
        frames = self.recv_messages.frames.queue
        if not frames or frames[0].opcode is not Opcode.TEXT or not frames[0].fin:
            return None
        try:
            text = str(frames[0].data, "utf-8")
        except UnicodeDecodeError:
            return None
        frames.popleft()
        self.recv_messages.maybe_resume()
        return text

    def send_now(self, data: bytes) -> bool:
        """Send a text if nothing waits to be sent: what `send` would do, at a fraction of its price.

        False: nothing was done, and `send` does it. No message is ever sent in fragments.
        """
        transport = self.transport
        if self.protocol.state is not State.OPEN or transport.is_closing() or transport.get_write_buffer_size():
            return False
        self.protocol.send_text(data)
        self.send_data()
        return True

    def keep(self, interval_s: float | None, timeout_s: float | None) -> None:
        """Ping after `interval_s` of silence (None: never); drop the connection `timeout_s` later (None: never)."""
        if interval_s is not None and self.protocol.state is State.OPEN:
            self._interval_s, self._timeout_s = interval_s, timeout_s
            self._wake(interval_s, self._tick)

    def drop(self) -> None:
        """Cut the connection, whatever state it is in."""
        self._rest()
        # There is none yet while the host is being connected to; the library cleans that up.
        transport: asyncio.Transport | None = getattr(self, "transport", None)
        if transport is not None:
            transport.abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """What was read is taken in before more is read."""
        super().connection_made(transport)
        self.recv_messages.resume = self._go_on

    def data_received(self, data: bytes) -> None:
        """Note the sign of life, and take it in slices: between them everybody else has a turn."""
        self._heard = self.loop.time()
        if self._late:
            self._late += data
        elif len(data) <= SLICE:
            self._take(data)
        else:
            self._late = data
            self.transport.pause_reading()
            self._take_slices()

    def eof_received(self) -> None:
        """What came before the end is taken before it."""
        self._take_late()
        super().eof_received()

    def _take_slices(self) -> None:
        # Where the library has more messages than it wants, it calls `_go_on` when they have been taken.
        if self._late and not self.recv_messages.paused:
            data, self._late = self._late[:SLICE], self._late[SLICE:]
            self._take(data)
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._late:
            self._take_slices()
        elif not self.recv_messages.paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def _take_late(self) -> None:
        late, self._late = self._late[:LAST], b""
        if late:
            self._take(late)

    def send_data(self) -> None:
        """Nobody hears our answers once the connection is lost, and each would be a line in the log."""
        if self._lost:
            self.protocol.data_to_send()
        else:
            super().send_data()

    def process_event(self, event: Event) -> None:
        """What the library has found; note whether a message has only begun."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in _OF_MESSAGES:
            self._inside = not event.fin

    def _is_between(self) -> bool:
        """Whether the library, too, takes for a frame of its own what comes next, and would take it."""
        protocol = self.protocol
        if self._inside or protocol.extensions or protocol.state is not State.OPEN:
            return False
        waits: Any = protocol.parser
        while waits.gi_yieldfrom is not None:
            waits = waits.gi_yieldfrom
        return waits.gi_code is _BETWEEN and not protocol.reader.eof

    def _take_texts(self, data: bytes) -> bytes:
        """Take in the texts that stand in front, each whole in one frame, as the library would at twice the price.

        Returns the rest, for the library: it begins with a frame of another kind, or a long one that is not all here.
        A short one waits in `_begun`.
        """
        put, at, end = self.recv_messages.put, 0, len(data)
        while at < end and data[at] == _TEXT:
            start = at + 2
            size = data[at + 1] if start <= end else 0
            if size == _LONGER:
                start = at + _HEAD
                size = data[at + 2] << 8 | data[at + 3] if start <= end else 0
            elif size > _LONGER:
                break
            if size > self.most:
                break
            if start + size > end:
                if size > SLICE:
                    break
                self._begun = data[at:]
                return b""
            put(Frame(Opcode.TEXT, data[start : start + size]))
            at = start + size
        return data[at:]

    def _take(self, data: bytes) -> None:
        """If it ends the connection, see to it that it does end."""
        if self._begun:
            data, self._begun = self._begun + data, b""
        while self._is_between():
            data = self._take_texts(data)
            size = _whole(data)
            if not size or data[size : size + 1] != _TEXT_BEGINS:
                break
            super().data_received(data[:size])
            data = data[size:]
        if not data:
            return
        super().data_received(data)
        if not self._lost and self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.dead = self.dead or "it does not read our answers"
            self._late = b""
            self.drop()
        if self._cutter is None and self.protocol.close_expected():
            found = _HTTP.search(data)
            self.http = found[1].decode("ascii", "replace") if found else ""
            # The library waits for the peer to close TCP, and leaves the deadline to whoever sends next.
            self._cutter = self.loop.call_later(CLOSE_S, self.drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives the connection, and what came before its end is taken."""
        self._lost = True
        self._take_late()
        self._rest()
        super().connection_lost(exc)
        # Nothing that points back: what is over need not wait for the garbage collector.
        self.recv_messages.resume = _nothing

    # --- pings ---

    def _tick(self) -> None:
        now = self.loop.time()
        quiet_s = now - self._heard
        if self.protocol.state is not State.OPEN:
            return
        if quiet_s < self._interval_s:
            self._wake(self._interval_s - quiet_s, self._tick)
            return
        self._asked = now
        self.protocol.send_ping(b"")
        for data in self.protocol.data_to_send():
            self.transport.write(data)
        if self._timeout_s is None:
            self._wake(self._interval_s, self._tick)
        else:
            self._wake(self._timeout_s, self._judge)

    def _judge(self, *, again: bool = False) -> None:
        if self._heard > self._asked or self.recv_messages.paused:
            # Where what was received waits to be taken, nothing more is read, and an answer neither.
            self._tick()
        elif not again:
            self._wake(SECOND_LOOK_S, lambda: self._judge(again=True))
        else:
            self.dead = "no answer to a ping"
            self.drop()

    def _wake(self, after_s: float, call: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(after_s, call)

    def _rest(self) -> None:
        for timer in (self._timer, self._cutter):
            if timer is not None:
                timer.cancel()
        self._timer = self._cutter = None


def _nothing() -> None:
    pass


def _whole(data: bytes) -> int:
    """Bytes of the short frame that stands in front; 0 if it is longer, or not all here."""
    size = data[1] + 2 if len(data) > 1 else 0
    return size if size < _LONGER + 2 and size <= len(data) else 0
