"""One process's way to the shops: what becomes of its requests and their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio

from bridge.adapter import Request, Response, Retry
from tests.simulation.shop import FAULTS, MILD, Shop
from tests.simulation.wire import Wire


class Line:
    """See `Http`. `faulty`: how many of a hundred answers are none; `slow_s`: how long an answer takes at most.

    `asks` is told whom it asks.
    """

    def __init__(self, shops: Mapping[str, Shop], wire: Wire, asks: Callable[[str], None]) -> None:
        self._asks = asks
        self._shops = shops
        self._wire = wire
        self.faulty = 0
        self.slow_s = 0.0

    async def send(self, request: Request, *, timeout_s: float, max_bytes: int) -> Response:
        """See `Http.send`."""
        wire, chance = self._wire, self._wire.chance
        if wire.life.dead:
            raise Retry("this process is dead")
        _, name, path = request.url.split(":", 2)
        shop, (path, _, asked) = self._shops[name], path.partition("?")
        self._asks(name)
        wire.risk()
        sent = replace(request, url=f"sim:{path}", json=json.loads(asked) if asked else None)
        response = await shop.send(sent, timeout_s=timeout_s, max_bytes=max_bytes)
        wire.told("request")
        if self.slow_s:
            takes_s = chance.random() ** 3 * self.slow_s
            if takes_s > timeout_s:
                await anyio.sleep(timeout_s)
                raise Retry(f"no answer within {timeout_s:g} s")
            await anyio.sleep(takes_s)
        # Questions by id are few: they fail more often, or it would never matter that they do.
        if self.faulty and chance.randrange(100) < self.faulty * (3 if '"id"' in asked else 1):
            if path == "login":
                return Response(500, {}, b"")
            response = chance.choice(MILD if shop.fate.shared else FAULTS)(response)
        shop.refuses(response)
        wire.risk()
        return response
