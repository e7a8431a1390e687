"""A vendor's rate limiter as redis-cell has it, and a vendor behind it that counts what its clients are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import anyio

from bridge.adapter import Allowance, Json, Limit, Page, Request, Response
from bridge.core import answer
from bridge.core.facts import Ask
from tests.support.answers import answer as answered
from tests.support.sim_vendor import SimAdapter


class Gcra:
    """`burst` requests at once, one more regained every `every_s` seconds."""

    def __init__(self, every_s: float, burst: int) -> None:
        self.every_s = every_s
        self.burst = burst
        self._used_until = -math.inf

    def take(self, now: float, cost: int = 1) -> float:
        """0 if the request is allowed, which is then counted; else the seconds to wait."""
        until = max(now, self._used_until) + cost * self.every_s
        late = until - now - self.burst * self.every_s
        if late > 1e-9:
            return late
        self._used_until = until
        return 0.0

    def headers(self, now: float, spell: Callable[[float], str]) -> dict[str, str]:
        """What is left now; `spell` rounds and writes seconds."""
        used_s = max(0.0, self._used_until - now)
        used = math.ceil(used_s / self.every_s - 1e-9)
        return {
            "x-ratelimit-limit": str(self.burst),
            "x-ratelimit-remaining": str(self.burst - used),
            "x-ratelimit-reset": spell(used_s),
        }


class LimitedVendor:
    """Implements the engine's `Http`: a request costs `cost`; the way takes up to `latency_s`, there and back.

    `accepted` and `refused` count requests of ours; `others`: what others on the same quota were allowed.
    """

    def __init__(
        self, gcra: Gcra, seed: int, *, latency_s: float, spell: Callable[[float], str], cost: int = 1
    ) -> None:
        self.gcra = gcra
        self.cost = cost
        self.accepted = self.refused = self.others = 0
        self._roll = Random(seed)
        self._latency_s = latency_s
        self._spell = spell

    async def send(self, request: Request, **_: Any) -> Response:
        """Accept or refuse it as it arrives."""
        await self._travel()
        now = anyio.current_time()
        late = self.gcra.take(now, self.cost)
        headers = self.gcra.headers(now, self._spell)
        await self._travel()
        if late:
            self.refused += 1
            return answered({}, 429, {**headers, "retry-after": str(math.ceil(late))})
        self.accepted += 1
        return answered({"rows": []}, headers=headers)

    async def press(self, mean_s: float) -> None:
        """Others, who come when they like, about every `mean_s` seconds; never returns."""
        while True:
            await anyio.sleep(self._roll.expovariate(1 / mean_s))
            if not self.gcra.take(anyio.current_time()):
                self.others += 1

    async def _travel(self) -> None:
        await anyio.sleep(self._roll.uniform(0.2, 1.0) * self._latency_s)


class LimitedAdapter(SimAdapter):
    """Reads one row-less page over and over, and tells what the headers say."""

    quota = Limit(1_000, 3_600.0, 26)

    @property
    def limit(self) -> Limit:
        return self.quota

    def allowance(self, response: Response) -> Allowance | None:
        return answer.allowance(response.headers)

    def page(self, ask: Ask, response: Response) -> Page:
        answer.check(response, "page")
        rows: list[Json] = response.json["rows"]
        return Page(rows)
