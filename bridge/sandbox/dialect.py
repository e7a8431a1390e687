"""The two GraphQL sub-protocols as a server speaks them, written from their published texts.

`graphql-ws` is the older one, of the package subscriptions-transport-ws (its PROTOCOL.md and its stock server's
habits); `graphql-transport-ws` belongs to the package graphql-ws (its PROTOCOL.md). Deliberately independent of the
client under test.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

if TYPE_CHECKING:
    from bridge.sandbox.session import Session

Frame = dict[str, Any]


class Refused(Exception):
    """The client may not come in: told where the sub-protocol has a place for it. `code`: to close with, if not 0."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.code = code


class Dialect(abc.ABC):
    """How one sub-protocol says what a session has to say. Holds the state of one connection."""

    name: ClassVar[str]

    async def opened(self, session: Session) -> None:  # noqa: B027  # most wait for the client
        """The socket is open; the client has said nothing yet."""

    @abc.abstractmethod
    async def take(self, session: Session, message: Frame) -> None:
        """Answer one message of the client."""

    @abc.abstractmethod
    async def rubbish(self, session: Session) -> None:
        """Answer a frame that is no JSON object."""

    @abc.abstractmethod
    def data(self, id_: str, payload: Any) -> Frame:
        """A result of an operation."""

    @abc.abstractmethod
    def failed(self, id_: str, errors: Any) -> Frame:
        """An operation that cannot be carried out; `errors` is a list of GraphQL errors."""

    @abc.abstractmethod
    def complete(self, id_: str) -> Frame:
        """An operation is over."""

    def unfit(self, id_: str, errors: Any) -> list[Frame]:
        """The answer to a document that does not parse or does not fit the schema."""
        return [self.failed(id_, errors)]

    def begun(self, id_: str) -> Frame | None:  # noqa: ARG002  # most have none
        """A subscription is registered, where the sub-protocol says so."""
        return None

    def leaving(self, reason: str, *, back: bool) -> Frame | None:  # noqa: ARG002  # most have none
        """The server is about to close; `back`: whether the client may return."""
        return None

    @abc.abstractmethod
    def beat(self, now_ms: int) -> Frame:
        """The sign of life."""

    @abc.abstractmethod
    def beat_s(self, session: Session) -> float | None:
        """How often the sign of life is given; None: never."""


class Legacy(Dialect):
    """Sub-protocol `graphql-ws`."""

    name = "graphql-ws"

    async def take(self, session: Session, message: Frame) -> None:
        id_, payload = message.get("id"), message.get("payload")
        match message.get("type"):
            case "connection_init":
                try:
                    await session.admit(payload if isinstance(payload, dict) else {})
                except Refused as refusal:
                    await session.send({"type": "connection_error", "payload": {"message": str(refusal)}})
                    await anyio.sleep(0.01)  # as the stock server does
                    await session.end(refusal.code or session.rules.refuse_code or 1011)
                else:
                    await session.acknowledge({"type": "connection_ack"})
            case "start" if not session.admitted:
                await session.send(self.failed(str(id_), [{"message": "connection_init has not been acknowledged"}]))
            case "start" if isinstance(id_, str):
                session.stop(id_)  # the stock server replaces an operation of the same id silently
                await session.start(id_, payload)
            case "stop" if isinstance(id_, str):
                if id_ in session.operations:  # of others the stock server says nothing
                    session.stop(id_)
                    await session.send(self.complete(id_))
            case "connection_terminate":
                await session.end(1000)
            case _:
                await session.send(self.failed(str(id_), [{"message": "Invalid message type!"}]))

    async def rubbish(self, session: Session) -> None:
        await session.send({"type": "connection_error", "payload": {"message": "Message must be a JSON object"}})

    def data(self, id_: str, payload: Any) -> Frame:
        return {"type": "data", "id": id_, "payload": payload}

    def failed(self, id_: str, errors: Any) -> Frame:
        return {"type": "error", "id": id_, "payload": errors[0] if errors else {"message": "failed"}}

    def unfit(self, id_: str, errors: Any) -> list[Frame]:
        # The stock server throws at a syntax error; what is found later is a result like any other, and the last.
        if unparsed(errors):
            return [self.failed(id_, errors)]
        return [self.data(id_, {"errors": errors}), self.complete(id_)]

    def complete(self, id_: str) -> Frame:
        return {"type": "complete", "id": id_}

    def beat(self, now_ms: int) -> Frame:  # noqa: ARG002  # only one sub-protocol tells the time
        return {"type": "ka"}

    def beat_s(self, session: Session) -> float | None:
        return session.rules.ka_s


class Modern(Dialect):
    """Sub-protocol `graphql-transport-ws`."""

    name = "graphql-transport-ws"

    def __init__(self) -> None:
        self._asked = False

    async def take(self, session: Session, message: Frame) -> None:
        id_, payload = message.get("id"), message.get("payload")
        match message.get("type"):
            case "connection_init" if self._asked:
                await session.end(4429, "Too many initialisation requests")
            case "connection_init":
                self._asked = True
                try:
                    await session.admit(payload if isinstance(payload, dict) else {})
                except Refused as refusal:
                    await session.end(refusal.code or session.rules.refuse_code or 4403, "Forbidden")
                else:
                    await session.acknowledge({"type": "connection_ack"})
            case "ping":
                await session.send({"type": "pong"} | ({"payload": payload} if payload is not None else {}))
            case "pong":
                pass
            case "subscribe" if not session.admitted:
                await session.end(4401, "Unauthorized")
            case "subscribe" if isinstance(id_, str) and id_ in session.operations:
                await session.end(4409, f"Subscriber for {id_[:50]} already exists")
            case "subscribe" if isinstance(id_, str) and isinstance(payload, dict):
                await session.start(id_, payload)
            case "complete" if isinstance(id_, str):
                session.stop(id_)
            case _:
                await session.end(4400, "Invalid message")

    async def rubbish(self, session: Session) -> None:
        await session.end(4400, "Invalid message")

    def data(self, id_: str, payload: Any) -> Frame:
        return {"id": id_, "type": "next", "payload": payload}

    def failed(self, id_: str, errors: Any) -> Frame:
        return {"id": id_, "type": "error", "payload": errors}

    def complete(self, id_: str) -> Frame:
        return {"id": id_, "type": "complete"}

    def beat(self, now_ms: int) -> Frame:  # noqa: ARG002
        return {"type": "ping"}

    def beat_s(self, session: Session) -> float | None:
        return session.rules.ping_s


def unparsed(errors: Any) -> bool:
    """Whether these errors say that a document is no GraphQL at all."""
    return bool(errors) and str(errors[0].get("message")).startswith("Syntax Error")
