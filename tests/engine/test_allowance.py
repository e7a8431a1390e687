"""A quota learned from the vendor's own headers, against a limiter as redis-cell has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bridge.adapter import Ask, Limit, Request, Response, Walk
from bridge.core.errors import Retry
from bridge.engine.quota import Quota
from bridge.engine.reader import Reader
from tests.support.engine import on_virtual_clock
from tests.support.gcra import Gcra, LimitedAdapter, LimitedVendor
from tests.support.sim_vendor import SimSettings, SimVendor, wall
from tests.support.thorough import tries

SPELLINGS: dict[str, Callable[[float], str]] = {
    "down": lambda seconds: str(math.floor(seconds)),
    "up": lambda seconds: str(math.ceil(seconds)),
    "exactly": lambda seconds: f"{seconds:.3f}",
}


class Setting:
    """Readers that ask as often as they may, for a while; with others on the same quota."""

    def __init__(self, vendor: LimitedVendor, limit: Limit) -> None:
        self.vendor = vendor
        self.quota = Quota(limit)
        self.limit = limit

    async def run(self, *, seconds: float, walk: Walk, readers: int = 1, others_every_s: float | None = None) -> None:
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                if others_every_s:
                    group.start_soon(self.vendor.press, others_every_s)
                for _ in range(readers):
                    group.start_soon(self._read, walk)

    async def _read(self, walk: Walk) -> None:
        adapter = LimitedAdapter(SimSettings(name="acme", adapter="sim"))
        reader = Reader(adapter, _Login(self.vendor), self.quota, wall, lambda _: None)
        while True:
            try:
                await reader.page(Ask(walk, None))
            except Retry:
                await anyio.sleep(1)


class _Login:
    """Logins go to a vendor of their own, which has no limit."""

    def __init__(self, vendor: LimitedVendor) -> None:
        self._accounts = SimVendor()
        self._accounts.token_life_s = 1e9
        self._vendor = vendor

    async def send(self, request: Request, **limits: Any) -> Response:
        if request.url == "sim:login":
            return await self._accounts.send(request, **limits)
        return await self._vendor.send(request, **limits)


RARELY = {0.0: 0.005, 0.2: 0.02, 0.5: 0.06}
"""How many of our requests may be refused, by what share of the quota others take who come when they like."""


# A failing example need not be made smaller: each takes a second.
@settings(max_examples=tries(6, 32), deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(
    requests=st.sampled_from([100, 1_000, 5_000]),
    burst=st.integers(8, 40),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    latency=st.floats(0.0, 0.3),
    share=st.sampled_from(sorted(RARELY)),
    spares=st.integers(2, 4),
    seed=st.integers(0, 10_000),
)
def test_nearly_all_is_used_and_nearly_nothing_refused(
    requests: int, burst: int, spelling: str, latency: float, share: float, spares: int, seed: int
) -> None:
    """However the vendor rounds and whatever the way takes: 95 % of the quota goes out, and refusals are rare."""

    async def main() -> None:
        every_s = 3_600.0 / requests
        vendor = LimitedVendor(Gcra(every_s, burst), seed, latency_s=latency * every_s, spell=SPELLINGS[spelling])
        setting = Setting(vendor, Limit(requests, 3_600.0, burst))
        walk = Walk("things", "thing", 10, spares=spares)
        await setting.run(
            seconds=400 * every_s, walk=walk, readers=2, others_every_s=every_s / share if share else None
        )
        assert vendor.accepted + vendor.others >= 0.95 * 400
        assert vendor.refused <= RARELY[share] * vendor.accepted

    on_virtual_clock(main)


def test_without_spares_and_others_nothing_is_refused() -> None:
    """Alone on the quota the reader takes the burst and then one request at a time, as each is regained."""

    async def main() -> None:
        vendor = LimitedVendor(Gcra(3.6, 26), 1, latency_s=0.5, spell=SPELLINGS["down"])
        await Setting(vendor, Limit(1_000, 3_600.0, 26)).run(seconds=3_600, walk=Walk("things", "thing", 10))
        assert vendor.refused == 0
        assert vendor.accepted >= 975

    on_virtual_clock(main)


def test_what_is_spared_is_there_for_others() -> None:
    """A reader that leaves ten never takes the bucket below ten, but for the fraction it cannot see."""

    async def main() -> None:
        gcra = Gcra(3.6, 26)
        vendor = LimitedVendor(gcra, 1, latency_s=0.1, spell=SPELLINGS["exactly"])
        lowest = []

        async def watch() -> None:
            while True:
                await anyio.sleep(1)
                lowest.append(int(gcra.headers(anyio.current_time(), str)["x-ratelimit-remaining"]))

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            setting = Setting(vendor, Limit(1_000, 3_600.0, 26))
            await setting.run(seconds=1_000, walk=Walk("things", "thing", 10, spares=10), readers=3)
            group.cancel_scope.cancel()
        assert 10 <= min(lowest) <= 11

    on_virtual_clock(main)


@pytest.mark.parametrize("cost", [2, 5])
def test_costly_queries_wait_until_they_can_be_paid(cost: int) -> None:
    """A query that the vendor counts as several is known by what remains after it; it is refused at the start only."""

    async def main() -> None:
        vendor = LimitedVendor(Gcra(3.6, 26), 1, latency_s=0.1, spell=SPELLINGS["down"], cost=cost)
        await Setting(vendor, Limit(1_000, 3_600.0, 26)).run(seconds=3_600, walk=Walk("things", "thing", 10))
        assert vendor.refused <= 1
        assert vendor.accepted * cost >= 0.95 * 1_000

    on_virtual_clock(main)
