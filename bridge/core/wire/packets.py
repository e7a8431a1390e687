"""What the Engine.IO machine is told and what it answers, and what it needs of a packet codec.

`Close`, `Beat`, `Ready` and `Odd` are those of `moves.py`. As there, the machine never waits: the shell that carries
it does what the moves say, in order, and owns every clock. Sources: the protocol documents of Engine.IO revisions 3
and 4 and of Socket.IO revisions 4 and 5 (https://github.com/socketio/engine.io-protocol,
https://github.com/socketio/socket.io-protocol), and what real servers were seen to send.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.value import value
from bridge.core.wire.moves import Beat, Close, Odd, Phase, Ready


@dataclass(frozen=True, slots=True)
class Wire:
    """Send `text` as one text frame, followed by `json` as JSON text (None: by nothing), in which secrets may stand."""

    text: str = field(repr=False)
    json: Json = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The open packet has come. `interval_s`, `timeout_s`: its heartbeat, in seconds, as far as we go along with it."""

    interval_s: float
    timeout_s: float


@value
class Happened:
    """One event of our namespace. `args` are JSON; attachments stand in them as `{"base64": text}`.

    `ack`: the number under which the server wants to hear that we have it; None: it does not.
    """

    name: str
    args: Sequence[Json] = field(repr=False)
    ack: int | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One packet that cannot be read; the session goes on. `error.raw` holds what came, at most its beginning."""

    error: Malformed


Move = Wire | Heartbeat | Happened | Unreadable | Ready | Beat | Odd | Close


@dataclass(slots=True)
class Packet:
    """One Socket.IO packet. `kind` is the protocol's number: 0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 ERROR.

    The binary kinds 5 and 6 have become 2 and 3 once their attachments are in place.
    """

    kind: int
    namespace: str
    id: int | None
    data: Json = field(repr=False)


class Partial(Protocol):
    """A packet that waits for attachments."""

    def add(self, data: bytes) -> Packet | None:
        """One more attachment; the packet once it was the last. Raises Malformed."""
        ...


class Codec(Protocol):
    """Reads and writes Socket.IO packets, without the Engine.IO type in front."""

    def decode(self, text: str) -> Packet | Partial:
        """Raises Malformed for everything that is no packet, and for more attachments than it will wait for."""
        ...

    def ack(self, namespace: str, id_: int) -> str:
        """The packet that acknowledges an event, without values."""
        ...


class Machine(Protocol):
    """One Engine.IO connection with one Socket.IO namespace on it. Every method returns the moves that follow.

    A method called in a phase that does not allow it raises IllegalMove. Whatever the *server* sends never raises: it
    becomes a move.
    """

    @property
    def phase(self) -> Phase:
        """Where the connection is: READY once our namespace is connected."""
        ...

    @property
    def partials(self) -> int:
        """How many packets with attachments have begun on this connection."""
        ...

    @property
    def incomplete(self) -> bool:
        """Whether the latest of them still waits for attachments."""
        ...

    def opened(self) -> list[Move]:
        """The socket is open."""
        ...

    def received(self, frame: str | bytes) -> list[Move]:
        """One frame, text or binary, as it came."""
        ...

    def beat(self) -> list[Move]:
        """Revision 3: it is time for our ping. Revision 4: nothing, the server pings."""
        ...

    def give_up(self) -> list[Move]:
        """The packet that waits for attachments has waited long enough: it becomes Unreadable, and we go on."""
        ...

    def acknowledge(self, id_: int) -> list[Move]:
        """Tell the server that we have the event that it wants to hear of under this number."""
        ...

    def leave(self) -> list[Move]:
        """Say good-bye: the moves that end the session politely. The socket is closed with 1000 after them."""
        ...
