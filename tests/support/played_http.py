"""A played vendor without a socket, as the engine's HTTP: the whole engine runs against it on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio

from bridge.core.errors import Malformed, Retry
from bridge.core.facts import Request, Response
from bridge.core.secret import Secret
from bridge.edge.codec import decode
from bridge.sandbox.faults import ANSWER, KINDS, Fault

HOST = "http://127.0.0.1:9"
"""Where it is said to be; nobody listens there."""


class Reply(Protocol):
    """One answer of a sandbox's `respond`."""

    status: int
    body: bytes
    struck: Fault | None

    def told(self) -> None: ...


class Api(Protocol):
    """What a sandbox offers to those who ask without a socket."""

    def respond(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Any: ...


class PlayedHttp:
    """Implements `bridge.engine.ports.Http`. Each exchange takes `latency_s`. `asked`: every request, in order."""

    def __init__(self, api: Api, *, latency_s: float = 0.05) -> None:
        self._api = api
        self._latency_s = latency_s
        self.asked: list[Request] = []

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """The answer, or Retry where the wire would have swallowed it."""
        await anyio.sleep(self._latency_s)
        self.asked.append(request)
        parts = urlsplit(request.url)
        headers = {
            name.lower(): value.reveal() if isinstance(value, Secret) else value
            for name, value in request.headers.items()
        }
        reply = self._api.respond(request.method, parts.path, parts.query, headers)
        struck = reply.struck
        if struck is not None and struck.kind in ("hang", "cut", "huge"):
            await anyio.sleep(timeout_s if struck.kind == "hang" else 0)
            raise Retry(f"{request.method} {parts.path}: no complete answer")
        body, answered = reply.body, dict(getattr(reply, "headers", {}))
        if struck is not None and KINDS[struck.kind][0] == ANSWER:
            body = b"<!doctype html><html></html>" if struck.kind in ("html", "http_502") else b""
            answered = {"retry-after": f"{struck.seconds or 1:g}"} if struck.kind == "http_429" else {}
        elif struck is not None and struck.kind == "truncated":
            body = body[: len(body) // 2]
        else:
            reply.told()
        try:
            return Response(reply.status, answered, body, decode(body))
        except Malformed as error:
            return Response(reply.status, answered, body, None, str(error))
