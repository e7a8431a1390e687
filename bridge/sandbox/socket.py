"""One WebSocket of a client as ASGI shows it, and with what ASGI has no word for: abort, freeze, ping, raw bytes."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec

from bridge.sandbox.delivery import Receive, Send

TRANSPORT = "sandbox.transport"
"""The ASGI extension under which `serving` hands over what it can do to the connection.

`abort`, `freeze`, `quiet` (no pings of the server's own from now on), `ping` (one, now), `write` (raw bytes),
`burst` (many frames in one go).
"""
CLOSE_S = 1.0


def _nothing(*_: object) -> None:
    """What a server other than ours can do of it."""


class Gone(Exception):
    """The client has left, or the socket was closed or aborted."""


class Socket:
    """A WebSocket, from the upgrade request to its close."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
        self.offered: list[str] = list(scope.get("subprotocols", ()))
        self._receive = receive
        self._send = send
        self._transport: Mapping[str, Callable[..., None]] = scope.get("extensions", {}).get(TRANSPORT, {})
        self._over = False
        self._frozen = False

    async def accept(self, subprotocol: str | None) -> None:
        """Let the client in. Raises Gone."""
        await self._receive()  # the request itself
        await self._give({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer the upgrade request with an HTTP status instead."""
        await self._receive()
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
        try:
            await self._give({"type": "websocket.http.response.start", "status": status, "headers": pairs})
            await self._give({"type": "websocket.http.response.body", "body": body})
        except Gone:
            pass
        self._over = True

    async def read(self) -> str | bytes:
        """The next frame. Raises Gone once there is none."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._over = True
            raise Gone
        text: str | None = message.get("text")
        return message.get("bytes", b"") if text is None else text

    async def send(self, frame: Any) -> None:
        """Send an object as JSON text. Raises Gone."""
        await self.send_raw(msgspec.json.encode(frame, enc_hook=str).decode())

    async def send_raw(self, frame: str | bytes) -> None:
        """Send a frame as it is, text or binary. Raises Gone."""
        if not self._frozen:
            await self._give({"type": "websocket.send", "bytes" if isinstance(frame, bytes) else "text": frame})

    async def send_many(self, frames: Sequence[str | bytes]) -> None:
        """Send frames in one go, waiting first until the network has taken what came before. Raises Gone."""
        burst = self._transport.get("burst")
        if burst is None or len(frames) < 2:
            for frame in frames:
                await self.send_raw(frame)
        elif not self._frozen:
            await self.send_raw(frames[0])
            burst(frames[1:])

    def write(self, raw: bytes) -> None:
        """Put bytes on the connection that are no WebSocket frame, or a frame ASGI cannot say."""
        if not self._frozen and not self._over:
            self._transport.get("write", _nothing)(raw)

    def quiet(self) -> None:
        """No WebSocket pings of the server's own from now on."""
        self._transport.get("quiet", _nothing)()

    def ping(self) -> None:
        """Send one WebSocket ping; nobody waits for its pong."""
        if not self._frozen and not self._over:
            self._transport.get("ping", _nothing)()

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code; 1006 and 1005 cannot be sent: the connection is then cut. Never raises Gone."""
        if code in (1005, 1006):
            self.abort()
            return
        if self._over or self._frozen:
            return
        # A client that has stopped reading would hold the closing frame up for ever.
        with anyio.move_on_after(CLOSE_S) as scope:
            try:
                await self._give({"type": "websocket.close", "code": code, "reason": reason})
            except Gone:
                return
            finally:
                self._over = True
        if scope.cancelled_caught:
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._over = True
        self._transport.get("abort", _nothing)()

    def freeze(self) -> None:
        """Stop reading, answering and sending; the connection stays open."""
        self._frozen = True
        self._transport.get("freeze", _nothing)()

    async def _give(self, message: dict[str, Any]) -> None:
        if self._over:
            raise Gone
        try:
            await self._send(message)
        except (OSError, RuntimeError) as problem:  # the server's words for a client that left
            self._over = True
            raise Gone from problem
