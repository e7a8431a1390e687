"""Engine.IO revisions 3 and 4 over a WebSocket, with one Socket.IO namespace on it: the state machine.

The phases, and what we may ask in them (everything else raises IllegalMove):

    phase                        opened  beat  acknowledge  give_up  leave
    FRESH                        yes     -     -            nothing  nothing
    GREETING, no open packet     -       -     -            nothing  nothing
    GREETING, the namespace      -       yes   -            yes      nothing
    READY                        -       yes   yes          yes      says `41`
    OVER                         -       nothing  -         nothing  nothing

What the server may say, by the first character of a text frame (what is in no row is Odd, counted and ignored):

    frame        no open packet yet        afterwards
    0 open       Heartbeat, our `40`       Close: an open packet only comes first
    1 close      Close                     Close
    2 ping       Close: no Engine.IO       answered; in revision 3, where the client pings, also Odd
    3 pong       Close: no Engine.IO       revision 3: Beat; revision 4, where the server pings: Odd
    4 message    Close: no Engine.IO       a Socket.IO packet, see below
    5, 6         Close: no Engine.IO       Odd (an upgrade, from what to what; a noop)
    HTTP/1...    Close, by its status      Close
    binary       Close: no Engine.IO       an attachment; revision 3 puts the byte 0x04 in front

and by the kind of a Socket.IO packet of our namespace:

    kind           GREETING                               READY
    0 CONNECT      Ready                                  Odd
    1 DISCONNECT   Close                                  Close
    2 EVENT        Odd                                    Happened, or Unreadable
    3 ACK          Odd: we never ask for one              Odd
    4 ERROR        Close: it is about who we are          Close: it is about what happened

Packets of other namespaces are Odd, but for `/` in revision 3: its server opens that one unasked, before ours, and
refuses there whom it does not want at all. A server of revision 3 answers a client of revision 4 as well, with one
session too many and events doubled; it is known by its CONNECT packet without `sid`, and Refused.

Sources: see `packets.py`, and python-socketio's and npm socket.io's servers for what the documents leave open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bridge.core.ending import Ending, marked
from bridge.core.errors import BridgeError, Malformed, Refused, Retry
from bridge.core.fields import EXACT, kind
from bridge.core.record import Json
from bridge.core.session import SocketioSession
from bridge.core.wire import closing
from bridge.core.wire.moves import Beat, Close, IllegalMove, Odd, Phase, Ready
from bridge.core.wire.packets import Codec, Happened, Heartbeat, Move, Packet, Partial, Unreadable, Wire

NORMAL = 1000
VIOLATION = 1002
"""The close codes: for everyone who leaves because of what was said, and for what the protocol does not allow."""

SHORTEST_S = 0.05
"""A shorter interval or timeout is taken for this: no server may make us spin."""

LONGEST_OPEN = 65_536
"""Characters of an open packet. Real ones have about a hundred."""

MOST_CONTAINERS = 100
"""Brackets that open a list or an object in an open packet. Real ones have two; nesting could exhaust the stack."""

LONGEST_ECHO = 4096
"""Characters of a ping's payload that come back in our pong. Real ones have at most five, `probe`."""

LONGEST_RAW = 4096
"""Bytes of what cannot be read that are kept for the quarantine."""

_USUAL = "42["
_MARK = b"\x04"
_MIB = 2**20


class Engineio:
    """The machine of one Engine.IO connection, of the session's revision. See `Machine`."""

    def __init__(self, session: SocketioSession, codec: Codec) -> None:
        self._session = session
        self._codec = codec
        self._three = session.revision == 3
        self._namespace = session.namespace.partition("?")[0] or "/"
        self._phase = Phase.FRESH
        self._open = False
        self._partial: Partial | None = None
        self._head = ""
        self._attached = 0
        self._partials = 0

    @property
    def phase(self) -> Phase:
        """Where the connection is."""
        return self._phase

    @property
    def partials(self) -> int:
        """How many packets with attachments have begun."""
        return self._partials

    @property
    def incomplete(self) -> bool:
        """Whether the latest of them still waits."""
        return self._partial is not None

    def opened(self) -> list[Move]:
        """The socket is open: now the server speaks. Raises IllegalMove the second time."""
        self._demand(self._phase is Phase.FRESH, "opened")
        self._phase = Phase.GREETING
        return []

    def beat(self) -> list[Move]:
        """Our ping (revision 3); nothing after the end, which may come in the instant of a heartbeat.

        Raises IllegalMove before the open packet.
        """
        if self._phase is Phase.OVER:
            return []
        self._demand(self._open, "a heartbeat")
        return [Wire("2")] if self._three else []

    def give_up(self) -> list[Move]:
        """The packet that waits becomes Unreadable; nothing if none does."""
        return [] if self._partial is None else [self._abandon("its attachments did not come in time")]

    def acknowledge(self, id_: int) -> list[Move]:
        """The packet that says we have it. Raises IllegalMove if not ready, or for a number no event can have."""
        self._demand(self._phase is Phase.READY, "an acknowledgement")
        self._demand(_numbered(id_), "an acknowledgement under an impossible number")
        return [Wire("4" + self._codec.ack(self._namespace, id_))]

    def leave(self) -> list[Move]:
        """Leave the namespace, if we are in it. Nothing follows."""
        ready = self._phase is Phase.READY
        self._finish()
        return [Wire("41" if self._namespace == "/" else f"41{self._namespace},")] if ready else []

    def received(self, frame: str | bytes) -> list[Move]:
        """One frame. Never raises; nothing follows once the phase is over."""
        if frame.__class__ is str and frame.startswith(_USUAL) and self._phase is Phase.READY:
            found = self._usual(frame[1:])
            if found is not None:
                return [found]
        return self._any(frame)

    def _usual(self, text: str) -> Move | None:
        """An event of `/` without attachments, as nearly every frame is one, found in few steps; None: it is not."""
        if self._partial is not None or self._namespace != "/":
            return None
        try:
            packet = self._codec.decode(text)
        except Malformed as error:
            return Unreadable(error)
        data = packet.data if isinstance(packet, Packet) else None
        # What begins like that has neither a namespace nor a number.
        return Happened(data[0], data[1:]) if type(data) is list and data and type(data[0]) is str else None

    def _any(self, frame: str | bytes) -> list[Move]:
        if self._phase is Phase.OVER:
            return []
        if self._phase is Phase.FRESH:
            return [Odd("a frame before the socket was open")]
        if isinstance(frame, str) and frame.startswith("HTTP/1."):
            return self._close(closing.ended("http", frame, self._session, welcomed=self._open))
        if isinstance(frame, str) and frame[:1] == "1":
            return self._close(closing.ended("engine", None, self._session, welcomed=self._open))
        if not self._open:
            return self._welcome(frame)
        return self._attachment(frame) if isinstance(frame, bytes) else self._text(frame)

    # Engine.IO.

    def _welcome(self, frame: str | bytes) -> list[Move]:
        if not isinstance(frame, str) or frame[:1] != "0":
            return self._close(closing.ended("stranger", None, self._session, welcomed=False), VIOLATION)
        try:
            said = _open_packet(frame)
            interval, timeout = self._lasting(said, "pingInterval"), self._lasting(said, "pingTimeout")
        except Malformed as error:
            text = f"the server's open packet cannot be used: {error}; check the settings `base_url` and `engineio`"
            return self._close(Refused(text, after=closing.SLOW_S), VIOLATION)
        self._open = True
        return [Heartbeat(interval, timeout), *self._connect()]

    def _connect(self) -> list[Move]:
        name, root = self._session.namespace, self._namespace == "/"
        if self._three:
            return [] if root else [Wire(f"40{name}")]
        return [Wire("40" if root else f"40{name},", self._session.auth)]

    def _lasting(self, said: Mapping[str, Json], key: str) -> float:
        """Seconds, of what the server gives in milliseconds; not less or more than we go along with."""
        value = said.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Malformed(f"`{key}` is {kind(value)} where a number was expected" if key in said else f"no `{key}`")
        if not 0 < value <= EXACT:  # nor anything that is no number
            raise Malformed(f"`{key}` is no span of time")
        return max(min(value / 1000, self._session.longest_silence_s), SHORTEST_S)

    def _text(self, frame: str) -> list[Move]:
        match frame[:1]:
            case "0":
                error = marked(Retry("the server opened the session a second time"), Ending.PROTOCOL)
                return self._close(error, VIOLATION)
            case "2":
                pong = Wire("3" + frame[1:] if len(frame) <= LONGEST_ECHO else "3")
                return [pong, Odd("a ping of the server in revision 3") if self._three else Beat()]
            case "3" if frame == "3" and self._three:
                return [Beat()]
            case "4":
                return self._message(frame[1:])
        return [Odd(_ODD.get(frame[:1], "a frame of an unknown type"))]

    def _attachment(self, frame: bytes) -> list[Move]:
        data = frame
        if self._three:
            if not frame.startswith(_MARK):
                what = "a binary frame that is no message"
                return [Odd(what) if self._partial is None else self._abandon(f"{what} came in place of an attachment")]
            data = frame[1:]
        if self._partial is None:
            return [Odd("an attachment that nobody waits for")]
        self._attached += len(data)
        if self._attached > self._session.max_message_mb * _MIB:
            limit = f"more than {self._session.max_message_mb:g} MiB: raise `ws_max_message_mb`"
            return [self._abandon(f"its attachments are {limit}")]
        try:
            packet = self._partial.add(data)
        except Malformed as error:
            return [self._abandon(str(error))]
        if packet is None:
            return []
        self._partial = None
        return self._packet(packet)

    # Socket.IO.

    def _message(self, text: str) -> list[Move]:
        late = "the next packet came in place of its attachments"
        moves: list[Move] = [] if self._partial is None else [self._abandon(late)]
        # Kept for what only shows once the packet is read, or never is.
        self._head = text[:LONGEST_RAW]
        try:
            packet = self._codec.decode(text)
        except Malformed as error:
            return [*moves, Unreadable(error)]
        if isinstance(packet, Packet):
            return [*moves, *self._packet(packet)]
        self._partial, self._attached = packet, 0
        self._partials += 1
        return moves

    def _packet(self, packet: Packet) -> list[Move]:
        ready = self._phase is Phase.READY
        ours = packet.namespace == self._namespace
        root = packet.namespace == "/" and not ready
        if packet.kind == 0 and root and not self._three and not _connected(packet.data):
            return self._close(closing.ended("revision", None, self._session, welcomed=False))
        if not ours:
            if self._three and root and packet.kind == 0:
                return []
            if not (self._three and root and packet.kind == 4):
                return [Odd("a packet of another namespace")]
        match packet.kind:
            case 0 if not ready:
                self._phase = Phase.READY
                return [Ready()]
            case 1:
                return self._close(closing.ended("namespace", None, self._session, welcomed=ready))
            case 2 if ready:
                return [self._event(packet)]
            case 4:
                return self._close(closing.ended("refusal", packet.data, self._session, welcomed=ready))
        return [Odd(f"packet {packet.kind} in phase {self._phase}")]

    def _event(self, packet: Packet) -> Move:
        data = packet.data
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            return self._unreadable("an event that is no list with a name in front")
        if packet.id is not None and not _numbered(packet.id):
            return self._unreadable("an event that wants to be acknowledged under an impossible number")
        return Happened(data[0], data[1:], packet.id)

    # Ends.

    def _unreadable(self, what: str) -> Unreadable:
        return Unreadable(Malformed(what, raw=self._head.encode("utf-8", "replace")[:LONGEST_RAW]))

    def _abandon(self, why: str) -> Unreadable:
        self._partial = None
        return self._unreadable(f"a packet with attachments: {why}")

    def _close(self, error: BridgeError, code: int = NORMAL) -> list[Move]:
        self._finish()
        return [Close(code, error)]

    def _finish(self) -> None:
        self._phase, self._partial, self._head = Phase.OVER, None, ""

    def _demand(self, allowed: bool, what: str) -> None:
        if not allowed:
            raise IllegalMove(f"{what} in phase {self._phase}" + ("" if self._open else ", without an open packet"))


_ODD: Mapping[str, str] = {
    "": "an empty frame",
    "3": "a pong that was not asked for",
    "5": "an upgrade",
    "6": "a noop",
}


def _open_packet(frame: str) -> Mapping[str, Json]:
    if len(frame) > LONGEST_OPEN:
        raise Malformed(f"longer than {LONGEST_OPEN} characters")
    if frame.count("{") + frame.count("[") > MOST_CONTAINERS:
        raise Malformed(f"more than {MOST_CONTAINERS} lists and objects")
    try:
        said = json.loads(frame[1:])
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(said, dict):
        raise Malformed(f"{kind(said)} where an object was expected")
    return said


def _connected(data: Json) -> bool:
    """Whether this is what a server of revision 4 says of a namespace."""
    return isinstance(data, dict) and "sid" in data


def _numbered(id_: int) -> bool:
    return type(id_) is int and 0 <= id_ <= EXACT
