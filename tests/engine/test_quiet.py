"""The log of a daemon that is well: what happens is said once, and then there is silence."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import anyio
from structlog.testing import capture_logs

from bridge.core.lease import Tenant
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.engine.quota import Quotas
from bridge.engine.source import Source, World
from bridge.engine.supervisor import Supervisor
from bridge.engine.tenancy import LeaseOffice
from tests.support.engine import on_virtual_clock
from tests.support.memory_leases import Bucket, MemoryLeases
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, status, wall

NAMES = ("one", "two", "three", "four", "five")
ME = Tenant(instance="here", boot="boot-1", host="host", place="place", pid=1, started=1, build="1.0")


class House:
    """Five sources of one vendor, polled every ten seconds; every second one has a live session as well."""

    def __init__(self) -> None:
        self.vendor = SimVendor()
        self.vendor.put("a", "1")
        office = LeaseOffice(
            MemoryLeases(Bucket()), ME, lease_s=10.0, wall=wall, roll=Random(0).random, alive=lambda _: True
        )
        world = World(
            ledger=MemoryLedger(),
            http=self.vendor,
            quotas=Quotas(),
            encode=lambda value: json.dumps(value).encode(),
            wall=wall,
            roll=Random(0).random,
            masker=Masker(),
            owner={},
            tenancies=office,
        )
        self.supervisor = Supervisor([self._source(name, number) for number, name in enumerate(NAMES)], world)

    def _source(self, name: str, number: int) -> Source:
        return Source(SimAdapter(SimSettings(name=name, adapter="sim")), self.vendor.feed if number % 2 else None)

    @property
    def live(self) -> bool:
        return {one.state for one in self.supervisor.statuses()} == {State.LIVE}


def said(logs: list[Any]) -> list[tuple[str, str, str]]:
    """Source, event and reason of every line that `log_level = "info"` shows."""
    return [
        (line.get("source", ""), line["event"], line.get("reason", "")) for line in logs if line["log_level"] != "debug"
    ]


def test_an_idle_daemon_says_nothing_in_its_second_minute() -> None:
    """Though it asks its vendor all the time, holds sessions and renews its leases."""

    async def main() -> tuple[list[Any], int]:
        house = House()
        async with anyio.create_task_group() as group:
            group.start_soon(house.supervisor.run)
            with capture_logs() as first:
                await anyio.sleep(60)
            assert house.live
            assert {source for source, *_ in said(first)} >= set(NAMES), "nothing was logged at all"
            asked = house.vendor.requests
            with capture_logs() as second:
                await anyio.sleep(60)
            assert house.live
            group.cancel_scope.cancel()
        return second, house.vendor.requests - asked

    second, asked = on_virtual_clock(main)
    assert asked >= 5 * 5
    assert said(second) == []


def test_a_change_is_said_once_when_it_breaks_and_once_when_it_heals() -> None:
    """For each reason, however many attempts fail in between."""

    async def main() -> tuple[list[Any], list[Any], int]:
        house = House()
        async with anyio.create_task_group() as group:
            group.start_soon(house.supervisor.run)
            await anyio.sleep(60)
            asked = house.vendor.requests
            with capture_logs() as broken:
                house.vendor.faults.extend([status(503)] * 100_000)
                await anyio.sleep(1800)
            asked = house.vendor.requests - asked
            with capture_logs() as healed:
                house.vendor.faults.clear()
                await anyio.sleep(600)
            assert house.live
            group.cancel_scope.cancel()
        return broken, healed, asked

    broken, healed, asked = on_virtual_clock(main)
    assert asked > 50
    assert set(Counter(said(broken)).values()) == {1}
    assert {name for name, event, _ in said(broken) if event == "source.lost"} == set(NAMES)
    assert sorted(name for name, event, _ in said(healed) if event == "source.live") == ["five", "one", "three"]
    assert set(Counter(said(healed)).values()) == {1}
