"""A real HTTP receiver of alerts: it writes down what it took, by path, and may be told to take nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.web import serving


@dataclass
class Receiver:
    """`told`: by path, (id, body) of each request that was taken, in order. `down`: paths that answer 503."""

    port: int = 0
    told: dict[str, list[tuple[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    down: set[str] = field(default_factory=set)
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Take it, or not."""
        path = request.path
        body = json.loads(await request.read())
        if path in self.down:
            self.refused += 1
            return web.Response(status=503)
        self.told[path].append((request.headers.get("webhook-id", ""), body))
        return web.Response(status=200)

    def url(self, path: str, scheme: str = "http") -> str:
        """Where it listens."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def alert_receiver() -> AsyncIterator[Receiver]:
    """It listens on a free port."""
    receiver = Receiver()
    async with serving(receiver.answer) as receiver.port:
        yield receiver
