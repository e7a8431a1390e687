"""What a GraphQL sub-protocol's state machine is told and what it answers: the vocabulary all three share.

A machine belongs to one connection and is thrown away with it. It never waits: the shell that carries it
(`bridge/engine/subscriptions.py`) does what the moves say, in order, and owns every deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bridge.core.errors import BridgeError
from bridge.core.facts import Operation
from bridge.core.record import Json


class Phase(StrEnum):
    """Where a connection is."""

    FRESH = "fresh"
    """The socket is not open yet."""
    GREETING = "greeting"
    """We have said who we are, or wait to be welcomed; no operation may start."""
    READY = "ready"
    """The server has accepted us: operations may start."""
    OVER = "over"
    """One of the two has ended it; nothing more may be sent."""


class IllegalMove(Exception):
    """The shell asked for what the protocol does not allow in this phase: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this as one JSON text frame. `Secret` values may stand anywhere in it."""

    frame: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket with this code; the session is over because of `error`."""

    code: int
    error: BridgeError


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has accepted us: start the operations."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The server says that it is alive, as it will go on doing: from now on silence means that it is not."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The server has registered the operation. Only ActionCable says so."""

    id: str


@dataclass(frozen=True, slots=True)
class Next:
    """One result of an operation: the GraphQL response object, `data` and `errors` as they came.

    A server may send any other JSON in its place; it is passed on all the same, for nothing that came may vanish.
    """

    id: str
    payload: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """The operation is over and the connection is not. `error`: what the server said; None if it said nothing."""

    id: str
    error: BridgeError | None = None


@dataclass(frozen=True, slots=True)
class Odd:
    """A frame that was ignored and is counted: `what` says which kind, without its content."""

    what: str


Move = Send | Close | Ready | Beat | Confirmed | Next | Ended | Odd


class Machine(Protocol):
    """One connection's protocol. Every method returns the moves that follow, in order.

    A method called in a phase that does not allow it raises IllegalMove. Whatever the *server* sends never raises:
    it becomes a move.
    """

    @property
    def phase(self) -> Phase:
        """Where the connection is."""
        ...

    def opened(self) -> list[Move]:
        """The socket is open, and the sub-protocol agreed."""
        ...

    def start(self, id_: str, operation: Operation) -> list[Move]:
        """Start an operation under an id that was never used on this connection."""
        ...

    def stop(self, id_: str) -> list[Move]:
        """End an operation. What still arrives for it is ignored."""
        ...

    def received(self, frame: Json) -> list[Move]:
        """One text frame, decoded."""
        ...

    def unreadable(self, what: str) -> list[Move]:
        """A frame that is not JSON text; `what` says what it is instead."""
        ...

    def leave(self) -> list[Move]:
        """Say good-bye: the moves that end the session politely. The socket is closed with 1000 after them."""
        ...
