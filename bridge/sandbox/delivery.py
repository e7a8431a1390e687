"""How an answer leaves a sandbox: whole, or with one of the faults of the stages `answer` and `send`.

Plain ASGI. `Exchange.deliver` says whether the answer went out in full to a client that was still there, because
only then may the ledger call its content served.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio

from bridge.sandbox.faults import Fault

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_REQUEST = 4 * 1024 * 1024
PIECES = 20
JSON = "application/json"


class Exchange:
    """One request of one client, and its answer. `closing` is set when the sandbox stops."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send, closing: anyio.Event) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive = receive
        self._send = send
        self._closing = closing

    def parameters(self) -> dict[str, str]:
        """The query string's parameters; of those given twice the last."""
        return dict(urllib.parse.parse_qsl(self.query))

    async def body(self) -> bytes | None:
        """The whole request body; None if the client left, or sent more than `MAX_REQUEST` bytes."""
        parts = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            parts += message.get("body", b"")
            if len(parts) > MAX_REQUEST:
                return None
            if not message.get("more_body", False):
                return bytes(parts)

    async def deliver(
        self,
        body: bytes,
        *,
        status: int = 200,
        kind: str = JSON,
        fault: Fault | None = None,
        whole: Callable[[], None] | None = None,
        beside: Mapping[str, str] | None = None,
        **headers: str,
    ) -> bool:
        """Send an answer, spoilt by `fault` if there is one. True if all of it reached the network.

        Names of headers, also of those in `beside`, are written with underscores.

        `whole` is called when all but the last byte has, just before that byte follows: so what it writes down
        is there before any client can have read the answer.
        """
        headers |= beside or {}
        if fault is not None and fault.kind == "truncated":
            await self.deliver(body[: len(body) // 2], status=status, kind=kind, beside=headers)
            return False
        await self._start(status, kind, len(body), headers)
        if fault is not None and fault.kind == "cut":
            await self._more(body[: len(body) // 2])
            return False  # ending the call without ending the answer makes the server close the connection
        if fault is not None and fault.kind == "trickle":
            pause = (2.0 if fault.seconds is None else fault.seconds) / PIECES
            size = max(1, -(-len(body) // PIECES))
            for start in range(0, len(body) - 1, size):
                await self._more(body[start : min(start + size, len(body) - 1)])
                await self._pause(pause)
                if self._closing.is_set() or await self._gone():
                    return False
        else:
            await self._more(body[:-1])
        # The server holds a large body back until the socket takes it: the empty piece waits for that.
        await self._more(b"")
        there = not await self._gone()
        if there and whole is not None:
            whole()
        await self._send({"type": "http.response.body", "body": body[-1:], "more_body": False})
        return there

    async def misbehave(self, fault: Fault) -> None:
        """Answer with a fault of stage `answer`."""
        seconds = fault.seconds
        match fault.kind:
            case "http_500":
                await self.deliver(b"Internal Server Error", status=500, kind="text/plain")
            case "http_502":
                await self.deliver(_page("502 Bad Gateway"), status=502, kind="text/html")
            case "http_503" if seconds is not None:
                await self.deliver(b"", status=503, kind="text/plain", retry_after=f"{seconds:g}")
            case "http_503":
                await self.deliver(b"Service Unavailable", status=503, kind="text/plain")
            case "http_429":
                wait = f"{1 if seconds is None else seconds:g}"
                await self.deliver(b"Too Many Requests", status=429, kind="text/plain", retry_after=wait)
            case "http_401":
                await self.deliver(b"Unauthorized", status=401, kind="text/plain")
            case "http_403":
                await self.deliver(b"Forbidden", status=403, kind="text/plain")
            case "html":
                await self.deliver(_page("We are improving our service for you"), kind="text/html")
            case "redirect":
                await self.deliver(b"", status=307, kind="text/plain", location=fault.url)
            case "graphql_errors":
                text = fault.comment or "Unexpected error value"
                await self.deliver(b'{"errors":[{"message":"%b"}],"data":null}' % text.encode())
            case "huge":
                await self._flood(100_000_000 if fault.size is None else fault.size)
            case "hang":
                await self._pause(30.0 if seconds is None else seconds)
                await self.deliver(b"Gateway Timeout", status=504, kind="text/plain")
            case _:
                raise ValueError(f"{fault.kind} is not a fault of the answer")

    async def _flood(self, size: int) -> None:
        """Without a declared length, so that a reader has to count."""
        await self._start(200, JSON, None, {})
        piece = b'{"data":{"flood":"' + b"x" * 65_536
        for _ in range(-(-size // len(piece))):
            await self._more(piece)
            if self._closing.is_set() or await self._gone():
                return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, status: int, kind: str, length: int | None, headers: Mapping[str, str]) -> None:
        pairs = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if length is not None:
            pairs["content-length"] = str(length)
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _more(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _pause(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._closing.wait()

    async def _gone(self) -> bool:
        """Whether the client has left. Reads what ASGI has to say at this moment, at most twice."""
        for _ in range(2):
            message: Message | None = None
            with anyio.move_on_after(0):
                message = await self._receive()
            if message is None:
                return False
            if message["type"] == "http.disconnect":
                return True
        return False


def _page(title: str) -> bytes:
    return f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()
