"""What the three sub-protocols share: the phases, the operations of one connection, and the errors in messages.

A sub-protocol is a table, by message and phase, of what happens. What stands in no row is a stranger; what stands
in a row, but not for the phase, is odd: counted and ignored.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum

from bridge.core import graphql
from bridge.core.ending import Ending, marked
from bridge.core.errors import BridgeError, Refused, Retry
from bridge.core.facts import Operation
from bridge.core.fields import EXACT, kind
from bridge.core.record import Json
from bridge.core.wire.moves import Close, Ended, IllegalMove, Move, Next, Odd, Phase

BAD_MESSAGE = 4400
"""The close code for a message that is none (graphql-transport-ws; the other two have no code for it)."""

NORMAL = 1000
"""The close code of everyone who leaves because of what was said, and not because of how."""

Frame = Mapping[str, Json]
Handler = Callable[[Frame], list[Move]]
Table = Mapping[str, Mapping[Phase, Handler]]
"""By the kind of message, then by phase: what it leads to."""

# At the beginning of a line, and not in a comment. Servers need the name only where a document holds several.
_NAMED = re.compile(r"^\s*subscription\s+([A-Za-z_][A-Za-z0-9_]*)\s*[({@]", re.MULTILINE)

# How graphql-js, graphql-core, graphql-java and graphql-ruby word what is wrong with a document.
_INVALID = re.compile(
    r"syntax error|cannot query field |unknown (type|argument|field|directive|fragment|operation)\b"
    r"|(field|variable|argument|fragment) [\"'`$]|validation (error|failed)|parse error"
    r"|unexpected end of document|must provide operation name",
    re.IGNORECASE,
)


class Stand(Enum):
    """How it stands with an operation."""

    RUNNING = "running"
    STOPPED = "stopped"
    """By us; the server may not know yet, or may be about to say so."""
    OVER = "over"


class Exchange(ABC):
    """One connection's phases and operations; a sub-protocol adds its table and its words. See `Machine`."""

    def __init__(self) -> None:
        self._phase = Phase.FRESH
        self._stands: dict[str, Stand] = {}
        self._failures: dict[str, Json] = {}
        """The last result of each running operation, where that was errors and no data at all."""
        self._table = self.table()

    @property
    def phase(self) -> Phase:
        """Where the connection is."""
        return self._phase

    @abstractmethod
    def table(self) -> Table:
        """The sub-protocol: by message and phase, what it leads to."""

    def opened(self) -> list[Move]:
        """The socket is open, and the sub-protocol agreed. Raises IllegalMove the second time."""
        self._demand(Phase.FRESH, "opened")
        self._phase = Phase.GREETING
        return self._greet()

    def start(self, id_: str, operation: Operation) -> list[Move]:
        """Start an operation. Raises IllegalMove where the phase is not ready or the id was used before."""
        self._demand(Phase.READY, "an operation started")
        if id_ in self._stands:
            raise IllegalMove("an operation's id was used before on this connection")
        self._stands[id_] = Stand.RUNNING
        return self._begin(id_, operation)

    def stop(self, id_: str) -> list[Move]:
        """End an operation; nothing if it is over already. Raises IllegalMove if not ready or if it never began."""
        self._demand(Phase.READY, "an operation stopped")
        if id_ not in self._stands:
            raise IllegalMove("an operation that was never started cannot be stopped")
        if self._stands[id_] is not Stand.RUNNING:
            return []
        self._stands[id_] = Stand.STOPPED
        self._failures.pop(id_, None)
        return self._cease(id_)

    def received(self, frame: Json) -> list[Move]:
        """One text frame, decoded. Never raises; nothing follows once the phase is over."""
        if self._phase is Phase.OVER:
            return []
        if not isinstance(frame, dict):
            return self._garbled(f"{kind(frame)} where an object was expected")
        name = self._name(frame)
        row = self._table.get(name) if isinstance(name, str) else None
        if row is None:
            return self._stranger()
        handler = row.get(self._phase)
        return [Odd(f"{name} in phase {self._phase}")] if handler is None else handler(frame)

    def unreadable(self, what: str) -> list[Move]:
        """A frame that is not JSON text: whatever it was is lost, so the session ends and all is read again."""
        return [] if self._phase is Phase.OVER else self._garbled(f"{what} where JSON text was expected")

    def leave(self) -> list[Move]:
        """The moves that end the session politely, in any phase: none before the opening and after the end."""
        before, self._phase = self._phase, Phase.OVER
        if before in (Phase.FRESH, Phase.OVER):
            return []
        running = [id_ for id_, stand in self._stands.items() if stand is Stand.RUNNING]
        self._stands.update(dict.fromkeys(running, Stand.OVER))
        return [*(move for id_ in running for move in self._cease(id_)), *self._part()]

    # The words of a sub-protocol.

    def _name(self, frame: Frame) -> Json:
        return frame.get("type")

    def _greet(self) -> list[Move]:
        return []

    @abstractmethod
    def _begin(self, id_: str, operation: Operation) -> list[Move]: ...

    @abstractmethod
    def _cease(self, id_: str) -> list[Move]: ...

    def _part(self) -> list[Move]:
        return []

    def _stranger(self) -> list[Move]:
        return [Odd("a message of an unknown type")]

    # What the two GraphQL protocols do alike; the third uses parts of it.

    def _result(self, frame: Frame) -> list[Move]:
        """Whatever the payload is goes on: the adapter knows what to do with one that is no result."""
        id_, payload = self._running(frame), frame.get("payload")
        if id_ is None:
            return self._missed("a result")
        if failed(payload):
            self._failures[id_] = payload
        else:
            self._failures.pop(id_, None)
        return [Next(id_, payload)]

    def _failed(self, frame: Frame) -> list[Move]:
        id_ = self._running(frame)
        return self._missed("an error") if id_ is None else self._over(id_, failure(frame.get("payload")))

    def _completed(self, frame: Frame) -> list[Move]:
        id_ = plain_id(frame.get("id"))
        stand = self._stands.get(id_) if id_ is not None else None
        if id_ is not None and stand is Stand.RUNNING:
            # How the stock legacy server refuses a document, and both what a resolver fails to subscribe to.
            payload = self._failures.get(id_)
            return self._over(id_, None if payload is None else failure(payload))
        if id_ is not None and stand is Stand.STOPPED:
            # The answer to our own stop: expected, once.
            self._stands[id_] = Stand.OVER
            return []
        return self._missed("an end")

    def _running(self, frame: Frame) -> str | None:
        """The id of the operation that a message is about, if it is running."""
        id_ = plain_id(frame.get("id"))
        return id_ if id_ is not None and self._stands.get(id_) is Stand.RUNNING else None

    def _over(self, id_: str, error: BridgeError | None = None) -> list[Move]:
        self._stands[id_] = Stand.OVER
        self._failures.pop(id_, None)
        return [Ended(id_, error)]

    def _missed(self, what: str) -> list[Move]:
        return [Odd(f"{what} for an operation that is not running")]

    def _end(self, error: BridgeError, code: int = NORMAL) -> list[Move]:
        self._phase = Phase.OVER
        return [Close(code, error)]

    def _garbled(self, what: str) -> list[Move]:
        return self._end(marked(Retry(f"the server sent {what}"), Ending.PROTOCOL), BAD_MESSAGE)

    def _demand(self, phase: Phase, what: str) -> None:
        if self._phase is not phase:
            raise IllegalMove(f"{what} in phase {self._phase}, allowed in phase {phase}")


def request(operation: Operation) -> dict[str, Json]:
    """The GraphQL request of an operation, with the name its document gives to the subscription, if it does."""
    asked: dict[str, Json] = {"query": operation.document, "variables": dict(operation.variables)}
    if named := _NAMED.search(operation.document):
        asked["operationName"] = named[1]
    return asked


def plain_id(value: Json) -> str | None:
    """An operation's id as we know it: some servers return as a number what was sent as text. None: it is no id."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= EXACT and value == int(value):
        return str(int(value))
    return None


def failed(payload: Json) -> bool:
    """Whether a response says that the request itself failed: errors, and no `data` entry, not even null.

    Source: GraphQL specification, section "Response Format".
    """
    return isinstance(payload, dict) and "data" not in payload and bool(payload.get("errors"))


def failure(
    payload: Json, what: str = "the subscription", *, otherwise: type[BridgeError] | None = None
) -> BridgeError:
    """The error for the payload of an `error` or `connection_error`, by what happens next. Never raises.

    Understood are one error object, a list (also an empty one), an object with `errors`, and text. `otherwise`: what
    it is when neither code nor message says; None: Refused if the words are those of validation, else Retry.
    """
    errors = (payload.get("errors") or payload) if isinstance(payload, dict) else payload
    first = errors[0] if isinstance(errors, list) and errors else errors
    if isinstance(first, str):
        first = {"message": first}
    if otherwise is None:
        message = first.get("message") if isinstance(first, dict) else None
        invalid = isinstance(message, str) and _INVALID.match(message) is not None
        otherwise = Refused if invalid else Retry
    return graphql.fault(first, what, otherwise=otherwise)
