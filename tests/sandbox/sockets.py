"""Plain WebSocket clients for the sandboxes: the sub-protocols' frames written by hand, on the library `websockets`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEADLINE_S = 10.0
START = {"graphql-ws": "start", "graphql-transport-ws": "subscribe"}
STOP = {"graphql-ws": "stop", "graphql-transport-ws": "complete"}
EVENT = {"graphql-ws": "data", "graphql-transport-ws": "next"}
IDENTIFIER = json.dumps({"channel": "GraphqlChannel", "channelId": "1"})


class Wire:
    """One open socket. Every wait has a deadline."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.protocol = socket.subprotocol or ""

    async def say(self, frame: Any) -> None:
        """Send a frame: text as it is, else as JSON."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def raw(self) -> str | bytes:
        """The next frame as it came."""
        with anyio.fail_after(DEADLINE_S):
            return await self.socket.recv()

    async def hear(self) -> Any:
        """The next frame, decoded."""
        return json.loads(await self.raw())

    async def hear_until(self, kind: str) -> list[Any]:
        """Frames up to and with the first of a type."""
        frames = [await self.hear()]
        while frames[-1].get("type") != kind:
            frames.append(await self.hear())
        return frames

    async def code(self) -> int:
        """The code the server closes with, once everything before it was read; 1006 if it says none."""
        with anyio.fail_after(DEADLINE_S):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd is not None else 1006

    async def init(self, params: Mapping[str, Any]) -> None:
        """Open a session and be acknowledged."""
        await self.say({"type": "connection_init", "payload": dict(params)})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, query: str, id_: str = "1", **variables: Any) -> None:
        """Begin a subscription. It is registered when the next query is answered, or at once on the server's side."""
        payload = {"query": query, "variables": variables}
        await self.say({"id": id_, "type": START[self.protocol], "payload": payload})

    async def event(self) -> Any:
        """The payload of the next frame, which must be an event."""
        frame = await self.hear()
        assert frame["type"] == EVENT[self.protocol], frame
        return frame["payload"]

    # Action Cable.

    async def execute(self, query: str, identifier: str = IDENTIFIER) -> None:
        """Subscribe to the channel and execute, up to the first result."""
        assert await self.hear_message() == {"type": "welcome"}
        await self.say({"command": "subscribe", "identifier": identifier})
        assert await self.hear_message() == {"identifier": identifier, "type": "confirm_subscription"}
        data = json.dumps({"action": "execute", "query": query})
        await self.say({"command": "message", "identifier": identifier, "data": data})
        assert await self.hear_message() == {
            "identifier": identifier,
            "message": {"result": {"data": {}}, "more": True},
        }

    async def hear_message(self) -> Any:
        """The next frame that is no ping."""
        while (frame := await self.hear()).get("type") == "ping":
            pass
        return frame


@asynccontextmanager
async def wire(url: str, protocol: str | None = "graphql-ws", **headers: str) -> AsyncIterator[Wire]:
    """An open socket that offers one sub-protocol. `headers` with underscores."""
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    offered: Any = [protocol] if protocol else None
    async with connect(
        url, subprotocols=offered, additional_headers=pairs, proxy=None, max_size=None, close_timeout=1
    ) as socket:
        yield Wire(socket)
