"""Sources that share a quota, run for real: what they read how often, and what they tell of it."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from bridge.adapter import Ask, Page, Response, Token, Walk
from bridge.core.budget import Block, Limit
from bridge.core.vitals import Vitals
from bridge.engine.allotment import Allotment
from bridge.engine.quota import Quota
from bridge.engine.reader import Reader
from bridge.engine.source import Status
from bridge.engine.vitals import take_vitals
from tests.support.engine import Bench, on_virtual_clock
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall

WALKS = [Walk("things", "thing", 10.0, page_size=3), Walk("parts", "part", 10.0, page_size=3, worth=4.0)]


def reader(quota: Quota, vendor: SimVendor | None = None) -> Reader:
    return Reader(
        SimAdapter(SimSettings(name="acme", adapter="sim")), vendor or SimVendor(), quota, wall, lambda _: None
    )


def test_what_passes_cost_is_learned_and_shared() -> None:
    """Costs are those of the requests that went; before the first pass those of the vendor's totals."""

    async def main() -> None:
        quota = Quota(Limit(7, 60.0, 1))
        allotment = Allotment("acme", reader(quota))
        allotment.enter(WALKS)
        planned = quota.planner("acme")
        allotment.expect({"things": (3, 30), "parts": (1, None), "gone": (1, 10)})
        assert (planned(WALKS[0]).cost, planned(WALKS[1]).cost) == (10.0, 1.0)
        # Ten times the pages and a quarter of the worth: the root of forty.
        assert planned(WALKS[0]).every_s / planned(WALKS[1]).every_s == pytest.approx(6.3246, abs=1e-3)
        mine = reader(quota)
        allotment = Allotment("acme", mine)
        allotment.enter(WALKS)
        for _ in range(4):
            await mine.page(Ask(WALKS[1], None))
        allotment.passed(WALKS[1])
        assert planned(WALKS[1]).cost == 4.0
        allotment.refused(WALKS[1])
        assert quota.plan.count() == 1
        allotment.leave()
        assert quota.plan.count() == 0

    on_virtual_clock(main)


def test_a_polled_source_tells_what_it_reads_when() -> None:
    """Walks with their intervals and when they are due, as moments of the wall clock, and the quota."""

    async def main() -> None:
        quota = Quota(Limit(50, 900.0, reserve=5))
        allotment = Allotment("acme", reader(quota))
        allotment.enter(WALKS)
        status = Status("acme", "sim", progress={"parts": (3, 9)})
        schedule = allotment.schedule(WALKS, anyio.current_time(), {"things": 4.0})
        quota.ended(await quota.take(), Block(20, 300.5))
        quota.refusals = 3
        told = take_vitals(status, 1_000_000, schedule, quota)
        assert told is not None
        assert (told.polled, told.live, told.at_ms) == (True, False, 1_000_000)
        things, parts = told.walks
        assert (things.name, things.wish_s, things.rows) == ("things", 10.0, None)
        assert things.every_s > 20
        assert things.next_ms == pytest.approx(1_000_000 + round((things.every_s - 4) * 1000), abs=2)
        assert (parts.rows, parts.total, parts.next_ms) == (3, 9, 1_000_000)
        assert told.quota is not None
        assert (told.quota.limit, told.quota.reserve, told.quota.left, told.quota.refused, told.quota.walks) == (
            50, 5, 20, 3, 2
        )  # fmt: skip
        assert told.quota.resets_ms == pytest.approx(1_300_500, abs=10)
        assert take_vitals(status, 1_000_000) is None

    on_virtual_clock(main)


class Small(SimAdapter):
    """A vendor with eleven requests a minute for three walks that want one each every five seconds."""

    @property
    def limit(self) -> Limit:
        return Limit(11, 60.0, 1)

    def walks(self, token: Token) -> list[Walk]:
        return [Walk(f"{name}-things", "thing", 5.0, page_size=2) for name in "abc"]


def test_a_source_keeps_to_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three walks of three pages each share what is there, none is left behind, and who leaves is out of the plan."""
    monkeypatch.setattr("tests.support.engine.SimAdapter", Small)
    bench = Bench()
    for name in "abcde":
        bench.vendor.put(name, "1")
    told: list[Vitals] = []

    async def script() -> None:
        await anyio.sleep(1_200)
        began = dict(bench.runner.status.completed_ms)
        assert len(began) == 3
        assert max(wall() - at for at in began.values()) <= 100_000
        vitals = bench.runner._measure()
        assert vitals is not None
        told.append(vitals)

    on_virtual_clock(lambda: bench.during(script))
    (vitals,) = told
    assert vitals.quota is not None
    assert vitals.quota.walks == 3
    assert [walk.cost for walk in vitals.walks] == [3.0] * 3
    assert [walk.every_s for walk in vitals.walks] == pytest.approx([9 * 60 / 11 / 1.05] * 3)
    assert bench.vendor.requests <= 11 * 20 + 12
    assert bench.runner._reader.quota.plan.count() == 0


class Telling(Small):
    """It says with each page how many rows there are."""

    @property
    def limit(self) -> Limit:
        return Limit(1, 60.0)

    def page(self, ask: Ask, response: Response) -> Page:
        return replace(super().page(ask, response), total=41)


def test_the_first_pass_is_planned_by_the_vendors_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty-one rows, two to a page: twenty-one requests each, long before any of them has been read."""
    monkeypatch.setattr("tests.support.engine.SimAdapter", Telling)
    bench = Bench()
    for number in range(41):
        bench.vendor.put(f"n{number}", "1")
    costs: list[float] = []

    async def script() -> None:
        await anyio.sleep(15 * 60)
        vitals = bench.runner._measure()
        assert vitals is not None
        assert any(walk.rows and walk.total == 41 for walk in vitals.walks)
        costs.extend(walk.cost for walk in vitals.walks)

    on_virtual_clock(lambda: bench.during(script))
    assert 21.0 in costs
    assert set(costs) <= {1.0, 21.0}
