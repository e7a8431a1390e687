"""The server's side of the three GraphQL sub-protocols, for scripts: `Speaker` says the same things in each of them."""

from __future__ import annotations

import json
from typing import Any, Protocol

from bridge.core.facts import Subprotocol

Json = Any

LEGACY: Subprotocol = "graphql-ws"
TRANSPORT: Subprotocol = "graphql-transport-ws"
CABLE: Subprotocol = "actioncable-v1-json"
GRAPHQL = (LEGACY, TRANSPORT)
ALL = (*GRAPHQL, CABLE)


class PeerGone(Exception):
    """The client has left; `code` is its close code (1006: none)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Peer(Protocol):
    """The server's end of one connection, over a real socket or in memory."""

    number: int
    """1 for the first connection."""
    headers: dict[str, str]
    """Of the upgrade request, by lower-case name."""
    received: list[Json]
    """Every frame so far."""

    async def receive(self) -> Json:
        """The next frame. Raises PeerGone."""
        ...

    async def receive_text(self) -> str:
        """The next frame as it came, whatever it holds; `received` gets it as text. Raises PeerGone."""
        ...

    async def send(self, frame: Json) -> None:
        """Send JSON; text and bytes as they are. Raises PeerGone."""
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """Close as the protocol has it."""
        ...

    def drop(self) -> None:
        """Cut the connection without a word."""
        ...

    def freeze(self) -> None:
        """From now on neither read nor answer anything, pings included; the connection stays open."""
        ...


class Speaker:
    """Speaks one sub-protocol to one peer."""

    def __init__(self, peer: Peer, subprotocol: Subprotocol) -> None:
        self.peer = peer
        self.subprotocol = subprotocol
        self.init: Json = None
        self.channels: dict[str, str] = {}
        self._aside: list[Json] = []

    async def accept(self) -> None:
        """Read the greeting and accept it."""
        await self.greeting()
        await self.acknowledge()

    async def greeting(self) -> None:
        """Read what the client says first; with ActionCable that is nothing."""
        if self.subprotocol != CABLE:
            frame = await self.peer.receive()
            assert frame["type"] == "connection_init"
            self.init = frame.get("payload")

    async def acknowledge(self) -> None:
        """Accept the client."""
        await self.peer.send({"type": "welcome" if self.subprotocol == CABLE else "connection_ack"})

    async def subscribed(self) -> str:
        """Read the start of an operation, confirm it where that is possible, and return its id."""
        id_ = await self.asked()
        await self.confirm(id_)
        return id_

    async def asked(self) -> str:
        """Read the start of an operation and return its id. ActionCable: up to the `execute`."""
        frame = await self.next_of("start", "subscribe")
        if self.subprotocol != CABLE:
            return str(frame["id"])
        identifier = frame["identifier"]
        id_ = str(json.loads(identifier)["channelId"])
        self.channels[id_] = identifier
        await self.peer.send({"type": "confirm_subscription", "identifier": identifier})
        executed = await self.next_of("message")
        assert executed["identifier"] == identifier
        return id_

    async def next_of(self, *kinds: str) -> Json:
        """The next frame of one of these kinds; others are put aside until they are asked for."""
        for at, frame in enumerate(self._aside):
            if _kind(frame) in kinds:
                return self._aside.pop(at)
        while True:
            frame = await self.peer.receive()
            if _kind(frame) in kinds:
                return frame
            self._aside.append(frame)

    async def confirm(self, id_: str) -> None:
        """Say that the operation is registered; only ActionCable can."""
        if self.subprotocol == CABLE:
            await self._message(id_, {"result": None, "more": True})

    async def event(self, id_: str, payload: Json) -> None:
        """One result."""
        if self.subprotocol == CABLE:
            await self._message(id_, {"result": payload, "more": True})
        else:
            kind = "data" if self.subprotocol == LEGACY else "next"
            await self.peer.send({"type": kind, "id": id_, "payload": payload})

    async def number(self, id_: str, n: int) -> None:
        """One result that holds a number."""
        await self.event(id_, {"data": {"n": n}})

    async def complete(self, id_: str) -> None:
        """End an operation."""
        if self.subprotocol == CABLE:
            await self._message(id_, {"result": None, "more": False})
        else:
            await self.peer.send({"type": "complete", "id": id_})

    async def fail(self, id_: str, payload: Json) -> None:
        """End an operation by an error. Not with ActionCable."""
        await self.peer.send({"type": "error", "id": id_, "payload": payload})

    async def beat(self) -> None:
        """A sign of life."""
        await self.peer.send({"type": "ka" if self.subprotocol == LEGACY else "ping"})

    async def until_gone(self) -> int:
        """Read until the client leaves; returns its close code."""
        try:
            while True:
                await self.peer.receive()
        except PeerGone as gone:
            return gone.code

    async def _message(self, id_: str, message: Json) -> None:
        await self.peer.send({"identifier": self.channels[id_], "message": message})


def _kind(frame: Json) -> Json:
    return frame.get("type") or frame.get("command")
